package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/network"
)

const (
	benchHost = "web.example.org"
	// ingressArgument starts this program as nothing but an ingress before the back end that follows.
	ingressArgument = "serve-ingress"
	duration        = "6s"
)

// nginxConfig serves a back end, a plain reverse proxy before it, and one that keeps its connections.
const nginxConfig = `
daemon off; error_log %[1]s/error.log crit; pid %[1]s/nginx.pid; worker_processes auto;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream kept { server 127.0.0.1:%[2]d; keepalive 128; keepalive_requests 1000000; }
  server { listen 127.0.0.1:%[2]d; location / { default_type text/plain; return 200 "%[5]s"; } }
  server { listen 127.0.0.1:%[3]d; location / { proxy_pass http://127.0.0.1:%[2]d; proxy_set_header Host $host; } }
  server { listen 127.0.0.1:%[4]d; location / { proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }
}
`

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func measureIngress(ctx context.Context, table *tabwriter.Writer) error {
	folder, err := os.MkdirTemp("", "kubette-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	var ports [4]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	config := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, folder, ports[0], ports[1], ports[2], strings.Repeat("x", 200))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	backend, plain, kept := at(ports[0]), at(ports[1]), at(ports[2])
	stopNginx, err := background(ctx, "nginx", "-c", config)
	if err != nil {
		return err
	}
	defer stopNginx()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	stopIngress, err := background(ctx, self, ingressArgument, backend+"="+at(ports[3]))
	if err != nil {
		return err
	}
	defer stopIngress()
	ingress := at(ports[3])
	for _, address := range []string{plain, kept, ingress} {
		if err := waitFor(address); err != nil {
			return err
		}
	}
	type result struct {
		name, address string
		load, single  wrkResult
	}
	results := []*result{{name: "back end alone", address: backend}, {name: "nginx, plain", address: plain},
		{name: "nginx, kept connections", address: kept}, {name: "kubette's ingress", address: ingress}}
	for _, r := range results {
		if r.single, err = wrk(ctx, r.address, 1, 1); err != nil {
			return err
		}
		if r.load, err = wrk(ctx, r.address, 2, 64); err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.0f requests/s, p50 %s, p99 %s (64 connections); one at a time: p50 %s\t\n",
			r.name, r.load.rate, r.load.p50, r.load.p99, r.single.p50)
	}
	fmt.Fprintf(table, "ingress / nginx plain\t%.2f\tat least 0.7\n", results[3].load.rate/results[1].load.rate)
	fmt.Fprintf(table, "ingress / nginx with kept connections\t%.2f\t\n", results[3].load.rate/results[2].load.rate)
	fmt.Fprintf(table, "ingress adds to a direct request, p50\t%s\tunder 300µs\n", results[3].single.p50-results[0].single.p50)
	return nil
}

func at(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// background starts a program, and returns how to end it.
func background(ctx context.Context, name string, args ...string) (func(), error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	}, nil
}

func waitFor(address string) error {
	for range 500 {
		request, _ := http.NewRequest(http.MethodGet, "http://"+address, nil)
		request.Host = benchHost
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New(address + " does not answer")
}

type wrkResult struct {
	rate     float64
	p50, p99 time.Duration
}

var (
	rateLine   = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	fiftyLine  = regexp.MustCompile(`(?m)^\s+50%\s+(\S+)`)
	ninetyLine = regexp.MustCompile(`(?m)^\s+99%\s+(\S+)`)
	errorLine  = regexp.MustCompile(`Non-2xx.*|Socket errors.*`)
)

func wrk(ctx context.Context, address string, threads, connections int) (wrkResult, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(connections), "-d", duration,
		"--latency", "-H", "Host: "+benchHost, "http://"+address+"/").Output()
	if err != nil {
		return wrkResult{}, fmt.Errorf("wrk: %w", err)
	}
	if failed := errorLine.Find(out); failed != nil {
		return wrkResult{}, fmt.Errorf("wrk of %s: %s", address, failed)
	}
	var r wrkResult
	if r.rate, err = strconv.ParseFloat(string(submatch(rateLine, out)), 64); err != nil {
		return r, err
	}
	if r.p50, err = time.ParseDuration(string(submatch(fiftyLine, out))); err != nil {
		return r, err
	}
	r.p99, err = time.ParseDuration(string(submatch(ninetyLine, out)))
	return r, err
}

func submatch(line *regexp.Regexp, out []byte) []byte {
	if found := line.FindSubmatch(out); found != nil {
		return bytes.TrimSpace(found[1])
	}
	return nil
}

// serveIngress is kubette's ingress in a process of its own, before one back end: "BACKEND=LISTEN".
func serveIngress(ctx context.Context, what string) error {
	backend, listen, _ := strings.Cut(what, "=")
	table := network.NewTable()
	table.Replace(types.NamespacedName{Namespace: "default", Name: "web"}, &network.Service{
		Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}}},
		Endpoints: []network.Endpoint{{Address: netip.MustParseAddrPort(backend), Protocol: corev1.ProtocolTCP, Ready: true, Serving: true}},
	})
	ingress := network.NewIngress(network.IngressConfig{Informers: client.NewInformers(nil, nil), Table: table,
		Pod: func(ctx context.Context, kind string, address netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, kind, address.String())
		}})
	kind := networkingv1.PathTypePrefix
	ingress.Route([]*networkingv1.Ingress{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: benchHost, IngressRuleValue: networkingv1.IngressRuleValue{
			HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &kind,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}}}}})
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if path := os.Getenv("KUBETTE_BENCH_PROFILE"); path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	server := &http.Server{Handler: &network.ForwardProxy{Ingress: ingress, HTTP: listen}, ReadHeaderTimeout: 30 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
