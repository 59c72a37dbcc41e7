package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"kubette/store"
	"kubette/store/etcdtest"
)

// Two servers of one etcd see each other's writes, refuse each other's old revisions, and keep who wrote what.
func TestEtcdIsShared(t *testing.T) {
	etcd := etcdtest.Start(t)
	a, b := mustOpenEtcd(t, etcd.URL), mustOpenEtcd(t, etcd.URL)
	ctx := t.Context()
	watcher, err := b.Watch("/shared/", b.Revision())
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for i := range 50 {
		by := []*store.Etcd{a, b}[i%2]
		entry, err := by.Write(ctx, store.Write{Key: "/shared/x", Value: fmt.Append(nil, i), Expected: at, Meta: store.Meta{Actor: fmt.Sprint(i)}})
		if err != nil {
			t.Fatal(err)
		}
		other := []*store.Etcd{b, a}[i%2]
		if err := other.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		seen, err := other.Get(ctx, "/shared/x", 0)
		if err != nil || seen.Revision != entry.Revision || seen.Meta.Actor != fmt.Sprint(i) {
			t.Fatalf("after %+v the other has %+v, %v", entry, seen, err)
		}
		if _, err := other.Write(ctx, store.Write{Key: "/shared/x", Expected: at}); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("a write at an old revision: %v", err)
		}
		at = entry.Revision
	}
	if _, err := a.Write(ctx, store.Write{Key: "/shared/x", Expected: at, Delete: true, Meta: store.Meta{Actor: "last"}}); err != nil {
		t.Fatal(err)
	}
	var events []store.Event
	for len(events) < 51 {
		more, err := watcher.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, more...)
	}
	if last := events[50]; !last.Deleted || last.Meta.Actor != "last" || string(last.Previous.Value()) != "49" {
		t.Errorf("the deletion is %+v, with %+v before it", last.Entry, last.Previous)
	}
}

// What etcd acknowledged is there after it was killed, and its servers go on when it is back.
func TestEtcdKilled(t *testing.T) {
	etcd := etcdtest.Start(t)
	s := mustOpenEtcd(t, etcd.URL)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const hands = 4
	var mu sync.Mutex
	acknowledged := map[string]int64{} // revision by key
	writes := make(chan struct{})
	var group sync.WaitGroup
	for hand := range hands {
		group.Go(func() {
			key := fmt.Sprintf("/hand/%d", hand)
			for ctx.Err() == nil {
				at := int64(0)
				if s.Sync(ctx) != nil {
					continue
				}
				if entry, err := s.Get(ctx, key, 0); err == nil {
					at = entry.Revision
				}
				trying, cancel := context.WithTimeout(ctx, time.Second)
				entry, err := s.Write(trying, store.Write{Key: key, Value: make([]byte, 100), Expected: at})
				cancel()
				if err == nil {
					mu.Lock()
					acknowledged[key] = entry.Revision
					mu.Unlock()
					select {
					case writes <- struct{}{}:
					case <-ctx.Done():
					}
				}
			}
		})
	}
	for range 5 {
		for range 40 {
			<-writes
		}
		etcd.Kill()
		etcd.Run()
	}
	for range 40 {
		<-writes
	}
	stop()
	group.Wait()
	fresh := mustOpenEtcd(t, etcd.URL)
	for key, revision := range acknowledged {
		entry, err := fresh.Get(t.Context(), key, 0)
		if err != nil || entry.Revision < revision {
			t.Errorf("%s was acknowledged at %d, there is %+v, %v", key, revision, entry, err)
		}
	}
	if len(acknowledged) != hands {
		t.Errorf("acknowledged %v", acknowledged)
	}
}

// Somebody else uses the etcd, too, and compacts it while this server is cut off: it reads all anew, and tells watchers.
func TestEtcdCompactedByOthers(t *testing.T) {
	etcd := etcdtest.Start(t)
	s := mustOpenEtcd(t, etcd.URL)
	other, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	first, err := s.Write(t.Context(), store.Write{Key: "/a", Value: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // revisions that are none of the store's
		if _, err := other.Put(t.Context(), "/foreign", "x"); err != nil {
			t.Fatal(err)
		}
	}
	second, err := s.Write(t.Context(), store.Write{Key: "/a", Value: []byte("2"), Expected: first.Revision})
	if err != nil || second.Revision != first.Revision+101 {
		t.Fatalf("second write %+v, %v", second, err)
	}
	if entry, err := s.Get(t.Context(), "/a", second.Revision-50); err != nil || string(entry.Value()) != "1" {
		t.Errorf("between the two: %+v, %v", entry, err)
	}
	if _, err := other.Compact(t.Context(), second.Revision); err != nil {
		t.Fatal(err)
	}
	fresh := mustOpenEtcd(t, etcd.URL)
	if entry, err := fresh.Get(t.Context(), "/a", 0); err != nil || string(entry.Value()) != "2" || entry.Version != 2 {
		t.Errorf("after compaction: %+v, %v", entry, err)
	}
	if _, err := fresh.Get(t.Context(), "/a", second.Revision-1); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a read before the compaction: %v", err)
	}
	if _, err := fresh.Watch("", first.Revision); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watch from before the compaction: %v", err)
	}
}

func TestEtcdOptions(t *testing.T) {
	for _, wrong := range []struct {
		options store.EtcdOptions
		says    string
	}{
		{store.EtcdOptions{}, "--etcd-endpoints"},
		{store.EtcdOptions{Endpoints: []string{"127.0.0.1:2379"}}, "with its scheme"},
		{store.EtcdOptions{Endpoints: []string{"https://127.0.0.1:2379"}, CertFile: "x"}, "--etcd-keyfile"},
		{store.EtcdOptions{Endpoints: []string{"https://127.0.0.1:2379"}, CAFile: filepath.Join(t.TempDir(), "none")}, "--etcd-cafile"},
		{store.EtcdOptions{Endpoints: []string{"http://127.0.0.1:2379"}, Username: "x"}, "--etcd-password-file"},
	} {
		if _, err := store.OpenEtcd(t.Context(), wrong.options); err == nil || !strings.Contains(err.Error(), wrong.says) {
			t.Errorf("%+v: %v, want a word of %s", wrong.options, err, wrong.says)
		}
	}
}

// An etcd with authentication lets in who has the password.
func TestEtcdPassword(t *testing.T) {
	etcd := etcdtest.Start(t)
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ctx := t.Context()
	_, err1 := admin.RoleAdd(ctx, "kubette")
	_, err2 := admin.RoleGrantPermission(ctx, "kubette", "/kubette/", clientv3.GetPrefixRangeEnd("/kubette/"), clientv3.PermissionType(clientv3.PermReadWrite))
	_, err3 := admin.UserAdd(ctx, "root", "secret")
	_, err4 := admin.UserGrantRole(ctx, "root", "root")
	_, err5 := admin.UserAdd(ctx, "ana", "hidden")
	_, err6 := admin.UserGrantRole(ctx, "ana", "kubette")
	_, err7 := admin.AuthEnable(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	open := func(user, text string) error {
		if err := os.WriteFile(password, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		options := store.EtcdOptions{Endpoints: []string{etcd.URL}, Username: user, PasswordFile: password}
		if user == "" {
			options.PasswordFile = ""
		}
		s, err := store.OpenEtcd(ctx, options)
		if err != nil {
			return err
		}
		_, err = s.Write(ctx, store.Write{Key: "/a" + text})
		return errors.Join(err, s.Close())
	}
	if err := open("ana", "hidden"); err != nil {
		t.Error(err)
	}
	for user, text := range map[string]string{"": "", "ana": "wrong"} {
		if err := open(user, text); err == nil || !strings.Contains(err.Error(), "--etcd-password-file") {
			t.Errorf("user %q with password %q: %v", user, text, err)
		}
	}
}

// Over TLS, etcd is known by its certificate, and knows who has one of its own CA.
func TestEtcdTLS(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	ca := writeCertificate(t, dir, "ca", nil)
	writeCertificate(t, dir, "server", ca)
	writeCertificate(t, dir, "client", ca)
	etcd := etcdtest.Start(t, "--cert-file", path("server.crt"), "--key-file", path("server.key"),
		"--trusted-ca-file", path("ca.crt"), "--client-cert-auth")
	options := store.EtcdOptions{Endpoints: []string{etcd.URL}, CAFile: path("ca.crt"), CertFile: path("client.crt"), KeyFile: path("client.key")}
	s, err := store.OpenEtcd(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), store.Write{Key: "/a"}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	options.CertFile, options.KeyFile = "", ""
	if s, err := store.OpenEtcd(ctx, options); err == nil {
		_ = s.Close()
		t.Error("etcd let in who has no certificate")
	}
}

// authority signs the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// writeCertificate writes a certificate and its key, signed by a CA, or by itself as one.
func writeCertificate(t *testing.T, dir, name string, ca *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := &authority{key: key, certificate: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: ca == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}}
	if ca == nil {
		ca = own
	}
	der, err := x509.CreateCertificate(rand.Reader, own.certificate, ca.certificate, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return own
}
