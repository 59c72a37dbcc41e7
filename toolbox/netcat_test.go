package toolbox

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// netted is a process with this machine's own network.
func netted(stdin io.Reader, out, complaints io.Writer, files Files, args ...string) *Process {
	return &Process{Args: args, Dir: "/", Stdin: stdin, Stdout: out, Stderr: complaints, Files: files,
		Dial: (&net.Dialer{}).DialContext, Listen: net.Listen, ListenPacket: net.ListenPacket}
}

// runNetted runs a program on this machine's network.
func runNetted(t *testing.T, files Files, stdin string, args ...string) (out, complaints string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Programs()[args[0]](t.Context(), netted(strings.NewReader(stdin), &stdout, &stderr, files, args...))
	return stdout.String(), stderr.String(), code
}

func TestNetcatServesAProgram(t *testing.T) {
	for _, kind := range []string{"tcp", "udp"} {
		addresses := make(chan string, 1)
		server := netted(nil, io.Discard, io.Discard, nil, "nc", "-lk", "-p", "0", "-e", "tr a-z A-Z")
		server.Listen = func(network, _ string) (net.Listener, error) {
			l, err := net.Listen(network, "127.0.0.1:0")
			addresses <- l.Addr().String()
			return l, err
		}
		server.ListenPacket = func(network, _ string) (net.PacketConn, error) {
			s, err := net.ListenPacket(network, "127.0.0.1:0")
			addresses <- s.LocalAddr().String()
			return s, err
		}
		client := []string{"nc", "-w", "1"}
		if kind == "udp" {
			server.Args, client = append(server.Args, "-u"), append(client, "-u")
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan int)
		go func() { ended <- nc(ctx, server) }()
		host, port, _ := net.SplitHostPort(<-addresses)
		for range 2 {
			if out, complaints, code := runNetted(t, nil, "hello\n", append(client, host, port)...); out != "HELLO\n" || code != 0 {
				t.Errorf("%s: %q %q, code %d", kind, out, complaints, code)
			}
		}
		if _, complaints, code := runNetted(t, nil, "", append(client, "-vz", host, port)...); code != 0 || !strings.Contains(complaints, "open") {
			t.Errorf("%s: an open port: %q, code %d", kind, complaints, code)
		}
		stop()
		if code := <-ended; code != exitTerminated {
			t.Errorf("%s: told to stop, the server ends with %d", kind, code)
		}
		if _, complaints, code := runNetted(t, nil, "", append(client, "-vz", host, port)...); code != 1 || !strings.Contains(complaints, "refused") {
			t.Errorf("%s: a closed port: %q, code %d", kind, complaints, code)
		}
	}
	if _, complaints, code := runNetted(t, nil, "", "nc", "-l", "-p", "0", "-e", "nosuch"); code != 1 || !strings.Contains(complaints, "nosuch: not found") {
		t.Errorf("a program that is not there: %q, code %d", complaints, code)
	}
}

// zone answers a few questions, on one port over UDP and TCP.
func zone(t *testing.T) string {
	t.Helper()
	records := map[string]string{
		"backend.default.svc.cluster.local. A":          "backend.default.svc.cluster.local. 5 IN A 10.96.0.20",
		"_http._tcp.web.default.svc.cluster.local. SRV": "_http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local.",
		"20.0.96.10.in-addr.arpa. PTR":                  "20.0.96.10.in-addr.arpa. 5 IN PTR backend.default.svc.cluster.local.",
		"alias.default.svc.cluster.local. CNAME":        "alias.default.svc.cluster.local. 5 IN CNAME example.org.",
		"long.default.svc.cluster.local. TXT":           `long.default.svc.cluster.local. 5 IN TXT "whole"`,
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, request *dns.Msg) {
		answer := new(dns.Msg).SetReply(request)
		name := request.Question[0].Name
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		text, ok := records[name+" "+dns.TypeToString[request.Question[0].Qtype]]
		switch {
		case ok && udp && strings.HasPrefix(name, "long."):
			answer.Truncated = true
		case ok:
			record, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
			}
			answer.Answer = []dns.RR{record}
		case !strings.HasPrefix(name, "backend.default"):
			answer.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(answer)
	})
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		t.Skip(err)
	}
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return packets.LocalAddr().String()
}

func TestNslookupAsksTheServer(t *testing.T) {
	address := zone(t)
	files := rooted{dir: t.TempDir()}
	resolver := "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local\noptions ndots:5\n"
	if err := os.MkdirAll(files.at("/etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.at("/etc/resolv.conf"), []byte(resolver), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args, want string
		code       int
	}{
		{"backend", "Name:\tbackend.default.svc.cluster.local\nAddress: 10.96.0.20\n", 0},
		{"backend.default.svc.cluster.local", "Name:\tbackend.default.svc.cluster.local\nAddress: 10.96.0.20\n", 0},
		{"10.96.0.20", "20.0.96.10.in-addr.arpa\tname = backend.default.svc.cluster.local\n", 0},
		{"-type=srv _http._tcp.web", "_http._tcp.web.default.svc.cluster.local\tservice = 0 100 80 web.default.svc.cluster.local\n", 0},
		{"-type=cname alias", "alias.default.svc.cluster.local\tcanonical name = example.org\n", 0},
		{"-type=txt long", "long.default.svc.cluster.local\ttext = \"whole\"\n", 0},
		{"missing", "** server can't find missing: NXDOMAIN\n", 1},
		{"-type=srv backend", "** server can't find backend: No answer: the name has no record of that type\n", 1},
	} {
		var out, complaints bytes.Buffer
		p := netted(nil, &out, &complaints, files, append([]string{"nslookup"}, strings.Fields(test.args)...)...)
		p.Dial = func(ctx context.Context, network, server string) (net.Conn, error) {
			if server != "10.96.0.10:53" {
				t.Errorf("%s asks %s", test.args, server)
			}
			return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address)
		}
		code := nslookup(t.Context(), p)
		want := "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n" + test.want + "\n"
		if out.String() != want || code != test.code {
			t.Errorf("nslookup %s (code %d):\n%s%swanted:\n%s", test.args, code, out.String(), complaints.String(), want)
		}
	}
	if _, complaints, code := runNetted(t, noFiles{}, "", "nslookup", "backend"); code != 1 || !strings.Contains(complaints, "/etc/resolv.conf: No such file") {
		t.Errorf("without a configuration: %q, code %d", complaints, code)
	}
}
