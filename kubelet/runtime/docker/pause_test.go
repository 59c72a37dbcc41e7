package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"testing"
	"time"
)

// process is the sandbox' program as a process of this machine, without an engine.
type process struct {
	io.Reader
	io.Writer
}

func (process) Close() error                     { return nil }
func (process) LocalAddr() net.Addr              { return nil }
func (process) RemoteAddr() net.Addr             { return nil }
func (process) SetDeadline(time.Time) error      { return nil }
func (process) SetReadDeadline(time.Time) error  { return nil }
func (process) SetWriteDeadline(time.Time) error { return nil }

// TestTheSandboxProgram has the program do system calls, on this machine's architecture and, with qemu, on the other.
func TestTheSandboxProgram(t *testing.T) {
	if goruntime.GOOS != "linux" {
		t.Skip("the program is for Linux")
	}
	emulators := map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}
	for architecture, emulator := range emulators {
		t.Run(architecture, func(t *testing.T) {
			program, err := pauseProgram(architecture)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "pause")
			if err := os.WriteFile(name, program, 0o755); err != nil {
				t.Fatal(err)
			}
			// The next file that it opens is number 3, as in a container, also where whoever runs the tests left that open.
			arguments := []string{"-c", `exec "$@" 3>&-`, "sh", name}
			if architecture != goruntime.GOARCH {
				if emulator, err = exec.LookPath(emulator); err != nil {
					t.Skip(err)
				}
				arguments = slices.Insert(arguments, 3, emulator)
			}
			command := exec.Command("sh", arguments...)
			stdin, _ := command.StdinPipe()
			stdout, _ := command.StdoutPipe()
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer command.Wait()
			defer command.Process.Kill()
			w := &worker{conn: process{stdout, stdin}, stream: stdout, architecture: architecture}
			if err := w.hello(t.Context()); err != nil {
				t.Fatal(err)
			}
			useProgram(t, w)
			if len(program) > 400 {
				t.Errorf("it has %d bytes", len(program))
			}
		})
	}
}

func useProgram(t *testing.T, w *worker) {
	directory := t.TempDir()
	content := make([]byte, 3*maxData+100)
	for i := range content {
		content[i] = byte(i / 7)
	}
	calls := append([]call{makeDirectory(directory+"/a", 0o755)}, writeFile(directory+"/a/b", content, 0o640, nil)...)
	calls = append(calls, linkTo("a/b", directory+"/link"), readLink(directory+"/link"), readLink(directory+"/a"), rename(directory+"/a/b", directory+"/a/c"))
	answers, err := w.do(context.Background(), calls...)
	if err != nil {
		t.Fatal(err)
	}
	if target, err := linkTarget(answers[len(answers)-3], directory+"/link"); target != "a/b" || err != nil {
		t.Errorf("the link points to %q, %v", target, err)
	}
	if _, err := linkTarget(answers[len(answers)-2], directory+"/a"); !errors.Is(err, errInvalid) {
		t.Errorf("what is no link: %v", err)
	}
	got, err := os.ReadFile(directory + "/a/c")
	if err != nil || string(got) != string(content) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	if info, _ := os.Stat(directory + "/a/c"); info.Mode() != 0o640 {
		t.Errorf("its mode is %v", info.Mode())
	}
	if _, err := w.do(context.Background(), makeDirectory(directory+"/x/y", 0o755)); !errors.Is(err, errNoEntry) {
		t.Errorf("a directory in none: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for prefix, want := range map[string]string{"10.96.0.0/15": "10.97.0.0/24", "10.126.0.0/15": "10.127.0.0/24", "10.0.0.0/8": "10.128.0.0/24", "172.16.0.0/16": "172.16.128.0/24"} {
		if got := clusterRange(netip.MustParsePrefix(prefix)); got != netip.MustParsePrefix(want) {
			t.Errorf("%v: the cluster's own range is %v, want %v", prefix, got, want)
		}
	}
	pool := newAddresses(netip.MustParsePrefix("10.97.1.0/29"))
	var given []string
	for {
		address, err := pool.take()
		if err != nil {
			break
		}
		given = append(given, address.String())
	}
	if len(given) != 5 || given[0] != "10.97.1.2" || given[4] != "10.97.1.6" {
		t.Errorf("given: %v", given)
	}
}
