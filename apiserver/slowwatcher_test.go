package apiserver_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A watcher that reads nothing costs the others nothing: each write reaches them as before, and whoever writes does not
// wait. When it reads at last, it gets every event, in order.
func TestSlowWatcherOverHTTP(t *testing.T) {
	const writes, size, slow = 300, 50_000, 5
	d := openDoor(t, nil)
	d.must(t, http.StatusCreated, "POST", "/api/v1/namespaces", `{"metadata":{"name":"slow"}}`)
	path := "/api/v1/namespaces/slow/configmaps"
	var sleepers []*json.Decoder
	for range slow {
		sleepers = append(sleepers, d.watchWithSmallBuffer(t, path))
	}
	awake := d.watchWithSmallBuffer(t, path)
	value := strings.Repeat("x", size)
	for i := range writes { // 15 MB, more than fits into buffers on the way
		name := fmt.Sprintf("m-%d", i)
		d.must(t, http.StatusCreated, "POST", path, fmt.Sprintf(`{"metadata":{"name":%q},"data":{"a":%q}}`, name, value))
		if got := nextName(t, awake); got != name {
			t.Fatalf("the watcher that reads got %s, want %s", got, name)
		}
	}
	for _, sleeper := range sleepers {
		for i := range writes {
			if got := nextName(t, sleeper); got != fmt.Sprintf("m-%d", i) {
				t.Fatalf("the watcher that slept got %s as event %d", got, i)
			}
		}
	}
}

// nextName is the name of the next object of a watch.
func nextName(t *testing.T, events *json.Decoder) string {
	t.Helper()
	var event struct {
		Object struct{ Metadata struct{ Name string } }
	}
	if err := events.Decode(&event); err != nil {
		t.Fatal(err)
	}
	return event.Object.Metadata.Name
}

// watchWithSmallBuffer opens a watch on a connection of its own, in which little waits unread.
func (d *door) watchWithSmallBuffer(t *testing.T, path string) *json.Decoder {
	t.Helper()
	raw, err := net.Dial("tcp", strings.TrimPrefix(d.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err := raw.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	_ = raw.SetReadDeadline(time.Now().Add(time.Minute))
	secure := tls.Client(raw, &tls.Config{RootCAs: d.CA.Pool(), ServerName: "127.0.0.1"})
	fmt.Fprintf(secure, "GET %s?watch=1 HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer %s\r\n\r\n", path, adminToken)
	response, err := http.ReadResponse(bufio.NewReaderSize(secure, 4096), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("watch: %v, %v", response, err)
	}
	return json.NewDecoder(response.Body)
}
