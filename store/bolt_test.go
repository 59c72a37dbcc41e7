package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"kubette/store"
)

// TestMain lets the test program be the process that is killed, see TestKill, or whose disk is full, see TestFullDisk.
func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_TEST_WRITE"); path != "" {
		writeForever(path)
		return
	}
	if path := os.Getenv("STORE_TEST_FULL"); path != "" {
		fillDisk(path)
		return
	}
	os.Exit(m.Run())
}

func child(variable, path string) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), variable+"="+path)
	command.Stderr = os.Stderr
	return command
}

func mustOpen(t testing.TB, path string) *store.Bolt {
	t.Helper()
	s, err := store.OpenBolt(path, store.BoltOptions{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// writeForever writes with several hands, compacts now and then, and prints what was acknowledged.
func writeForever(path string) {
	s, err := store.OpenBolt(path, store.BoltOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var printing sync.Mutex
	for hand := range 4 {
		go func() {
			key := fmt.Sprintf("/hand/%d", hand)
			value := bytes.Repeat([]byte{byte(hand)}, 1000)
			for {
				var at int64
				if entry, err := s.Get(context.Background(), key, 0); err == nil {
					at = entry.Revision
				}
				entry, err := s.Write(context.Background(), store.Write{Key: key, Value: value, Expected: at})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				printing.Lock()
				fmt.Println(hand, entry.Revision, entry.Version)
				printing.Unlock()
				if entry.Revision%50 == 0 {
					_ = s.Compact(context.Background(), entry.Revision-20)
				}
			}
		}()
	}
	select {}
}

// crashRounds is how often TestKill kills: STORE_TEST_ROUNDS=500 makes it thorough.
func crashRounds(t *testing.T) int {
	text := os.Getenv("STORE_TEST_ROUNDS")
	if text == "" {
		return 30
	}
	rounds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("STORE_TEST_ROUNDS: %v", err)
	}
	return rounds
}

// Nothing that was acknowledged is lost when the process is killed, and nothing half-written appears.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	acknowledged := map[string][2]int64{} // hand: revision, version
	for round := range crashRounds(t) {
		command := child("STORE_TEST_WRITE", path)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		killAfter := rand.Intn(60)
		for n := 0; lines.Scan(); n++ {
			if n == killAfter {
				_ = command.Process.Signal(syscall.SIGKILL)
			}
			fields := strings.Fields(lines.Text())
			if len(fields) != 3 {
				break // cut off by the kill
			}
			revision, _ := strconv.ParseInt(fields[1], 10, 64)
			version, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged[fields[0]] = [2]int64{revision, version}
		}
		_ = command.Wait()

		s := mustOpen(t, path)
		for hand, want := range acknowledged {
			entry, err := s.Get(t.Context(), "/hand/"+hand, 0)
			if err != nil || entry.Revision < want[0] || entry.Version < want[1] {
				t.Fatalf("round %d: hand %s was acknowledged %v, there is %+v, %v", round, hand, want, entry, err)
			}
			// Each hand waits for an answer before the next write: at most one write is there without one.
			if len(entry.Value()) != 1000 || entry.Version > want[1]+1 {
				t.Fatalf("round %d: hand %s was acknowledged %v, there is version %d of %d bytes", round, hand, want, entry.Version, len(entry.Value()))
			}
			acknowledged[hand] = [2]int64{entry.Revision, entry.Version}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed %d times, acknowledged at last %v", crashRounds(t), acknowledged)
	if len(acknowledged) != 4 {
		t.Errorf("acknowledged %v", acknowledged)
	}
}

func fill(t *testing.T, path string, writes int) {
	t.Helper()
	s := mustOpen(t, path)
	var group sync.WaitGroup
	for i := range writes {
		group.Go(func() {
			key := fmt.Sprintf("/%03d", i%100)
			for {
				var at int64
				if entry, err := s.Get(t.Context(), key, 0); err == nil {
					at = entry.Revision
				}
				if _, err := s.Write(t.Context(), store.Write{Key: key, Value: make([]byte, 100+i), Expected: at}); err == nil {
					return
				}
			}
		})
	}
	group.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to the file's bytes: it is refused with a sentence that says what to do, or what was written is there.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	fill(t, path, 300)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := len(whole)
	whole = bytes.TrimRight(whole, "\x00") // what follows is a hole
	used := len(whole)
	for name, damage := range map[string]func(random *rand.Rand, data []byte) []byte{
		"cut":     func(r *rand.Rand, data []byte) []byte { return data[:r.Intn(used)] },
		"one bit": func(r *rand.Rand, data []byte) []byte { data[r.Intn(used)] ^= 1 << r.Intn(8); return data },
		"noise": func(r *rand.Rand, data []byte) []byte {
			at := r.Intn(used)
			_, _ = r.Read(data[at:min(at+1+r.Intn(5000), len(data))])
			return data
		},
		"a page lost": func(r *rand.Rand, data []byte) []byte {
			at := r.Intn(used/4096) * 4096
			clear(data[at:min(at+4096, used)])
			return data
		},
		"a page elsewhere": func(r *rand.Rand, data []byte) []byte {
			from, to := r.Intn(used/4096)*4096, r.Intn(used/4096)*4096
			copy(data[to:min(to+4096, used)], data[from:min(from+4096, used)])
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused := 0
			for seed := range int64(60) {
				data := damage(rand.New(rand.NewSource(seed)), bytes.Clone(whole))
				bad := filepath.Join(dir, "bad")
				if err := os.WriteFile(bad, data, 0o600); err != nil {
					t.Fatal(err)
				}
				if len(data) == used {
					if err := os.Truncate(bad, int64(size)); err != nil {
						t.Fatal(err)
					}
				}
				s, err := store.OpenBolt(bad, store.BoltOptions{})
				if err != nil {
					refused++
					if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "restore a snapshot") {
						t.Fatalf("seed %d: %v", seed, err)
					}
					continue
				}
				page, err := s.List(t.Context(), "/", store.ListOptions{})
				if err != nil || s.Revision() != 300 || len(page.Entries) != 100 {
					t.Fatalf("seed %d: accepted with revision %d and %d entries, %v", seed, s.Revision(), len(page.Entries), err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if refused == 0 {
				t.Error("no damage was found")
			}
			t.Logf("%d refused", refused)
		})
	}
}

func FuzzDamage(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "store")
	s := mustOpen(f, path)
	if _, err := s.Write(f.Context(), store.Write{Key: "/a", Value: []byte("1")}); err != nil {
		f.Fatal(err)
	}
	_ = s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimRight(whole, "\x00"))
	f.Add([]byte("not a store"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "store")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := store.OpenBolt(path, store.BoltOptions{}); err == nil {
			_ = s.Close()
		}
	})
}

func TestSecondOpener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	mustOpen(t, path)
	_, err := store.OpenBolt(path, store.BoltOptions{Timeout: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "in use by another kubette") {
		t.Errorf("second opener: %v", err)
	}
}

// fillDisk writes until the file may not grow any more, checks that what was there still is, and that the store works
// again when there is room.
func fillDisk(path string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s, err := store.OpenBolt(path, store.BoltOptions{})
	check(err)
	undo, err := limitFileSize(17 << 20)
	check(err)
	value := make([]byte, 1<<20)
	written := int64(0)
	for i := 0; ; i++ {
		_, err = s.Write(context.Background(), store.Write{Key: fmt.Sprintf("/%d", i), Value: value})
		if err != nil {
			break
		}
		written++
	}
	fmt.Println(err)
	if written == 0 || s.Revision() != written {
		check(fmt.Errorf("%d written, revision %d", written, s.Revision()))
	}
	check(undo())
	_, err = s.Write(context.Background(), store.Write{Key: "/after"})
	check(err)
	check(s.Close())
	s, err = store.OpenBolt(path, store.BoltOptions{})
	check(err)
	if s.Revision() != written+1 {
		check(fmt.Errorf("revision %d after reopening, want %d", s.Revision(), written+1))
	}
	check(s.Close())
}

func TestFullDisk(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot limit the size of its files there")
	}
	output, err := child("STORE_TEST_FULL", filepath.Join(t.TempDir(), "store")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(output); !strings.Contains(text, "nothing was changed") || !strings.Contains(text, "the disk is full") {
		t.Errorf("a full disk says %q", text)
	}
}

func TestNewerFormatAndForeignFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.OpenBolt(dir, store.BoltOptions{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
	foreign := filepath.Join(dir, "letter")
	if err := os.WriteFile(foreign, bytes.Repeat([]byte("Dear store, "), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenBolt(foreign, store.BoltOptions{}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a letter: %v", err)
	}
	newer := filepath.Join(dir, "newer")
	if err := mustOpen(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(newer, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("store")).Put([]byte("format"), []byte{2}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = store.OpenBolt(newer, store.BoltOptions{})
	if err == nil || errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
}

func TestCompactionFreesDiskSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := mustOpen(t, path)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var at int64
	write := func(n int) {
		for range n {
			entry, err := s.Write(t.Context(), store.Write{Key: "/a", Value: make([]byte, 1<<20), Expected: at})
			if err != nil {
				t.Fatal(err)
			}
			at = entry.Revision
		}
	}
	write(20)
	before := size()
	for range 3 {
		if err := s.Compact(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		write(15)
	}
	if after := size(); after > before+before/2 {
		t.Errorf("the file grew from %d to %d bytes, though what it held was compacted", before, after)
	}
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "store"))
	if _, err := s.Write(t.Context(), store.Write{Key: "/a", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	var copied bytes.Buffer
	if err := s.Snapshot(&copied); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), store.Write{Key: "/b"}); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(dir, "restored")
	if err := os.WriteFile(restored, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, restored)
	entry, err := r.Get(t.Context(), "/a", 0)
	if err != nil || string(entry.Value()) != "1" || r.Revision() != 1 {
		t.Errorf("restored %+v at revision %d, %v", entry, r.Revision(), err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := mustOpen(b, filepath.Join(b.TempDir(), "store"))
			var group sync.WaitGroup
			next := make(chan int)
			for range writers {
				group.Go(func() {
					for i := range next {
						if _, err := s.Write(b.Context(), store.Write{Key: fmt.Sprintf("/%d", i), Value: make([]byte, 1000)}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := 0; b.Loop(); i++ {
				next <- i
			}
			close(next)
			group.Wait()
		})
	}
}
