package toolbox

import (
	"context"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"sort"
	"strings"
)

// webRoots are where web looks for files, in order: the document roots of nginx, of Apache's httpd and of Caddy.
var webRoots = []string{"/usr/share/nginx/html", "/usr/local/apache2/htdocs", "/usr/share/caddy"}

// web is a web server: it serves the files that a pod mounts where nginx or httpd would look for them, and else a
// welcome page that says which pod answered.
func web(ctx context.Context, p *Process) int {
	flags := p.flags()
	ports := flags.IntSlice("port", []int{80}, "the port to listen on; may be given several times")
	_ = flags.StringP("global", "g", "", "nginx's global directives; accepted, and without effect")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	p.greet("The web server", *ports...)
	return p.serve(ctx, http.HandlerFunc(p.serveFile), *ports...)
}

func (p *Process) serveFile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "kubette-web")
	w.Header().Set("X-Pod", p.pod())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "405 Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	name := path.Clean("/" + r.URL.Path)
	for _, root := range webRoots {
		file := path.Join(root, name)
		info, err := p.files().Stat(file)
		if err == nil && info.IsDir() {
			file = path.Join(file, "index.html")
			info, err = p.files().Stat(file)
		}
		if err != nil || info.IsDir() {
			continue
		}
		p.sendFile(w, r, file, info)
		return
	}
	if name != "/" {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><meta charset=utf-8><title>Welcome</title><h1>Welcome</h1>\n"+
		"<p>This is kubette's stand-in for a web server such as nginx; pod <b>%s</b> answered.</p>\n", html.EscapeString(p.pod()))
}

func (p *Process) sendFile(w http.ResponseWriter, r *http.Request, name string, info fs.FileInfo) {
	file, err := p.files().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		http.Error(w, "403 Forbidden", http.StatusForbidden)
		return
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, name, info.ModTime(), strings.NewReader(string(data)))
}

// whoami answers with what it received: which pod it is, and the request with all its headers.
func whoami(ctx context.Context, p *Process) int {
	return p.answer(ctx, "whoami", func(w io.Writer, r *http.Request) {
		fmt.Fprintf(w, "Hostname: %s\nRemoteAddr: %s\n%s %s %s\nHost: %s\n", p.pod(), r.RemoteAddr, r.Method, r.URL.RequestURI(), r.Proto, r.Host)
		names := make([]string, 0, len(r.Header))
		for name := range r.Header {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			for _, value := range r.Header[name] {
				fmt.Fprintf(w, "%s: %s\n", name, value)
			}
		}
	})
}

// hello greets, with the pod's name.
func hello(ctx context.Context, p *Process) int {
	return p.answer(ctx, "hello", func(w io.Writer, _ *http.Request) {
		fmt.Fprintf(w, "Hello, world!\nVersion: 1.0.0\nHostname: %s\n", p.pod())
	})
}

// answer serves the same text on every path, on the ports that the options name.
func (p *Process) answer(ctx context.Context, what string, write func(w io.Writer, r *http.Request)) int {
	flags := p.flags()
	ports := flags.IntSlice("port", []int{80}, "the port to listen on; may be given several times")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	p.greet(what, *ports...)
	return p.serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Pod", p.pod())
		write(w, r)
	}), *ports...)
}

// httpEcho answers with a text given on its command line: -text=hello -listen=:5678.
func httpEcho(ctx context.Context, p *Process) int {
	text, listen := "", ":5678"
	for _, arg := range p.Args[1:] {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch name {
		case "text":
			text = value
		case "listen":
			listen = value
		default:
			return p.fail("unknown option %s", arg)
		}
	}
	if text == "" {
		return p.fail("missing -text option")
	}
	var port int
	if _, err := fmt.Sscanf(listen[strings.LastIndexByte(listen, ':')+1:], "%d", &port); err != nil {
		return p.fail("-listen=%s: not an address with a port", listen)
	}
	p.greet("http-echo", port)
	return p.serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Pod", p.pod())
		fmt.Fprintln(w, text)
	}), port)
}

// pause does nothing until it is told to end.
func pause(ctx context.Context, _ *Process) int {
	<-ctx.Done()
	return exitOK
}
