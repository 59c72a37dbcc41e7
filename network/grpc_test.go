package network

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A gRPC call is an HTTP/2 request whose status comes in trailers after the body.
func TestGRPCReachesPodsThatSpeakHTTP2WithoutTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pod := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s TE=%s heard %s", r.Proto, r.Header.Get("Te"), body)
		w.Header().Set("Grpc-Status", "0")
	})}
	pod.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = pod.Serve(listener) }()
	t.Cleanup(func() { _ = pod.Close() })

	object := ingress("rpc", "rpc.example.org", "/", "rpc")
	object.Annotations = map[string]string{nginxPrefix + "backend-protocol": "GRPC"}
	plain := newTestIngress(t, tableOf(service("default", "rpc", "10.96.0.20", nil, listener.Addr().String())), nil, object)
	handler := plain.Config.Handler.(*Ingress)
	handler.config.Pod = DialDirect
	front := httptest.NewUnstartedServer(handler)
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)

	request, err := http.NewRequest(http.MethodPost, front.URL+"/greet.Greeter/Hello", strings.NewReader("ada"))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "rpc.example.org"
	request.Header.Set("Te", "trailers")
	answer, err := front.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "HTTP/2.0 TE=trailers heard ada" || answer.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%s, trailers %v, %q, %v", answer.Status, answer.Trailer, body, err)
	}
}
