package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"kubette/client"
)

// newTestIngress serves routes without an API: the pods are HTTP servers of this test, by address.
func newTestIngress(t *testing.T, table *Table, pods map[string]http.Handler, ingresses ...*networkingv1.Ingress) *httptest.Server {
	t.Helper()
	real := map[string]string{}
	for address, handler := range pods {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		real[address] = server.Listener.Addr().String()
	}
	i := NewIngress(IngressConfig{
		Informers: client.NewInformers(nil, nil), Table: table,
		Pod: func(ctx context.Context, network string, address netip.AddrPort) (net.Conn, error) {
			target, ok := real[address.String()]
			if !ok {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return (&net.Dialer{}).DialContext(ctx, network, target)
		},
	})
	i.router.Store(newRouter(ingresses))
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, server *httptest.Server, host, path string, header ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// echo answers with what a pod sees of a request.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s host=%s for=%s proto=%s forwarded=%s", name, r.URL.RequestURI(), r.Host,
			r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host"))
	})
}

func TestARequestReachesAPodWithItsHost(t *testing.T) {
	server := newTestIngress(t, tableOf(service("default", "web", "10.96.0.20", nil, "10.97.1.5:8000")),
		map[string]http.Handler{"10.97.1.5:8000": echo("pod")}, ingress("web", "web.example.org", "/", "web"))
	want := "pod /a%2Fb?q=1 host=web.example.org for=127.0.0.1 proto=http forwarded=web.example.org"
	for _, host := range []string{"web.example.org", "WEB.example.org.localhost:8080"} {
		// What a client says of itself is not believed.
		status, body := get(t, server, host, "/a%2Fb?q=1", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https")
		if status != http.StatusOK || body != want {
			t.Errorf("host %s: %d %q, want %q", host, status, body, want)
		}
	}
}

func TestAPodThatIsGoneIsNotTheLastWord(t *testing.T) {
	server := newTestIngress(t, tableOf(service("default", "web", "10.96.0.20", nil, "10.97.1.5:8000", "10.97.1.6:8000", "10.97.1.7:8000")),
		map[string]http.Handler{"10.97.1.7:8000": echo("third")}, ingress("web", "web.example.org", "/", "web"))
	for range 20 {
		if status, body := get(t, server, "web.example.org", "/"); status != http.StatusOK || !strings.HasPrefix(body, "third") {
			t.Fatalf("%d %q although one pod answers", status, body)
		}
	}
}

func TestPagesSayWhatIsMissing(t *testing.T) {
	table := tableOf(
		service("default", "empty", "10.96.0.21", func(s *Service) { s.Object.Spec.Selector = map[string]string{"app": "webb"} }),
		service("default", "dead", "10.96.0.22", nil, "10.97.1.9:8000"),
		service("default", "oddport", "10.96.0.23", func(s *Service) { s.Object.Spec.Ports[0].Port = 8080 }, "10.97.1.5:8000"),
	)
	server := newTestIngress(t, table, nil, ingress("all", "shop.example.org",
		"/empty", "empty", "/dead", "dead", "/oddport", "oddport", "/none", "none"))
	for _, test := range []struct {
		host, path string
		status     int
		says       []string
	}{
		{"kube.example.org", "/", 404, []string{`No ingress has a rule for host "kube.example.org"`, "shop.example.org", "kubectl get ingress -A"}},
		{"shop.example.org", "/other", 404, []string{`has the path "/other"`}},
		{"shop.example.org", "/none", 503, []string{`service "none", which does not exist in namespace "default"`, "kubectl -n default get services"}},
		{"shop.example.org", "/oddport", 503, []string{`port 80 of service "oddport", which has no such port`}},
		{"shop.example.org", "/empty", 503, []string{`service "empty", which has no ready pod`, "app=webb", "--show-labels"}},
		{"shop.example.org", "/dead", 502, []string{"did not answer", "0.0.0.0"}},
	} {
		status, body := get(t, server, test.host, test.path)
		if status != test.status {
			t.Errorf("%s%s: status %d, want %d", test.host, test.path, status, test.status)
		}
		for _, text := range test.says {
			if !strings.Contains(body, text) {
				t.Errorf("%s%s does not say %q:\n%s", test.host, test.path, text, body)
			}
		}
	}
	if _, body := get(t, server, `<script>"`, "/", "Accept", "text/html"); strings.Contains(body, "<script>") || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("a browser gets\n%s", body)
	}
}

func TestABodyLargerThanAllowedIsRefused(t *testing.T) {
	object := ingress("web", "web.example.org", "/", "web")
	object.Annotations = map[string]string{nginxPrefix + "proxy-body-size": "1k"}
	server := newTestIngress(t, tableOf(service("default", "web", "10.96.0.20", nil, "10.97.1.5:8000")),
		map[string]http.Handler{"10.97.1.5:8000": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}, object)
	post := func(body io.Reader) int {
		request, err := http.NewRequest(http.MethodPost, server.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "web.example.org"
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	if status := post(strings.NewReader(strings.Repeat("x", 1024))); status != http.StatusOK {
		t.Errorf("a body of the allowed size: %d", status)
	}
	if status := post(strings.NewReader(strings.Repeat("x", 1025))); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body with a length beyond it: %d", status)
	}
	if status := post(io.MultiReader(strings.NewReader(strings.Repeat("x", 4096)))); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of unknown length beyond it: %d", status)
	}
}

func TestStreamsPassAtOnceAndUpgradesGoBothWays(t *testing.T) {
	more := make(chan struct{})
	pod := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.CopyN(conn, buffered, 5)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-more
		fmt.Fprint(w, "data: two\n\n")
	})
	server := newTestIngress(t, tableOf(service("default", "web", "10.96.0.20", nil, "10.97.1.5:8000")),
		map[string]http.Handler{"10.97.1.5:8000": pod}, ingress("web", "web.example.org", "/", "web"))

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: web.example.org\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", answer, err)
	}
	fmt.Fprint(conn, "hello")
	echoed := make([]byte, 5)
	if _, err := io.ReadFull(reader, echoed); err != nil || string(echoed) != "hello" {
		t.Errorf("over the upgraded connection came %q, %v", echoed, err)
	}

	request, err := http.NewRequest(http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "web.example.org"
	stream, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewReader(stream.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "data: one\n" {
		t.Errorf("the first event was held back: %q %v", line, err)
	}
	close(more)
	rest, err := io.ReadAll(lines)
	if err != nil || !strings.Contains(string(rest), "two") {
		t.Errorf("the rest of the stream: %q %v", rest, err)
	}
}

func TestChoiceOfEndpoints(t *testing.T) {
	s := service("default", "web", "10.96.0.20", func(s *Service) {
		s.Endpoints[0].Ready, s.Endpoints[0].Terminating = false, true
		s.Endpoints[1].Ready, s.Endpoints[1].Serving = false, false
	}, "10.97.1.5:80", "10.97.1.6:80", "10.97.1.7:80")
	port := &s.Object.Spec.Ports[0]
	for range 50 {
		if e, err := s.Choose(port, netip.Addr{}); err != nil || e.Address.String() != "10.97.1.7:80" {
			t.Fatalf("chose %v, %v: only the last one is ready", e.Address, err)
		}
	}
	s.Endpoints[2].Ready, s.Endpoints[2].Serving = false, false
	if e, err := s.Choose(port, netip.Addr{}); err != nil || e.Address.String() != "10.97.1.5:80" {
		t.Errorf("with none ready, chose %v, %v: the one that still serves on its way out is left", e.Address, err)
	}
	s.Endpoints[0].Serving = false
	var none *NoEndpointsError
	if _, err := s.Choose(port, netip.Addr{}); !errors.As(err, &none) {
		t.Errorf("with none at all: %v", err)
	}
}

func TestSessionAffinityKeepsAClientAtItsPod(t *testing.T) {
	s := service("default", "web", "10.96.0.20", nil, "10.97.1.5:80", "10.97.1.6:80", "10.97.1.7:80")
	s.Object.Spec.SessionAffinity = "ClientIP"
	s.balance = newBalance()
	client := netip.MustParseAddr("10.97.9.9")
	first, err := s.Choose(&s.Object.Spec.Ports[0], client)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if again, _ := s.Choose(&s.Object.Spec.Ports[0], client); again.Address != first.Address {
			t.Fatalf("moved from %v to %v", first.Address, again.Address)
		}
	}
}
