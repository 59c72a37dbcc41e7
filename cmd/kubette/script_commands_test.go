package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/rogpeppe/go-internal/testscript"

	"kubette/cluster"
	"kubette/kubelet/runtime/docker"
)

// scriptPatience bounds how long a script waits for what has no end of its own.
const scriptPatience = 40 * time.Second

// scriptUp starts the script's cluster in the background, on free ports, and puts its addresses into API_URL, HTTP_URL,
// HTTPS_URL, their ports into API_PORT, HTTP_PORT, HTTPS_PORT, and its process into PID.
//
//	up [flags of kubette up]
func scriptUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! up; use ! kubette up")
	}
	ports := []string{"--api-port", "0", "--http-port", "0", "--https-port", "0"}
	ts.Check(ts.Exec("kubette", append(append([]string{"up", "--detach", "--runtime", ts.Getenv("RUNTIME")}, ports...), args...)...))
	running := readState(ts).Running
	ts.Setenv("PID", fmt.Sprint(running.PID))
	for name, address := range map[string]string{"API": running.APIURL, "HTTP": running.HTTPURL, "HTTPS": running.HTTPSURL} {
		parsed, err := url.Parse(address)
		ts.Check(err)
		ts.Setenv(name+"_URL", address)
		ts.Setenv(name+"_PORT", parsed.Port())
	}
}

// readState reads what kubette keeps about the script's cluster.
func readState(ts *testscript.TestScript) *cluster.State {
	state := &cluster.State{}
	data, err := os.ReadFile(filepath.Join(ts.Getenv("KUBETTE_HOME"), ts.Getenv(nameVariable), "state.json"))
	ts.Check(err)
	ts.Check(json.Unmarshal(data, state))
	if state.Running == nil {
		ts.Fatalf("the cluster is not running")
	}
	return state
}

// scriptRetry runs a command again and again until it succeeds and its output matches.
//
//	retry PATTERN command…
func scriptRetry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: retry PATTERN command…")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && (pattern.MatchString(ts.ReadFile("stdout")) || pattern.MatchString(ts.ReadFile("stderr"))) {
			return
		}
		if time.Since(begun) > scriptPatience {
			ts.Fatalf("in vain (%v): nothing like %q in\n%s%s", err, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

// scriptVisit requests a page until the answer is the wanted one, and leaves its body as standard output. All names lead
// to this machine, as a browser takes those under .localhost.
//
//	visit [-host HOST] [-data BODY] [-status CODE] URL [PATTERN]
func scriptVisit(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("visit", flag.ContinueOnError)
	host, data, status := flags.String("host", "", ""), flags.String("data", "", ""), flags.Int("status", http.StatusOK, "")
	ts.Check(flags.Parse(args))
	if neg || flags.NArg() < 1 {
		ts.Fatalf("usage: visit [-host HOST] [-data BODY] [-status CODE] URL [PATTERN]")
	}
	pattern := regexp.MustCompile(flags.Arg(1))
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}}
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		code, body, err := visitOnce(client, flags.Arg(0), *host, *data)
		if err == nil && code == *status && pattern.MatchString(body) {
			_, _ = io.WriteString(ts.Stdout(), body)
			return
		}
		if time.Since(begun) > scriptPatience {
			ts.Fatalf("in vain: %d (%v): %s", code, err, body)
		}
	}
}

func visitOnce(client *http.Client, address, host, data string) (int, string, error) {
	method := http.MethodGet
	if data != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequest(method, address, strings.NewReader(data))
	if err != nil {
		return 0, "", err
	}
	request.Host = host
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// scriptCapture keeps what the last command printed.
//
//	capture VARIABLE
func scriptCapture(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// scriptKill9 kills the cluster's process, which cannot do anything about it, and returns when it is gone.
func scriptKill9(ts *testscript.TestScript, _ bool, _ []string) {
	pid := readState(ts).Running.PID
	process, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(process.Kill())
	for begun := time.Now(); running(pid); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > scriptPatience {
			ts.Fatalf("process %d does not end", pid)
		}
	}
}

// running says whether a process is there and not only waits to be noticed by its parent.
func running(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil { // no Linux
		process, err := os.FindProcess(pid)
		return err == nil && process.Signal(syscall.Signal(0)) == nil
	}
	after := state[bytes.LastIndexByte(state, ')')+1:]
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // as long as there is another, files and locks are held
	return !bytes.HasPrefix(after, []byte(" Z")) || len(threads) > 1
}

// scriptOccupy takes a port, until the script ends.
//
//	occupy VARIABLE
func scriptOccupy(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
	ts.Setenv(args[0], fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
}

// scriptFreePort finds a port that nobody has.
//
//	freeport VARIABLE
func scriptFreePort(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
	ts.Check(listener.Close())
}

// scriptNothingLeft sees to it that a cluster has left nothing on the engine, or, with -volumes, only volumes.
//
//	nothingleft [-volumes] NAME
func scriptNothingLeft(ts *testscript.TestScript, neg bool, args []string) {
	volumes := len(args) == 2 && args[0] == "-volumes"
	left, err := leftOnEngine(args[len(args)-1], !volumes)
	ts.Check(err)
	switch {
	case neg && len(left) == 0:
		ts.Fatalf("there is nothing on the engine")
	case !neg && len(left) > 0:
		ts.Fatalf("left on the engine: %s", strings.Join(left, ", "))
	}
}

// leftOnEngine lists what an engine has of a cluster.
func leftOnEngine(name string, volumes bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	engine, err := docker.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	var left []string
	of := filters.NewArgs(filters.Arg("label", "kubette="+name))
	containers, err := engine.Client().ContainerList(ctx, container.ListOptions{All: true, Filters: of})
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		left = append(left, "container "+strings.Join(c.Names, " "))
	}
	networks, err := engine.Client().NetworkList(ctx, network.ListOptions{Filters: of})
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		left = append(left, "network "+n.Name)
	}
	if !volumes {
		return left, nil
	}
	found, err := engine.Client().VolumeList(ctx, volume.ListOptions{Filters: of})
	if err != nil {
		return nil, err
	}
	for _, v := range found.Volumes {
		left = append(left, "volume "+v.Name)
	}
	return left, nil
}

// removeClusters takes down what a script has left running, whatever became of it.
func removeClusters(env *testscript.Env) {
	home := env.Getenv("KUBETTE_HOME")
	entries, _ := os.ReadDir(home)
	for _, entry := range entries {
		down := exec.Command("kubette", "--name", entry.Name(), "down", "--delete-data")
		down.Env = append(os.Environ(), "KUBETTE_HOME="+home)
		if out, err := down.CombinedOutput(); err != nil {
			env.T().Log(fmt.Sprintf("take down %s: %v: %s", entry.Name(), err, out))
		}
	}
}
