package network

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// newDirect asks one address whatever is dialled, and counts how often it connects.
func newDirect(t *testing.T, address string) (*direct, *atomic.Int32) {
	t.Helper()
	dialled := new(atomic.Int32)
	d := &direct{transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}}
	t.Cleanup(d.close)
	return d, dialled
}

func ask(d *direct, method string) (string, error) {
	request, err := http.NewRequest(method, "http://10.97.1.5:8000/", nil)
	if err != nil {
		return "", err
	}
	response, err := d.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestAConnectionToAPodIsUsedAgain(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
		}
		fmt.Fprint(w, "hello")
	}))
	defer pod.Close()
	d, dialled := newDirect(t, pod.Listener.Addr().String())
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodGet} {
		want := ""
		if method == http.MethodGet {
			want = "hello"
		}
		if body, err := ask(d, method); err != nil || body != want {
			t.Errorf("%s: %q, %v", method, body, err)
		}
	}
	if dialled.Load() != 1 {
		t.Errorf("%d connections for four requests", dialled.Load())
	}
	// What lay idle was closed by the pod: another connection is made, and nobody notices.
	pod.CloseClientConnections()
	if body, err := ask(d, http.MethodGet); err != nil || body != "hello" {
		t.Errorf("after the pod closed its connections: %q, %v", body, err)
	}
}

func TestABodyLeftUnreadEndsItsConnection(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1<<20))
	}))
	defer pod.Close()
	d, dialled := newDirect(t, pod.Listener.Addr().String())
	request, err := http.NewRequest(http.MethodGet, "http://10.97.1.5:8000/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := d.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if body, err := ask(d, http.MethodGet); err != nil || len(body) != 1<<20 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if dialled.Load() != 2 {
		t.Errorf("%d connections: the rest of an answer must not be taken for the next one", dialled.Load())
	}
}

func TestAnEndlessHeadIsCutOff(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = fmt.Fprintf(conn, "X-More: %s\r\n", strings.Repeat("x", 1<<16))
		}
	}()
	d, _ := newDirect(t, listener.Addr().String())
	if _, err := ask(d, http.MethodGet); err == nil || !strings.Contains(err.Error(), errLongHeader.Error()) {
		t.Errorf("the answer to an endless head: %v", err)
	}
}
