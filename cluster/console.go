package cluster

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
	"kubette/console"
	"kubette/store"
)

// consoleFiles names a folder from which the console's pages are read at each request, for who works on them.
const consoleFiles = "KUBETTE_CONSOLE_FILES"

// startConsole serves the cluster in the browser.
func (c *Cluster) startConsole(ctx context.Context, down *teardown) error {
	var files fs.FS
	if folder := os.Getenv(consoleFiles); folder != "" {
		files = os.DirFS(folder)
	}
	made, err := console.New(console.Config{
		API: c.asAdmin(c.withControl(c.server.Handler())), Store: c.store, Prefix: registryPrefix, Machine: c.machine,
		Read: c.consoleEntry(), Traffic: c.table.Traffic.Counts,
		Visit: c.visit, Files: files, Stopping: c.stopAsked,
	})
	if err != nil {
		return fmt.Errorf("make the console: %w", err)
	}
	c.console = made
	c.start(ctx, down, []part{func(ctx context.Context) {
		if err := apiserver.Serve(ctx, c.ports.console, nil, made.Handler(portOf(c.ports.console))); err != nil {
			slog.Error("the console is no longer served", "error", err)
		}
	}})
	return nil
}

// asAdmin lets requests be the administrator's. The console's door has checked that they are the user's.
func (c *Cluster) asAdmin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+c.token)
		next.ServeHTTP(w, r)
	})
}

// consoleEntry reads entries of the store for the console, by the kinds that are served at that moment.
func (c *Cluster) consoleEntry() func(*store.Entry) (console.Ref, kinds.Object, error) {
	var mu sync.Mutex
	_, changed := c.server.Kinds()
	records := c.recorder()
	fresh := func() *recorder {
		mu.Lock()
		defer mu.Unlock()
		select {
		case <-changed: // a custom resource was defined, or taken away
			_, changed = c.server.Kinds()
			records = c.recorder()
		default:
		}
		return records
	}
	return func(entry *store.Entry) (console.Ref, kinds.Object, error) {
		r := fresh()
		about, row := r.object(entry.Key)
		ref := console.Ref{Resource: about.Resource, Kind: about.Kind, Namespace: about.Namespace, Name: about.Name}
		if about.Group != "" {
			ref.Resource += "." + about.Group
		}
		if row == nil {
			return ref, nil, nil
		}
		object, err := r.decode(entry)
		return ref, object, err
	}
}

// ConsoleURL is a link that opens the console, once; "" while there is none.
func (c *Cluster) ConsoleURL() string {
	if c.console == nil {
		return ""
	}
	return "http://" + c.ports.console.Addr().String() + "/?key=" + c.console.NewKey()
}

// consoleLink is how another process gets a link.
type consoleLink struct {
	URL string `json:"url"`
}

func (c *Cluster) openConsole(w http.ResponseWriter, _ *http.Request) {
	answer(w, consoleLink{c.ConsoleURL()}, nil)
}

// ConsoleURL asks for a link that opens the console, once.
func (c *Control) ConsoleURL(ctx context.Context) (string, error) {
	var link consoleLink
	err := c.do(ctx, http.MethodPost, "console", nil, &link)
	return link.URL, err
}

// visit sends a request to the ingress, as a user of the applications does.
func (c *Cluster) visit(ctx context.Context, visit console.Visit) (*http.Response, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(portOf(c.ports.http)))
	request, err := http.NewRequestWithContext(ctx, visit.Method, "http://"+address+visit.Path, nil)
	if err != nil {
		return nil, err
	}
	request.Host = visit.Host
	request.Header.Set("User-Agent", "kubette-console")
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return c.config.Loopback.Dial(ctx, address)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client.Do(request)
}
