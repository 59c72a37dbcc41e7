package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/kubelet/runtime"
)

const (
	userAgentVersion = "1.37"
	// probeBodyLimit is how much of an answer is read.
	probeBodyLimit = 10 << 10
)

// probeOnce does what a probe says, within its timeout. The text says why it failed.
func (s *session) probeOnce(ctx context.Context, each *probe) (ok bool, text string) {
	if s.config.FailProbe != nil {
		if text := s.config.FailProbe(each.w.key.namespace, each.w.key.name, each.about.Name); text != "" {
			return false, text
		}
	}
	if s.simulated(each.id) {
		return true, ""
	}
	timeout := time.Duration(max(each.spec.TimeoutSeconds, 1)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	each.w.mu.Lock()
	if each.w.sandbox != nil {
		each.sandbox = each.w.sandbox
	}
	sandbox := each.sandbox
	each.w.mu.Unlock()
	switch handler := &each.spec.ProbeHandler; {
	case handler.Exec != nil:
		return s.probeExec(ctx, each.id, handler.Exec.Command, timeout)
	case handler.HTTPGet != nil:
		return s.probeHTTP(ctx, each.about, sandbox, handler.HTTPGet, timeout)
	case handler.TCPSocket != nil:
		port, err := portOf(each.about, handler.TCPSocket.Port)
		if err != nil {
			return false, err.Error()
		}
		conn, err := s.dial(ctx, sandbox, port)
		if err != nil {
			return false, dialText(ctx, sandbox, port, err)
		}
		_ = conn.Close()
		return true, ""
	case handler.GRPC != nil:
		return s.probeGRPC(ctx, sandbox, handler.GRPC, timeout)
	}
	return false, "the probe says nothing to do"
}

func (s *session) probeExec(ctx context.Context, id string, command []string, timeout time.Duration) (bool, string) {
	var output bytes.Buffer
	limited := &limitedWriter{to: &output, left: probeBodyLimit}
	code, err := s.runtime.Exec(ctx, id, command, runtime.Streams{Stdout: limited, Stderr: limited})
	switch {
	case ctx.Err() != nil:
		return false, fmt.Sprintf("command timed out: %q timed out after %s", strings.Join(command, " "), timeout)
	case err != nil:
		return false, err.Error()
	}
	return code == 0, output.String()
}

func (s *session) probeHTTP(ctx context.Context, spec *corev1.Container, sandbox *runtime.Sandbox, get *corev1.HTTPGetAction, timeout time.Duration) (bool, string) {
	request, err := s.probeRequest(ctx, spec, sandbox, get)
	if err != nil {
		return false, err.Error()
	}
	answer, err := s.httpClient(sandbox, timeout).Do(request)
	if err != nil {
		return false, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, probeBodyLimit))
	if answer.StatusCode >= 200 && answer.StatusCode < 400 {
		return true, ""
	}
	_ = body
	return false, fmt.Sprintf("HTTP probe failed with statuscode: %d", answer.StatusCode)
}

// probeRequest makes the request of an httpGet action. It goes to the pod's own address, whatever host it names.
func (s *session) probeRequest(ctx context.Context, spec *corev1.Container, sandbox *runtime.Sandbox, get *corev1.HTTPGetAction) (*http.Request, error) {
	port, err := portOf(spec, get.Port)
	if err != nil {
		return nil, err
	}
	host := get.Host
	if host == "" && sandbox != nil {
		host = sandbox.Address.String()
	}
	target, err := url.Parse(get.Path)
	if err != nil {
		target = &url.URL{Path: get.Path}
	}
	if !strings.HasPrefix(target.Path, "/") {
		target.Path = "/" + target.Path
	}
	target.Scheme = strings.ToLower(string(get.Scheme))
	if target.Scheme == "" {
		target.Scheme = "http"
	}
	target.Host = net.JoinHostPort(host, strconv.Itoa(int(port)))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "kube-probe/"+userAgentVersion)
	request.Header.Set("Accept", "*/*")
	for _, header := range get.HTTPHeaders {
		if strings.EqualFold(header.Name, "Host") {
			request.Host = header.Value
		}
		request.Header.Add(header.Name, header.Value)
	}
	return request, nil
}

// httpClient speaks HTTP with a pod; a redirect to another host counts as success and is not followed.
func (s *session) httpClient(sandbox *runtime.Sandbox, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as the kubelet's: a probe asks for life, not for identity
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				_, text, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				port, err := strconv.ParseInt(text, 10, 32)
				if err != nil {
					return nil, err
				}
				return s.dial(ctx, sandbox, int32(port))
			},
		},
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if request.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
}

// dial connects to a port of a pod.
func (s *session) dial(ctx context.Context, sandbox *runtime.Sandbox, port int32) (net.Conn, error) {
	if sandbox == nil {
		return nil, errors.New("the pod has no network yet")
	}
	dial := s.runtime.Dial
	if direct, ok := s.runtime.(addressDialer); ok {
		dial = direct.DialAddress
	}
	stream, err := dial(ctx, sandbox.ID, port)
	if err != nil {
		return nil, err
	}
	if conn, ok := stream.(net.Conn); ok {
		return conn, nil
	}
	return newStreamConn(stream), nil
}

// dialText is a failed connection in the words of Go's dialer, which the kubelet shows.
func dialText(ctx context.Context, sandbox *runtime.Sandbox, port int32, err error) string {
	if ctx.Err() != nil && sandbox != nil {
		return fmt.Sprintf("dial tcp %s: i/o timeout", net.JoinHostPort(sandbox.Address.String(), strconv.Itoa(int(port))))
	}
	return err.Error()
}

// portOf resolves a port by number or by the name that the container gives it.
func portOf(spec *corev1.Container, port intstr.IntOrString) (int32, error) {
	number := port.IntVal
	if port.Type == intstr.String {
		number = 0
		for i := range spec.Ports {
			if spec.Ports[i].Name == port.StrVal {
				number = spec.Ports[i].ContainerPort
			}
		}
		if number == 0 {
			parsed, err := strconv.ParseInt(port.StrVal, 10, 32)
			if err != nil {
				return 0, fmt.Errorf("couldn't find port: %v", port)
			}
			number = int32(parsed)
		}
	}
	if number < 1 || number > 65535 {
		return 0, fmt.Errorf("invalid port number: %v", number)
	}
	return number, nil
}

func joined(command []string) string { return strings.Join(command, " ") }

// limitedWriter keeps the first bytes and drops the rest.
type limitedWriter struct {
	to   io.Writer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	keep := min(len(b), l.left)
	l.left -= keep
	if keep > 0 {
		if _, err := l.to.Write(b[:keep]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// streamConn makes a connection of a bare stream. Deadlines close it when they pass.
type streamConn struct {
	io.ReadWriteCloser
	timer *time.Timer
}

func newStreamConn(stream io.ReadWriteCloser) *streamConn {
	return &streamConn{ReadWriteCloser: stream}
}

func (c *streamConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *streamConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *streamConn) SetReadDeadline(time.Time) error  { return nil }
func (c *streamConn) SetWriteDeadline(time.Time) error { return nil }
func (c *streamConn) SetDeadline(t time.Time) error {
	if c.timer != nil {
		c.timer.Stop()
	}
	if !t.IsZero() {
		c.timer = time.AfterFunc(time.Until(t), func() { _ = c.ReadWriteCloser.Close() })
	}
	return nil
}

func (c *streamConn) Close() error {
	if c.timer != nil {
		c.timer.Stop()
	}
	return c.ReadWriteCloser.Close()
}
