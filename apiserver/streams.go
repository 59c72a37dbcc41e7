package apiserver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"
)

// The streams of exec and attach share one connection, in one of two protocols. SPDY, the old one, has a stream for
// each of stdin, stdout, stderr, error and resize. Over a WebSocket each message begins with the number of its channel.
// kubectl tries WebSocket first (from 1.31 on) and falls back to SPDY.

const (
	// streamIdle is how long a connection may be silent: as long as the kubelet's default.
	streamIdle = 4 * time.Hour
	// streamCreation is how long a SPDY client may take to open its streams.
	streamCreation = 30 * time.Second
)

var spdyProtocols = []string{remotecommand.StreamProtocolV4Name, remotecommand.StreamProtocolV3Name,
	remotecommand.StreamProtocolV2Name, remotecommand.StreamProtocolV1Name}

// command is what runs at the other end of the streams.
type command func(ctx context.Context, streams Streams) error

func (h *handler) serveExec(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request) {
	words := r.URL.Query()["command"]
	h.serveCommand(w, r, info, request, func(kubelet Kubelet, container string) (command, error) {
		if len(words) == 0 {
			return nil, apierrors.NewBadRequest("you must specify at least one command for the container")
		}
		return func(ctx context.Context, streams Streams) error {
			return kubelet.Exec(ctx, request.Namespace, request.Name, container, words, streams)
		}, nil
	})
}

func (h *handler) serveAttach(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request) {
	h.serveCommand(w, r, info, request, func(kubelet Kubelet, container string) (command, error) {
		return func(ctx context.Context, streams Streams) error {
			return kubelet.Attach(ctx, request.Namespace, request.Name, container, streams)
		}, nil
	})
}

// serveCommand finds the container, upgrades the connection, and runs what prepare returns with its streams.
func (h *handler) serveCommand(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request,
	prepare func(kubelet Kubelet, container string) (command, error)) {
	run, options, err := func() (command, *remotecommand.Options, error) {
		if err := h.mayConnect(r, info, request); err != nil {
			return nil, nil, err
		}
		pod, kubelet, err := h.runningPod(request)
		if err != nil {
			return nil, nil, err
		}
		name, err := container(pod, r.URL.Query().Get("container"))
		if err != nil {
			return nil, nil, err
		}
		options, err := streamOptions(r.URL.Query())
		if err != nil {
			return nil, nil, err
		}
		if err := kubelet.Running(r.Context(), request.Namespace, request.Name, name); err != nil {
			return nil, nil, err
		}
		run, err := prepare(kubelet, name)
		return run, options, err
	}()
	var refused *KubeletError
	if errors.As(err, &refused) {
		http.Error(w, refused.Text, refused.Code)
		return
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	upgrade, ctx, done := newUpgrade(w, r)
	defer done()
	if wsstream.IsWebSocketRequest(r) {
		overWebSocket(ctx, upgrade, r, options, run)
		return
	}
	remotecommand.ServeExec(upgrade, r, executor{ctx: ctx, run: run}, request.Name, "", "", nil, options, streamIdle, streamCreation, spdyProtocols)
}

// mayConnect refuses methods that a connection does not have. A WebSocket always begins with GET, which must not make
// exec a matter of reading: the user needs the verb create as well, as since Kubernetes 1.35.
func (h *handler) mayConnect(r *http.Request, info *requestInfo, request Request) error {
	switch info.verb {
	case "create":
		return nil
	case "get":
		if wsstream.IsWebSocketRequest(r) {
			attributes := info.attributes()
			attributes.User, attributes.Verb = request.User, "create"
			return h.server.authorize(r.Context(), attributes)
		}
		return nil
	}
	return errMethodNotAllowed()
}

// streamOptions says which streams the client wants.
func streamOptions(query url.Values) (*remotecommand.Options, error) {
	options := &remotecommand.Options{
		Stdin: isTrue(query.Get("stdin")), Stdout: isTrue(query.Get("stdout")), Stderr: isTrue(query.Get("stderr")), TTY: isTrue(query.Get("tty")),
	}
	if options.TTY {
		options.Stderr = false // a terminal has one output
	}
	if !options.Stdin && !options.Stdout && !options.Stderr {
		return nil, apierrors.NewBadRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	return options, nil
}

// The channels of a WebSocket.
const (
	channelStdin = iota
	channelStdout
	channelStderr
	channelError
	channelResize
	channelCount
)

// overWebSocket runs a command over a WebSocket, and ends by writing how it ended to the error channel.
func overWebSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, options *remotecommand.Options, run command) {
	channels := make([]wsstream.ChannelType, channelCount)
	channels[channelError], channels[channelResize] = wsstream.WriteChannel, wsstream.ReadChannel
	for channel, wanted := range map[int]bool{channelStdout: options.Stdout, channelStderr: options.Stderr} {
		if wanted {
			channels[channel] = wsstream.WriteChannel
		}
	}
	if options.Stdin {
		channels[channelStdin] = wsstream.ReadChannel
	}
	binary, base64 := wsstream.ChannelProtocolConfig{Binary: true, Channels: channels}, wsstream.ChannelProtocolConfig{Channels: channels}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		"": binary, "channel.k8s.io": binary, "v4.channel.k8s.io": binary, "v5.channel.k8s.io": binary,
		"base64.channel.k8s.io": base64, "v4.base64.channel.k8s.io": base64,
	})
	conn.SetIdleTimeout(streamIdle)
	protocol, opened, err := conn.Open(w, r)
	if err != nil {
		slog.Debug("a WebSocket could not be opened", "path", r.URL.Path, "error", err)
		return
	}
	defer conn.Close()

	streams := Streams{TTY: options.TTY, Resize: resizes(ctx, opened[channelResize])}
	first := opened[channelError]
	if options.Stdin {
		streams.Stdin = opened[channelStdin]
	}
	if options.Stderr {
		streams.Stderr, first = opened[channelStderr], opened[channelStderr]
	}
	if options.Stdout {
		streams.Stdout, first = opened[channelStdout], opened[channelStdout]
	}
	// An empty message tells the client that the connection stands.
	_, _ = first.Write(nil)
	writeOutcome(opened[channelError], protocol, run(ctx, streams))
}

// writeOutcome says how a command ended: as a Status from version 4 of the protocol on, before that as the words of an
// error.
func writeOutcome(w io.Writer, protocol string, err error) {
	status := outcome(err)
	if protocol == "" || protocol == "channel.k8s.io" || protocol == "base64.channel.k8s.io" {
		if status.Status != metav1.StatusSuccess {
			_, _ = io.WriteString(w, status.Message)
		}
		return
	}
	data, err := json.Marshal(status)
	if err != nil {
		slog.Error("how a command ended could not be encoded", "error", err)
		return
	}
	_, _ = w.Write(data)
}

func outcome(err error) *metav1.Status {
	var exit utilexec.ExitError
	switch {
	case err == nil:
		return &metav1.Status{Status: metav1.StatusSuccess}
	case errors.As(err, &exit) && exit.Exited():
		return &metav1.Status{
			Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason,
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
				Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(exit.ExitStatus()),
			}}},
		}
	}
	status := apierrors.NewInternalError(fmt.Errorf("error executing command in container: %w", err)).Status()
	return &status
}

// resizes decodes the terminal sizes that a client sends, until its stream ends.
func resizes(ctx context.Context, from io.Reader) <-chan TerminalSize {
	sizes := make(chan TerminalSize)
	go func() {
		defer close(sizes)
		decoder := json.NewDecoder(from)
		for {
			var size TerminalSize
			if decoder.Decode(&size) != nil {
				return
			}
			select {
			case sizes <- size:
			case <-ctx.Done():
				return
			}
		}
	}()
	return sizes
}

// executor is a command as the SPDY library wants it.
type executor struct {
	ctx context.Context
	run command
}

func (e executor) ExecInContainer(_ context.Context, _, _, _ string, _ []string, in io.Reader, out, errOut io.WriteCloser, tty bool,
	resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	streams := Streams{Stdin: in, TTY: tty}
	if out != nil {
		streams.Stdout = out
	}
	if errOut != nil {
		streams.Stderr = errOut
	}
	if resize != nil {
		streams.Resize = convertSizes(e.ctx, resize)
	}
	err := e.run(e.ctx, streams)
	var exit utilexec.ExitError
	if errors.As(err, &exit) {
		return exit // the library looks at the error itself, not at what it wraps
	}
	return err
}

// AttachContainer has the same streams.
func (e executor) AttachContainer(ctx context.Context, name, uid, container string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return e.ExecInContainer(ctx, name, uid, container, nil, in, out, errOut, tty, resize, 0)
}

func convertSizes(ctx context.Context, from <-chan remotecommand.TerminalSize) <-chan TerminalSize {
	sizes := make(chan TerminalSize)
	go func() {
		defer close(sizes)
		for size := range from {
			select {
			case sizes <- TerminalSize{Width: size.Width, Height: size.Height}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return sizes
}

// upgrade is a response whose connection is taken over by another protocol. net/http knows nothing of such a connection
// afterwards, so this ties it to the request's context both ways: the end of either ends the other.
type upgrade struct {
	http.ResponseWriter
	ctx    context.Context
	cancel context.CancelFunc
}

func newUpgrade(w http.ResponseWriter, r *http.Request) (*upgrade, context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	return &upgrade{ResponseWriter: w, ctx: ctx, cancel: cancel}, ctx, cancel
}

// Hijack takes the connection over.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	tied := &tiedConn{Conn: conn, cancel: u.cancel}
	context.AfterFunc(u.ctx, func() { _ = conn.Close() })
	return tied, buffered, nil
}

// tiedConn ends its request's context when it is closed or its client goes away.
type tiedConn struct {
	net.Conn
	cancel context.CancelFunc
}

func (c *tiedConn) Close() error {
	c.cancel()
	return c.Conn.Close()
}
