package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/exec"

	"kubette/apiserver"
	"kubette/kubelet/runtime"
)

var _ apiserver.Kubelet = (*Kubelet)(nil)

// find returns a pod of this node and what the runtime has of it.
func (k *Kubelet) find(ctx context.Context, namespace, name string) (*corev1.Pod, *observation, error) {
	s, err := k.current()
	if err != nil {
		return nil, nil, apierrors.NewServiceUnavailable(err.Error())
	}
	pod, ok := s.pods.Get(namespace, name)
	if !ok {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("pod %q in namespace %q is not on node %s", name, namespace, k.config.NodeName))
	}
	w := s.worker(keyOf(pod))
	pod = s.newest(w)
	if pod == nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("pod %q is gone", name))
	}
	seen, err := s.observe(ctx, w, pod)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(err)
	}
	return pod, seen, nil
}

// Logs opens a container's log. The caller closes it.
func (k *Kubelet) Logs(ctx context.Context, namespace, name string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	pod, seen, err := k.find(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	container, err := logSource(pod, seen, options)
	if err != nil {
		return nil, err
	}
	choice := runtime.LogOptions{Follow: options.Follow, Timestamps: options.Timestamps, Tail: -1}
	if options.TailLines != nil {
		choice.Tail = *options.TailLines
	}
	switch {
	case options.SinceTime != nil:
		choice.Since = options.SinceTime.Time
	case options.SinceSeconds != nil:
		choice.Since = time.Now().Add(-time.Duration(*options.SinceSeconds) * time.Second)
	}
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(k.streams, cancel)
	var output io.Writer = writer
	if options.LimitBytes != nil {
		output = &endingWriter{to: writer, left: *options.LimitBytes}
	}
	// Both streams of the container come together, unless only one is asked for.
	stdout, stderr := output, output
	if options.Stream != nil {
		switch *options.Stream {
		case corev1.LogStreamStdout:
			stderr = nil
		case corev1.LogStreamStderr:
			stdout = nil
		}
	}
	k.group.Go(func() {
		defer stop()
		defer cancel()
		err := k.runtime.Logs(ctx, container, choice, stdout, stderr)
		if errors.Is(err, errEnough) || ctx.Err() != nil {
			err = nil
		}
		_ = writer.CloseWithError(err)
	})
	return &logReader{PipeReader: reader, cancel: cancel}, nil
}

// logReader ends the copying when the reader is closed.
type logReader struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (l *logReader) Close() error {
	l.cancel()
	return l.PipeReader.Close()
}

// logSource decides which container's log is meant: the newest of the name, or with previous the one before.
func logSource(pod *corev1.Pod, seen *observation, options *corev1.PodLogOptions) (string, error) {
	spec := containerOf(pod, options.Container)
	if options.Container == "" && len(pod.Spec.Containers) == 1 {
		spec = &pod.Spec.Containers[0]
	}
	if spec == nil {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", options.Container, pod.Name))
	}
	latest, previous := seen.latest(spec.Name), seen.previous(spec.Name)
	if options.Previous {
		if latest != nil && latest.State == runtime.Exited && waits(pod, spec.Name) {
			return latest.ID, nil // it waits for its next start, so the newest is the previous one
		}
		if previous == nil {
			return "", apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", spec.Name, pod.Name))
		}
		return previous.ID, nil
	}
	if latest != nil && latest.State == runtime.Created {
		latest = previous
	}
	if latest == nil {
		status := findStatus(&pod.Status, spec.Name)
		if status != nil && status.State.Waiting != nil {
			text := fmt.Sprintf("container %q in pod %q is waiting to start: %s", spec.Name, pod.Name, status.State.Waiting.Reason)
			switch reason := status.State.Waiting.Reason; reason {
			case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
				text = fmt.Sprintf("container %q in pod %q is waiting to start: %s", spec.Name, pod.Name, pullText(reason))
			}
			return "", apierrors.NewBadRequest(text)
		}
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is not available", spec.Name, pod.Name))
	}
	return latest.ID, nil
}

// pullText is how the kubelet explains to kubectl logs that there is no image yet.
func pullText(reason string) string {
	switch reason {
	case "ErrImagePull":
		return "image can't be pulled"
	case "ImagePullBackOff":
		return "trying and failing to pull image"
	}
	return reason
}

func waits(pod *corev1.Pod, name string) bool {
	status := findStatus(&pod.Status, name)
	return status != nil && status.State.Waiting != nil
}

// errEnough ends a log at its limit of bytes.
var errEnough = errors.New("the limit of bytes is reached")

// endingWriter lets a number of bytes through, then ends the writing.
type endingWriter struct {
	to   io.Writer
	mu   sync.Mutex
	left int64
}

func (e *endingWriter) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.left <= 0 {
		return 0, errEnough
	}
	part := b[:min(int64(len(b)), e.left)]
	n, err := e.to.Write(part)
	e.left -= int64(n)
	if err == nil && len(part) < len(b) {
		err = errEnough
	}
	return n, err
}

// running finds a container that runs.
func (k *Kubelet) running(ctx context.Context, namespace, name, container string) (string, error) {
	pod, seen, err := k.find(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	if container == "" && len(pod.Spec.Containers) > 0 {
		container = pod.Spec.Containers[0].Name
	}
	if containerOf(pod, container) == nil {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", container, pod.Name))
	}
	latest := seen.latest(container)
	if latest == nil || latest.State != runtime.Running {
		return "", &apiserver.KubeletError{Code: http.StatusInternalServerError, Text: fmt.Sprintf("container not found (%q)", container)}
	}
	return latest.ID, nil
}

// Running implements apiserver.Kubelet.
func (k *Kubelet) Running(ctx context.Context, namespace, name, container string) error {
	_, err := k.running(ctx, namespace, name, container)
	return err
}

// Exec runs a command in a container until it ends. A non-zero exit is an exec.ExitError.
func (k *Kubelet) Exec(ctx context.Context, namespace, name, container string, command []string, streams apiserver.Streams) error {
	id, err := k.running(ctx, namespace, name, container)
	if err != nil {
		return err
	}
	ctx, end := k.streamContext(ctx)
	defer end()
	code, err := k.runtime.Exec(ctx, id, command, k.streamsOf(ctx, streams))
	if err != nil {
		return err
	}
	if code != 0 {
		return exec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// Attach joins the streams of a container's main process.
func (k *Kubelet) Attach(ctx context.Context, namespace, name, container string, streams apiserver.Streams) error {
	id, err := k.running(ctx, namespace, name, container)
	if err != nil {
		return err
	}
	ctx, end := k.streamContext(ctx)
	defer end()
	return k.runtime.Attach(ctx, id, k.streamsOf(ctx, streams))
}

// PortForward connects a stream to a port of the pod, and returns when either side is done.
func (k *Kubelet) PortForward(ctx context.Context, namespace, name string, port int32, stream io.ReadWriteCloser) error {
	_, seen, err := k.find(ctx, namespace, name)
	if err != nil {
		return err
	}
	if !seen.up() {
		return fmt.Errorf("pod %s/%s is not running", namespace, name)
	}
	ctx, end := k.streamContext(ctx)
	defer end()
	conn, err := k.runtime.Dial(ctx, seen.sandbox.ID, port)
	if err != nil {
		return fmt.Errorf("forward to port %d of pod %s/%s: %w", port, namespace, name, err)
	}
	return join(ctx, conn, stream)
}

// join copies both ways until both directions have ended, or one has failed, or the context ends.
func join(ctx context.Context, conn, stream io.ReadWriteCloser) error {
	var once sync.Once
	closeBoth := func() {
		once.Do(func() {
			_ = conn.Close()
			_ = stream.Close()
		})
	}
	defer closeBoth()
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	results := make(chan error, 2)
	go func() {
		_, err := io.Copy(conn, stream)
		if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
			_ = half.CloseWrite()
		}
		results <- err
	}()
	go func() {
		_, err := io.Copy(stream, conn)
		closeBoth() // the pod has said all it had to say
		results <- err
	}()
	first := <-results
	second := <-results
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if first != nil && !errors.Is(first, io.ErrClosedPipe) {
		return ignoreClosed(first)
	}
	return ignoreClosed(second)
}

// streamContext ends with the request, and with the kubelet.
func (k *Kubelet) streamContext(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(k.streams, cancel)
	return ctx, func() { stop(); cancel() }
}

// streamsOf carries streams over from the API's vocabulary to the runtime's.
func (k *Kubelet) streamsOf(ctx context.Context, from apiserver.Streams) runtime.Streams {
	to := runtime.Streams{Stdin: from.Stdin, Stdout: from.Stdout, Stderr: from.Stderr, TTY: from.TTY}
	if from.Resize != nil {
		sizes := make(chan runtime.Size)
		to.Resize = sizes
		k.group.Go(func() {
			defer close(sizes)
			for {
				select {
				case size, ok := <-from.Resize:
					if !ok {
						return
					}
					select {
					case sizes <- runtime.Size{Width: size.Width, Height: size.Height}:
					case <-ctx.Done():
						return
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return to
}
