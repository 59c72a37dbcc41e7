package apiserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"kubette/apiserver"
	"kubette/apiserver/admission"
	"kubette/apiserver/auth"
	"kubette/apiserver/kinds"
	"kubette/store"
)

// door is an API server behind its real door: TLS, tokens, RBAC, admission.
type door struct {
	*apiserver.Server
	URL    string
	CA     *auth.CA
	Tokens *auth.Tokens
	client *http.Client
}

const (
	adminToken  = "admin-token"
	nobodyToken = "nobody-token"
)

// openDoor serves a fresh API server on a free port of this machine until the test ends.
func openDoor(t testing.TB, change func(*apiserver.Config)) *door {
	t.Helper()
	ca, err := auth.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{CA: ca}
	cluster := func() kinds.Cluster { return d.Cluster() }
	d.Tokens = &auth.Tokens{Key: ca.Key, Issuer: auth.DefaultIssuer("cluster.local"), Cluster: cluster}
	static := auth.StaticTokens{}
	static.Add(adminToken, auth.Admin())
	static.Add(nobodyToken, &user.DefaultInfo{Name: "nobody"})
	authenticator := &auth.Authenticator{CA: ca, Static: static, Tokens: d.Tokens}
	authorizer := &auth.Authorizer{Cluster: cluster}
	_, services, err := net.ParseCIDR("10.96.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	config := apiserver.Config{
		Store: store.NewMemory(), ServiceCIDR: services, Authenticator: authenticator, Authorizer: authorizer,
		Admission: append(admission.Default(), auth.Escalation{Authorizer: authorizer}), Tokens: d.Tokens, ReviewToken: authenticator.ReviewToken,
	}
	if change != nil {
		change(&config)
	}
	d.Server, err = apiserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := auth.Bootstrap(ctx, d.Server); err != nil {
		t.Fatal(err)
	}
	serving, stopServing := context.WithCancel(context.Background())
	var running, served sync.WaitGroup
	served.Go(func() { d.Run(serving) })
	running.Go(func() { giveAccounts(ctx, d.Server) })
	d.serve(ctx, t, &running)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		stopServing() // the last to go: watches may be opened until the end
		served.Wait()
	})
	return d
}

func (d *door) serve(ctx context.Context, t testing.TB, running *sync.WaitGroup) {
	t.Helper()
	address := "127.0.0.1:0"
	if wanted := os.Getenv("KUBETTE_TEST_ADDRESS"); wanted != "" {
		address = wanted
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	config, err := d.CA.ServerTLS(auth.ServerNames("cluster.local"), []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	d.URL = "https://" + listener.Addr().String()
	d.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.CA.Pool()}}}
	t.Cleanup(d.client.CloseIdleConnections)
	running.Go(func() {
		if err := apiserver.Serve(ctx, listener, config, d.Handler()); err != nil {
			t.Error(err)
		}
	})
}

// giveAccounts does what the service account controller does: each namespace gets its default account.
func giveAccounts(ctx context.Context, server *apiserver.Server) {
	namespaces := apiserver.Request{User: auth.Server(), Resource: corev1.SchemeGroupVersion.WithResource("namespaces")}
	events, err := server.Watch(ctx, namespaces, metav1.ListOptions{})
	if err != nil {
		return
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		if namespace, ok := event.Object.(*corev1.Namespace); ok {
			request := apiserver.Request{User: auth.Server(), Namespace: namespace.Name, Resource: corev1.SchemeGroupVersion.WithResource("serviceaccounts")}
			_, _ = server.Create(ctx, request, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
		}
	}
}

// restConfig is how client-go reaches the door.
func (d *door) restConfig(token string) *rest.Config {
	return &rest.Config{Host: d.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: d.CA.PEM()}}
}

// answer is what came back.
type answer struct {
	Code   int
	Header http.Header
	Body   []byte
}

func (a answer) object(t testing.TB) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(a.Body, &object); err != nil {
		t.Fatalf("the answer is no JSON: %v\n%s", err, a.Body)
	}
	return object
}

// ask sends a request as a user with a token; headers come as name and value by turns.
func (d *door) ask(t testing.TB, token, method, path, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequest(method, d.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := d.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var data bytes.Buffer
	if _, err := io.Copy(&data, response.Body); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, data.Bytes()}
}

// must asks as the administrator and wants a certain code.
func (d *door) must(t testing.TB, code int, method, path, body string, headers ...string) answer {
	t.Helper()
	a := d.ask(t, adminToken, method, path, body, headers...)
	if a.Code != code {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, a.Code, code, a.Body)
	}
	return a
}

func podResource() schema.GroupVersionResource { return corev1.SchemeGroupVersion.WithResource("pods") }

// TestServeForHand serves until it is stopped, for trying things by hand:
//
//	KUBETTE_TEST_ADDRESS=127.0.0.1:16444 go test ./apiserver -run TestServeForHand -timeout 0
func TestServeForHand(t *testing.T) {
	if os.Getenv("KUBETTE_TEST_ADDRESS") == "" {
		t.Skip("serves only when KUBETTE_TEST_ADDRESS names an address")
	}
	d := openDoor(t, nil)
	t.Logf("serving %s, token %s", d.URL, adminToken)
	time.Sleep(time.Hour)
}
