package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	streaming "k8s.io/streaming/pkg/httpstream"
	utilexec "k8s.io/utils/exec"

	"kubette/apiserver"
)

// fakeKubelet runs "commands" in this process.
type fakeKubelet struct {
	mu    sync.Mutex
	sizes []apiserver.TerminalSize
	ended chan string // says when a command has ended

	stopped atomic.Bool // nothing runs
}

func (k *fakeKubelet) Logs(ctx context.Context, _, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	if options.Previous {
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", options.Container, pod)
	}
	read, write := io.Pipe()
	go func() {
		fmt.Fprintf(write, "hello from %s\n", options.Container)
		if options.Follow {
			<-ctx.Done()
			k.end("logs")
		}
		write.Close()
	}()
	return read, nil
}

func (k *fakeKubelet) end(what string) {
	select {
	case k.ended <- what:
	default:
	}
}

func (k *fakeKubelet) Running(_ context.Context, _, _, container string) error {
	if k.stopped.Load() {
		return &apiserver.KubeletError{Code: http.StatusInternalServerError, Text: fmt.Sprintf("container not found (%q)", container)}
	}
	return nil
}

// Exec knows four commands: cat, exit (with 3), fail, and wait (until its context ends).
func (k *fakeKubelet) Exec(ctx context.Context, _, _, container string, command []string, streams apiserver.Streams) error {
	switch command[0] {
	case "cat":
		_, err := io.Copy(streams.Stdout, streams.Stdin)
		if streams.Stderr != nil {
			fmt.Fprintf(streams.Stderr, "done in %s", container)
		}
		return err
	case "exit":
		return fmt.Errorf("exec: %w", utilexec.CodeExitError{Err: errors.New("exit status 3"), Code: 3})
	case "size":
		size := <-streams.Resize
		k.mu.Lock()
		k.sizes = append(k.sizes, size)
		k.mu.Unlock()
		return nil
	case "wait":
		fmt.Fprint(streams.Stdout, "waiting")
		<-ctx.Done()
		k.end("wait")
		return ctx.Err()
	}
	return errors.New("no such program")
}

func (k *fakeKubelet) Attach(_ context.Context, _, _, container string, streams apiserver.Streams) error {
	_, err := fmt.Fprintf(streams.Stdout, "attached to %s", container)
	return err
}

func (k *fakeKubelet) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	if port != 80 {
		return fmt.Errorf("nothing listens on %d", port)
	}
	line, err := bufio.NewReader(stream).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stream, "you said %s", line)
	return err
}

// ServeHTTP is the kubelet's own API, for nodes/proxy.
func (k *fakeKubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "kubelet %s", r.URL.Path)
}

// withPod serves a pod web with the containers app and side on node n.
func withPod(t *testing.T, change func(*apiserver.Config)) (*door, *fakeKubelet) {
	kubelet := &fakeKubelet{ended: make(chan string, 1)}
	d := openDoor(t, func(c *apiserver.Config) {
		c.Kubelets = func(node string) (apiserver.Kubelet, bool) { return kubelet, node == "n" }
		if change != nil {
			change(c)
		}
	})
	d.eventually(t, "the default account", func() bool {
		return d.ask(t, adminToken, "GET", "/api/v1/namespaces/default/serviceaccounts/default", "").Code == 200
	})
	d.must(t, 201, "POST", "/api/v1/nodes", `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"}}`)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/pods", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"},"spec":{"nodeName":"n",
		"containers":[{"name":"app","image":"i","ports":[{"containerPort":80}]},{"name":"side","image":"i"}]}}`)
	return d, kubelet
}

func (d *door) podURL(t *testing.T, sub string, query url.Values) *url.URL {
	t.Helper()
	u, err := url.Parse(d.URL + "/api/v1/namespaces/default/pods/web/" + sub)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = query.Encode()
	return u
}

// executors are client-go's clients for both protocols.
func (d *door) executors(t *testing.T, u *url.URL) map[string]remotecommand.Executor {
	t.Helper()
	overSPDY, err := remotecommand.NewSPDYExecutor(d.restConfig(adminToken), "POST", u)
	if err != nil {
		t.Fatal(err)
	}
	overWebSocket, err := remotecommand.NewWebSocketExecutor(d.restConfig(adminToken), "GET", u.String())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]remotecommand.Executor{"SPDY": overSPDY, "WebSocket": overWebSocket}
}

func TestExec(t *testing.T) {
	d, kubelet := withPod(t, nil)
	query := func(command string, more ...string) url.Values {
		values := url.Values{"command": {command}, "container": {"side"}, "stdout": {"true"}}
		for _, name := range more {
			values.Set(name, "true")
		}
		return values
	}
	for name, executor := range d.executors(t, d.podURL(t, "exec", query("cat", "stdin", "stderr"))) {
		t.Run(name+" copies", func(t *testing.T) {
			var out, errOut bytes.Buffer
			big := strings.Repeat("all of it ", 50_000)
			err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out, Stderr: &errOut})
			if err != nil || out.String() != big || errOut.String() != "done in side" {
				t.Errorf("%v: %d bytes, %q", err, out.Len(), errOut.String())
			}
		})
	}
	for name, executor := range d.executors(t, d.podURL(t, "exec", query("exit"))) {
		t.Run(name+" tells the exit code", func(t *testing.T) {
			err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
			var exit utilexec.ExitError
			if !errors.As(err, &exit) || exit.ExitStatus() != 3 {
				t.Errorf("%v", err)
			}
		})
	}
	for name, executor := range d.executors(t, d.podURL(t, "exec", query("nonsense"))) {
		t.Run(name+" tells a failure", func(t *testing.T) {
			err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
			if err == nil || !strings.Contains(err.Error(), "no such program") {
				t.Errorf("%v", err)
			}
		})
	}
	for name, executor := range d.executors(t, d.podURL(t, "exec", query("size", "tty", "stdin"))) {
		t.Run(name+" resizes", func(t *testing.T) {
			queue := sizes{make(chan remotecommand.TerminalSize, 1)}
			queue.sizes <- remotecommand.TerminalSize{Width: 80, Height: 25}
			hold, done := io.Pipe()
			defer done.Close()
			err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: hold, Stdout: io.Discard, Tty: true, TerminalSizeQueue: queue})
			close(queue.sizes)
			kubelet.mu.Lock()
			defer kubelet.mu.Unlock()
			if err != nil || len(kubelet.sizes) == 0 || kubelet.sizes[len(kubelet.sizes)-1] != (apiserver.TerminalSize{Width: 80, Height: 25}) {
				t.Errorf("%v %v", err, kubelet.sizes)
			}
		})
	}
	kubelet.stopped.Store(true)
	for name, executor := range d.executors(t, d.podURL(t, "exec", query("cat", "stdin"))) {
		t.Run(name+" is refused where nothing runs", func(t *testing.T) {
			err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: io.Discard})
			if name == "WebSocket" {
				if !streaming.IsUpgradeFailure(err) { // kubectl then tries SPDY
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || err.Error() != `unable to upgrade connection: container not found ("side")` {
				t.Errorf("%v", err)
			}
		})
	}
	kubelet.stopped.Store(false)
	for name, executor := range d.executors(t, d.podURL(t, "exec", query("wait"))) {
		t.Run(name+" ends with the client", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_ = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: cancelOnWrite{cancel}})
			}()
			select {
			case <-kubelet.ended:
			case <-time.After(5 * time.Second):
				t.Error("the command goes on without its client")
			}
		})
	}
}

type sizes struct {
	sizes chan remotecommand.TerminalSize
}

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s.sizes
	if !ok {
		return nil
	}
	return &size
}

type cancelOnWrite struct{ cancel context.CancelFunc }

func (c cancelOnWrite) Write(data []byte) (int, error) { c.cancel(); return len(data), nil }

// TestExecOldProtocols speaks the older subprotocols, as browsers' terminals do.
func TestExecOldProtocols(t *testing.T) {
	d, _ := withPod(t, nil)
	u := d.podURL(t, "attach", url.Values{"container": {"app"}, "stdout": {"true"}})
	u.Scheme = "wss"
	for _, protocol := range []string{"channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io", "base64.channel.k8s.io", "v4.base64.channel.k8s.io"} {
		t.Run(protocol, func(t *testing.T) {
			// A browser shows its token as a protocol.
			token := "base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(adminToken))
			dialer := websocket.Dialer{TLSClientConfig: d.client.Transport.(*http.Transport).TLSClientConfig.Clone(), Subprotocols: []string{token, protocol}}
			dialer.TLSClientConfig.NextProtos = nil
			conn, response, err := dialer.Dial(u.String(), nil)
			if err != nil {
				t.Fatalf("%v %v", err, response)
			}
			defer conn.Close()
			var out string
			for {
				_, data, err := conn.ReadMessage()
				if err != nil {
					break
				}
				channel, text := data[0], string(data[1:])
				if strings.Contains(protocol, "base64") {
					decoded, err := base64.StdEncoding.DecodeString(text)
					if err != nil {
						t.Fatal(err)
					}
					channel, text = channel-'0', string(decoded)
				}
				if channel == 1 {
					out += text
				}
			}
			if out != "attached to app" {
				t.Errorf("%q", out)
			}
		})
	}
}

func TestConnectionsRefuse(t *testing.T) {
	d, _ := withPod(t, nil)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/pods", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"pending"},"spec":{"containers":[{"name":"app","image":"i"}]}}`)
	base := "/api/v1/namespaces/default/pods/"
	for _, c := range []struct {
		path    string
		code    int
		message string
	}{
		{"none/exec?command=x&stdout=1", 404, `pods "none" not found`},
		{"pending/exec?command=x&stdout=1", 400, "pod pending does not have a host assigned"},
		{"web/exec?command=x&stdout=1", 400, "a container name must be specified for pod web, choose one of: [app side]"},
		{"web/exec?command=x&stdout=1&container=z", 400, "container z is not valid for pod web"},
		{"web/log", 400, "a container name must be specified for pod web, choose one of: [app side]"},
		{"web/log?container=app&tailLines=-1", 422, `PodLogOptions "web" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0`},
		{"web/log?container=app&previous=true", 400, `previous terminated container "app" in pod "web" not found`},
	} {
		method := "POST"
		if strings.Contains(c.path, "/log") {
			method = "GET"
		}
		a := d.ask(t, adminToken, method, base+c.path, "")
		if status := a.object(t); a.Code != c.code || status["message"] != c.message {
			t.Errorf("%s: %d %v", c.path, a.Code, status["message"])
		}
	}
	// To watch a pod's processes is not to read: a WebSocket begins with GET and still needs create.
	d.must(t, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", `{"metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["pods/exec"],"verbs":["get"]}]}`)
	d.must(t, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", `{"metadata":{"name":"r"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"nobody","apiGroup":"rbac.authorization.k8s.io"}]}`)
	u := d.podURL(t, "exec", url.Values{"container": {"app"}, "stdout": {"true"}, "command": {"cat"}})
	u.Scheme = "wss"
	dialer := websocket.Dialer{TLSClientConfig: d.client.Transport.(*http.Transport).TLSClientConfig.Clone(), Subprotocols: []string{"v5.channel.k8s.io"}}
	dialer.TLSClientConfig.NextProtos = nil
	_, response, err := dialer.Dial(u.String(), http.Header{"Authorization": {"Bearer " + nobodyToken}})
	if err == nil || response == nil || response.StatusCode != 403 {
		t.Errorf("exec with get alone: %v %v", err, response)
	}
}

func TestLogs(t *testing.T) {
	d, kubelet := withPod(t, nil)
	if a := d.must(t, 200, "GET", "/api/v1/namespaces/default/pods/web/log?container=side", ""); string(a.Body) != "hello from side\n" {
		t.Errorf("%s", a.Body)
	}
	body := d.openWatch(t, "/api/v1/namespaces/default/pods/web/log?container=app&follow=true", "*/*")
	if line, err := bufio.NewReader(body).ReadString('\n'); err != nil || line != "hello from app\n" {
		t.Errorf("%v %q", err, line)
	}
	body.Close()
	select {
	case <-kubelet.ended:
	case <-time.After(5 * time.Second):
		t.Error("the log is followed without its reader")
	}
}

func TestPortForward(t *testing.T) {
	d, _ := withPod(t, nil)
	u := d.podURL(t, "portforward", nil)
	transport, upgrader, err := spdy.RoundTripperFor(d.restConfig(adminToken))
	if err != nil {
		t.Fatal(err)
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(u, d.restConfig(adminToken))
	if err != nil {
		t.Fatal(err)
	}
	for name, dialer := range map[string]httpstream.Dialer{"SPDY": spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u), "WebSocket": tunnel} {
		t.Run(name, func(t *testing.T) {
			stop, ready := make(chan struct{}), make(chan struct{})
			var said syncBuffer
			forwarder, err := portforward.New(dialer, []string{"0:80"}, stop, ready, io.Discard, &said)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- forwarder.ForwardPorts() }()
			select {
			case <-ready:
			case err := <-ended:
				t.Fatal(err)
			}
			ports, err := forwarder.GetPorts()
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "hello %d\n", i)
				line, err := bufio.NewReader(conn).ReadString('\n')
				conn.Close()
				if want := fmt.Sprintf("you said hello %d\n", i); err != nil || line != want {
					t.Errorf("%v: %q, want %q (%s)", err, line, want, said.String())
				}
			}
			close(stop)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func TestProxy(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token goes on to the pod")
		}
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<a href="/users/">users</a>`)
			return
		}
		fmt.Fprintf(w, "%s %s", r.Method, r.URL)
	}))
	defer page.Close()
	dialed := make(chan string, 10)
	d, _ := withPod(t, func(c *apiserver.Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed <- address
			return (&net.Dialer{}).DialContext(ctx, network, page.Listener.Addr().String())
		}
	})
	d.must(t, 200, "PATCH", "/api/v1/namespaces/default/pods/web/status", `{"status":{"podIP":"10.97.1.2","podIPs":[{"ip":"10.97.1.2"}]}}`, "Content-Type", "application/merge-patch+json")
	d.must(t, 201, "POST", "/api/v1/namespaces/default/services", `{"kind":"Service","apiVersion":"v1","metadata":{"name":"web"},"spec":{"ports":[{"name":"http","port":8080,"targetPort":80}]}}`)
	base := "/api/v1/namespaces/default/"
	if a := d.must(t, 503, "GET", base+"services/web/proxy/", "").object(t); a["message"] != `no endpoints available for service "web"` {
		t.Errorf("%v", a)
	}
	d.must(t, 201, "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", `{"metadata":{"name":"web-1","labels":{"kubernetes.io/service-name":"web"}},
		"addressType":"IPv4","ports":[{"name":"http","port":80}],"endpoints":[{"addresses":["10.97.1.2"]}]}`)
	for _, c := range []struct{ method, path, body, address string }{
		{"GET", "pods/web/proxy/users/?q=1", "GET /users/?q=1", "10.97.1.2:80"},
		{"POST", "pods/http:web:8000/proxy/x", "POST /x", "10.97.1.2:8000"},
		{"GET", "services/web/proxy/y", "GET /y", "10.97.1.2:80"},
		{"GET", "services/web:http/proxy/page", `<a href="` + base + `services/web:http/proxy/users/">users</a>`, "10.97.1.2:80"},
		{"DELETE", "services/web:8080/proxy/z/", "DELETE /z/", "10.97.1.2:80"},
	} {
		a := d.must(t, 200, c.method, base+c.path, "")
		if got := <-dialed; string(a.Body) != c.body || got != c.address {
			t.Errorf("%s: %q by %s, want %q by %s", c.path, a.Body, got, c.body, c.address)
		}
	}
	if a := d.must(t, 200, "GET", "/api/v1/nodes/n/proxy/stats/summary", ""); string(a.Body) != "kubelet /stats/summary" {
		t.Errorf("%s", a.Body)
	}
}
