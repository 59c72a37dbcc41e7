package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/kinds"
	"kubette/console"
	"kubette/loop"
	"kubette/store"
)

// stage is a console over a store of its own, and an API that says what it was asked.
type stage struct {
	t       *testing.T
	store   store.Store
	console *console.Server
	server  *httptest.Server
	port    int
	asked   chan *http.Request
	visits  chan console.Visit
}

const prefix = "/registry/"

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, store: store.NewMemory(), asked: make(chan *http.Request, 16), visits: make(chan console.Visit, 16)}
	made, err := console.New(console.Config{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.asked <- r
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<script>from the cluster</script>")
		}),
		Store: s.store, Prefix: prefix, Read: readPods, Machine: loop.NewMachine(10), Stopping: t.Context().Done(),
		Visit: func(_ context.Context, visit console.Visit) (*http.Response, error) {
			s.visits <- visit
			recorder := httptest.NewRecorder()
			fmt.Fprint(recorder, "hello")
			return recorder.Result(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.console = made
	var handler http.Handler
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(s.server.Close)
	at, _ := url.Parse(s.server.URL)
	s.port, _ = strconv.Atoi(at.Port())
	handler = made.Handler(s.port)
	return s
}

// readPods reads a store that holds only pods.
func readPods(entry *store.Entry) (console.Ref, kinds.Object, error) {
	parts := strings.Split(strings.TrimPrefix(entry.Key, prefix+"core/"), "/")
	ref := console.Ref{Resource: parts[0], Namespace: parts[1], Name: parts[2]}
	if entry.Deleted {
		return ref, nil, nil
	}
	return ref, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: parts[2], Namespace: parts[1], Labels: label(string(entry.Value())),
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "somebody"}}}}, nil
}

// write creates, changes (with what it is now) or deletes (with nil) a pod, and returns the revision.
func (s *stage) write(resource, name string, labels map[string]string) int64 {
	s.t.Helper()
	key := prefix + "core/" + resource + "/default/" + name
	write := store.Write{Key: key, Value: []byte(labels["v"]), Meta: store.Meta{Actor: "kubernetes-admin", Verb: "update"}, Delete: labels == nil}
	if before, err := s.store.Get(s.t.Context(), key, 0); err == nil {
		write.Expected = before.Revision
	}
	entry, err := s.store.Write(s.t.Context(), write)
	if err != nil {
		s.t.Fatal(err)
	}
	return entry.Revision
}

// browser is a client that keeps cookies, and is inside when it has opened the console with a key.
func (s *stage) browser(inside bool) *http.Client {
	s.t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	if inside {
		answer, err := client.Get(s.server.URL + "/?key=" + s.console.NewKey())
		if err != nil {
			s.t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			s.t.Fatalf("the key opened nothing: %s", answer.Status)
		}
	}
	return client
}

// send sends a request with headers "Name: value"; Host is one of them.
func (s *stage) send(client *http.Client, method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequest(method, s.server.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		value = strings.ReplaceAll(value, "PORT", strconv.Itoa(s.port))
		if name == "Host" {
			request.Host = value
		} else {
			request.Header.Set(name, value)
		}
	}
	answer, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer, string(text)
}

func TestAKeyOpensTheConsoleOnce(t *testing.T) {
	s := newStage(t)
	key := s.console.NewKey()
	answer, text := s.send(s.browser(false), "GET", "/?key="+key, "")
	if answer.StatusCode != http.StatusOK || !strings.Contains(text, "/js/boot.js") {
		t.Fatalf("a good key: %s", answer.Status)
	}
	cookies := answer.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies: %v", cookies)
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" {
		t.Errorf("the session's cookie is %s", c)
	}
	for name, path := range map[string]string{"the key again": "/?key=" + key, "another key": "/?key=abc", "no key": "/"} {
		if answer, text := s.send(s.browser(false), "GET", path, ""); answer.StatusCode != http.StatusUnauthorized || strings.Contains(text, "main.js") {
			t.Errorf("%s: %s", name, answer.Status)
		}
	}
}

func TestASessionIsNeeded(t *testing.T) {
	s := newStage(t)
	for _, path := range []string{"/api/v1/pods", "/apis/apps/v1/deployments", "/kubette/status", "/console/snapshot", "/console/feed", "/console/changes", "/version"} {
		if answer, _ := s.send(s.browser(false), "GET", path, ""); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a session: %s", path, answer.Status)
		}
	}
	if len(s.asked) > 0 {
		t.Error("the API was asked")
	}
}

func TestOnlyTheConsolesOwnPagesMayAsk(t *testing.T) {
	for _, test := range []struct {
		name, method, path string
		headers            []string
		code               int
	}{
		{"the console's own read", "GET", "/api/v1/pods", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"a program without a browser's headers", "GET", "/api/v1/pods", nil, 200},
		{"by the name localhost", "GET", "/api/v1/pods", []string{"Host: localhost:PORT", "Cookie: x=y"}, 200},
		{"the console's own write", "POST", "/api/v1/pods", []string{"Origin: http://127.0.0.1:PORT"}, 200},
		{"a name that points here", "GET", "/", []string{"Host: evil.example:PORT"}, 421},
		{"this machine under another port", "GET", "/", []string{"Host: 127.0.0.1:1"}, 421},
		{"no port", "GET", "/", []string{"Host: 127.0.0.1"}, 421},
		{"a name that begins like ours", "GET", "/", []string{"Host: localhost.evil.example:PORT"}, 421},
		{"a write from nowhere", "POST", "/api/v1/pods", nil, 403},
		{"a write from another site", "POST", "/api/v1/pods", []string{"Origin: https://evil.example"}, 403},
		{"a write from another port of this machine", "DELETE", "/api/v1/pods", []string{"Origin: http://127.0.0.1:1"}, 403},
		{"a write from a page without an origin", "PATCH", "/api/v1/pods", []string{"Origin: null"}, 403},
		{"the right host over https", "POST", "/api/v1/pods", []string{"Origin: https://127.0.0.1:PORT"}, 403},
		{"a read from another port of this machine", "GET", "/api/v1/pods", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"a read from another site", "GET", "/api/v1/pods", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403},
		{"a link from elsewhere to the API", "GET", "/api/v1/pods", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 403},
		{"a link from elsewhere to the console", "GET", "/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 200},
		{"the console in a frame", "GET", "/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
		{"a container's own pages", "GET", "/api/v1/namespaces/default/pods/web/proxy/", nil, 403},
		{"a service's own pages", "GET", "/api/v1/namespaces/default/services/http:web:80/proxy/index.html", nil, 403},
		{"a node's own pages", "GET", "/api/v1/nodes/worker-1/proxy/logs", nil, 403},
		{"an object that is called proxy", "GET", "/api/v1/namespaces/default/pods/proxy", nil, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t)
			client := s.browser(true)
			if strings.Contains(strings.Join(test.headers, " "), "localhost:PORT") { // a jar is for one name
				at, _ := url.Parse(s.server.URL)
				cookie := client.Jar.Cookies(at)[0]
				test.headers = []string{"Host: localhost:PORT", "Cookie: " + cookie.Name + "=" + cookie.Value}
			}
			if answer, text := s.send(client, test.method, test.path, "", test.headers...); answer.StatusCode != test.code {
				t.Errorf("got %s %s, want %d", answer.Status, text, test.code)
			}
		})
	}
}

func TestTheAPIGetsNothingOfTheBrowser(t *testing.T) {
	s := newStage(t)
	answer, _ := s.send(s.browser(true), "GET", "/api/v1/pods?limit=1", "", "Authorization: Bearer x", "Impersonate-User: eve", "Impersonate-Extra-A: b", "Referer: http://x")
	got := <-s.asked
	for _, name := range []string{"Authorization", "Cookie", "Impersonate-User", "Impersonate-Extra-A", "Origin", "Referer"} {
		if got.Header.Get(name) != "" {
			t.Errorf("%s is passed on: %q", name, got.Header.Get(name))
		}
	}
	if got.URL.String() != "/api/v1/pods?limit=1" {
		t.Errorf("asked for %s", got.URL)
	}
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("what comes out of the cluster may run: %q", policy)
	}
}

func TestPagesMayUseNothingOfOthers(t *testing.T) {
	s := newStage(t)
	answer, _ := s.send(s.browser(true), "GET", "/", "")
	policy := answer.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s: %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy is too wide: %s", policy)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestOnlyTheConsolesFilesAreServed(t *testing.T) {
	s := newStage(t)
	client := s.browser(true)
	for _, path := range []string{"/../server.go", "/..%2fserver.go", "/js/../../server.go", "/js/%2e%2e/%2e%2e/server.go", "/web/index.html", "/js", "/js/", "/nothing", "//etc/passwd", "/index.html"} {
		request, _ := http.NewRequest("GET", s.server.URL, nil)
		request.URL.Opaque = path
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK || strings.Contains(string(text), "package console") {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	answer, _ := s.send(client, "GET", "/js/main.js", "")
	if kind := answer.Header.Get("Content-Type"); kind != "text/javascript; charset=utf-8" {
		t.Errorf("a module's type is %q", kind)
	}
	if answer, _ = s.send(client, "GET", "/js/main.js", "", "If-None-Match: "+answer.Header.Get("ETag")); answer.StatusCode != http.StatusNotModified {
		t.Errorf("the same file again: %s", answer.Status)
	}
}

// moment is what the browser gets of a revision.
type moment struct {
	Rev, Oldest, Newest int64
	Entries             []struct {
		Rev      int64
		Resource string
		Name     string
		Deleted  bool
		Actor    string
		Object   *corev1.Pod
		Before   *corev1.Pod
	}
}

func (s *stage) moment(path string) (moment, int) {
	s.t.Helper()
	answer, text := s.send(s.browser(true), "GET", path, "")
	var m moment
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			s.t.Fatal(err)
		}
	}
	return m, answer.StatusCode
}

// pods are the names and labels of a moment's pods; "-" are those that are not there.
func (m moment) pods() map[string]string {
	all := map[string]string{}
	for _, entry := range m.Entries {
		if entry.Deleted {
			all[entry.Name] = "-"
		} else if entry.Object != nil {
			all[entry.Name] = entry.Object.Labels["v"]
		}
	}
	return all
}

func label(v string) map[string]string { return map[string]string{"v": v} }

func TestThePastIsReadAtARevision(t *testing.T) {
	s := newStage(t)
	s.write("pods", "a", label("1")) // 1
	s.write("pods", "b", label("1")) // 2
	s.write("pods", "a", label("2")) // 3
	s.write("pods", "b", nil)        // 4
	s.write("pods", "c", label("1")) // 5
	for _, test := range []struct {
		path string
		want map[string]string
	}{
		{"snapshot?resources=pods", map[string]string{"a": "2", "c": "1"}},
		{"snapshot?resources=pods&rev=2", map[string]string{"a": "1", "b": "1"}},
		{"delta?resources=pods&from=2&to=5", map[string]string{"a": "2", "b": "-", "c": "1"}},
		{"delta?resources=pods&from=5&to=2", map[string]string{"a": "1", "b": "1", "c": "-"}},
		{"delta?resources=pods&from=5&to=3", map[string]string{"b": "1", "c": "-"}},
		{"delta?resources=pods&from=3&to=3", map[string]string{}},
		{"delta?resources=nodes&from=1&to=5", map[string]string{}},
	} {
		m, code := s.moment("/console/" + test.path)
		if code != http.StatusOK {
			t.Errorf("%s: %d", test.path, code)
		}
		if diff := cmp.Diff(test.want, m.pods()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.path, diff)
		}
		for _, entry := range m.Entries {
			if entry.Object != nil && (len(entry.Object.ManagedFields) > 0 || entry.Object.ResourceVersion == "") {
				t.Errorf("%s: %s has managed fields, or no revision", test.path, entry.Name)
			}
		}
	}
	if _, code := s.moment("/console/snapshot?resources=pods&rev=99"); code != http.StatusNotFound {
		t.Errorf("a revision that is not written yet: %d", code)
	}
	if err := s.store.Compact(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"snapshot?resources=pods&rev=2", "delta?resources=pods&from=5&to=2"} {
		if _, code := s.moment("/console/" + path); code != http.StatusGone {
			t.Errorf("%s, which is not kept any more: %d", path, code)
		}
	}
}

// A stretch of the log can be gone through in both directions.
func TestTheLogCanBeUndone(t *testing.T) {
	s := newStage(t)
	s.write("pods", "a", label("1")) // 1
	s.write("pods", "b", label("1")) // 2
	s.write("pods", "a", label("2")) // 3
	s.write("pods", "a", label("3")) // 4
	s.write("pods", "b", nil)        // 5
	s.write("pods", "b", label("2")) // 6
	m, code := s.moment("/console/log?resources=pods&after=2&until=6")
	if code != http.StatusOK || len(m.Entries) != 4 {
		t.Fatalf("%d: %+v", code, m.Entries)
	}
	var before []string
	for _, entry := range m.Entries {
		text := entry.Name
		if entry.Before != nil {
			text += " was " + entry.Before.Labels["v"]
		}
		before = append(before, text)
	}
	// What was there in the stretch itself is known by who reads it in order.
	if diff := cmp.Diff([]string{"a was 1", "a", "b was 1", "b"}, before); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "3", "b": "2"}, m.pods()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"after=6&until=2", "after=1&until=9999", "after=x&until=2"} {
		if _, code := s.moment("/console/log?resources=pods&" + bad); code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

func TestSecretsAreNotSent(t *testing.T) {
	s := newStage(t)
	s.write("secrets", "password", label("1"))
	s.write("leases.coordination.k8s.io", "heartbeat", label("1"))
	m, _ := s.moment("/console/changes")
	if len(m.Entries) != 1 || m.Entries[0].Name != "password" || m.Entries[0].Object != nil {
		t.Errorf("got %+v", m.Entries)
	}
	if m, _ = s.moment("/console/snapshot?resources=secrets"); len(m.pods()) > 0 {
		t.Errorf("got %v", m.pods())
	}
}

func (s *stage) feed(after int64, origin string) (*websocket.Conn, *http.Response, error) {
	client := s.browser(true)
	at, _ := url.Parse(s.server.URL)
	header := http.Header{"Cookie": {client.Jar.Cookies(at)[0].String()}}
	if origin != "" {
		header.Set("Origin", strings.ReplaceAll(origin, "PORT", strconv.Itoa(s.port)))
	}
	return websocket.DefaultDialer.Dial(fmt.Sprintf("ws://127.0.0.1:%d/console/feed?resources=pods&after=%d", s.port, after), header)
}

func TestTheFeedFollowsEveryWriteInOrder(t *testing.T) {
	s := newStage(t)
	for _, origin := range []string{"", "https://evil.example", "http://127.0.0.1:1"} {
		if _, answer, err := s.feed(0, origin); err == nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("from %q: %v", origin, err)
		}
	}
	s.write("pods", "a", label("1"))
	s.write("pods", "b", label("1"))
	socket, _, err := s.feed(1, "http://127.0.0.1:PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	var got []string
	go s.write("pods", "a", nil)
	for len(got) < 2 {
		var m moment
		if err := socket.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		for _, entry := range m.Entries {
			got = append(got, fmt.Sprint(entry.Rev, entry.Name, entry.Deleted, entry.Actor))
		}
	}
	if diff := cmp.Diff([]string{"2bfalsekubernetes-admin", "3atruekubernetes-admin"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAFeedThatIsTooFarBehindBeginsAnew(t *testing.T) {
	s := newStage(t)
	for v := range 5 {
		s.write("pods", "a", label(strconv.Itoa(v)))
	}
	if err := s.store.Compact(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	socket, _, err := s.feed(1, "http://127.0.0.1:PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for {
		var m struct{ Gone bool }
		if err := socket.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		if m.Gone {
			return
		}
	}
}

func TestAVisitIsARequestToTheIngress(t *testing.T) {
	s := newStage(t)
	client := s.browser(true)
	own := "Origin: http://127.0.0.1:PORT"
	answer, text := s.send(client, "POST", "/console/visit", `{"method":"GET","host":"web.example","path":"/a?b=c"}`, own)
	if answer.StatusCode != http.StatusOK || !strings.Contains(text, `"body":"hello"`) {
		t.Errorf("%s %s", answer.Status, text)
	}
	if got := <-s.visits; got != (console.Visit{Method: "GET", Host: "web.example", Path: "/a?b=c"}) {
		t.Errorf("visited %+v", got)
	}
	for _, body := range []string{`{"method":"DELETE","host":"a","path":"/"}`, `{"method":"GET","host":"a","path":"@evil.example/"}`, `{"method":"GET","host":"","path":"/"}`, `x`} {
		if answer, _ := s.send(client, "POST", "/console/visit", body, own); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", body, answer.Status)
		}
	}
}
