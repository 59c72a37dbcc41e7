package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"

	"kubette/apiserver"
	"kubette/store"
)

// In Kubernetes every API server reaches every kubelet over the network. Here a node is a part of its server's process,
// and what is asked of another server's node goes through that server's own API, in the administrator's name: that the user
// may was decided here.

// sharedAddresses has the URL of each server's API, by its place.
const sharedAddresses = "/shared/addresses/"

func addressKey(server int) string { return fmt.Sprintf("%s%03d", sharedAddresses, server) }

// shareAddress tells the other servers where this one is.
func (c *Cluster) shareAddress(ctx context.Context) error {
	if !c.shared() {
		return nil
	}
	write := store.Write{Key: addressKey(c.firstNode / nodesPerServer), Value: []byte(c.apiURL()), Meta: c.upkeep("share address")}
	if before, err := c.store.Get(ctx, write.Key, 0); err == nil {
		write.Expected = before.Revision
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, err := c.store.Write(ctx, write)
	return err
}

func (c *Cluster) apiURL() string { return "https://" + c.ports.api.Addr().String() }

// elsewhere finds the kubelet of another server's node.
func (c *Cluster) elsewhere(node string) (apiserver.Kubelet, bool) {
	number := controlPlaneNumber
	if node != controlPlaneName {
		text, isWorker := strings.CutPrefix(node, "worker-")
		var err error
		if number, err = strconv.Atoi(text); !isWorker || err != nil {
			return nil, false
		}
	}
	server := number / nodesPerServer
	if server == c.firstNode/nodesPerServer {
		return nil, false
	}
	address, err := c.store.Get(context.Background(), addressKey(server), 0)
	if err != nil {
		return nil, false
	}
	config := &rest.Config{Host: string(address.Value()), BearerToken: c.token, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.PEM()}}
	api, err := kubernetes.NewForConfig(config)
	return &remoteKubelet{config, api}, err == nil
}

// remoteKubelet is a kubelet behind another server's API.
type remoteKubelet struct {
	config *rest.Config
	api    kubernetes.Interface
}

// Logs implements apiserver.Kubelet.
func (k *remoteKubelet) Logs(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	return k.api.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
}

// Running implements apiserver.Kubelet. The other server looks when the stream is opened.
func (k *remoteKubelet) Running(context.Context, string, string, string) error { return nil }

// Exec implements apiserver.Kubelet.
func (k *remoteKubelet) Exec(ctx context.Context, namespace, pod, container string, command []string, streams apiserver.Streams) error {
	request := k.connect(namespace, pod, "exec").VersionedParams(&corev1.PodExecOptions{
		Container: container, Command: command, TTY: streams.TTY,
		Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil,
	}, scheme.ParameterCodec)
	return k.stream(ctx, request, streams)
}

// Attach implements apiserver.Kubelet.
func (k *remoteKubelet) Attach(ctx context.Context, namespace, pod, container string, streams apiserver.Streams) error {
	request := k.connect(namespace, pod, "attach").VersionedParams(&corev1.PodAttachOptions{
		Container: container, TTY: streams.TTY,
		Stdin: streams.Stdin != nil, Stdout: streams.Stdout != nil, Stderr: streams.Stderr != nil,
	}, scheme.ParameterCodec)
	return k.stream(ctx, request, streams)
}

func (k *remoteKubelet) connect(namespace, pod, subresource string) *rest.Request {
	return k.api.CoreV1().RESTClient().Get().Resource("pods").Namespace(namespace).Name(pod).SubResource(subresource)
}

func (k *remoteKubelet) stream(ctx context.Context, request *rest.Request, streams apiserver.Streams) error {
	executor, err := remotecommand.NewWebSocketExecutor(k.config, http.MethodGet, request.URL().String())
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr, Tty: streams.TTY}
	if streams.Resize != nil {
		options.TerminalSizeQueue = sizes(streams.Resize)
	}
	return executor.StreamWithContext(ctx, options)
}

// sizes hands on the sizes of a terminal.
type sizes <-chan apiserver.TerminalSize

// Next implements remotecommand.TerminalSizeQueue.
func (s sizes) Next() *remotecommand.TerminalSize {
	size, more := <-s
	if !more {
		return nil
	}
	return &remotecommand.TerminalSize{Width: size.Width, Height: size.Height}
}

// PortForward implements apiserver.Kubelet.
func (k *remoteKubelet) PortForward(ctx context.Context, namespace, pod string, port int32, stream io.ReadWriteCloser) error {
	dialer, err := portforward.NewSPDYOverWebsocketDialer(k.connect(namespace, pod, "portforward").URL(), k.config)
	if err != nil {
		return err
	}
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return err
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	failed, err := connection.CreateStream(headers)
	if err != nil {
		return err
	}
	_ = failed.Close() // it only tells us
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := connection.CreateStream(headers)
	if err != nil {
		return err
	}
	return forward(stream, data, failed)
}

// forward carries bytes both ways, until the pod's side ends, and returns what the other server says went wrong.
func forward(stream io.ReadWriter, data httpstream.Stream, failed io.Reader) error {
	go func() {
		_, _ = io.Copy(data, stream)
		_ = data.Close() // this direction only
	}()
	if _, err := io.Copy(stream, data); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(failed, 4096))
	if err == nil && len(text) > 0 {
		err = errors.New(string(text))
	}
	return err
}

// dialElsewhere connects to a pod of another server's node, as a forwarded port does. It returns nil for all other addresses.
// What goes wrong at the other end, such as a port where nobody listens, is seen as a connection that ends at once.
func (c *Cluster) dialElsewhere(networkName string, address netip.AddrPort) (net.Conn, error) {
	if !c.shared() || c.table.NodeOf == nil {
		return nil, nil
	}
	kubelet, found := c.elsewhere(c.table.NodeOf(address.Addr()))
	if !found {
		return nil, nil
	}
	failed := func(why string) error {
		return &net.OpError{Op: "dial", Net: networkName, Addr: net.TCPAddrFromAddrPort(address), Err: errors.New(why)}
	}
	if !strings.HasPrefix(networkName, "tcp") {
		return nil, failed("only TCP goes from one server's pods to another's")
	}
	for _, object := range c.server.Cluster().List("", "pods", "") {
		pod, is := object.(*corev1.Pod)
		if !is || pod.Status.PodIP != address.Addr().String() || pod.Status.Phase != corev1.PodRunning || pod.Spec.HostNetwork {
			continue
		}
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			if err := kubelet.PortForward(context.Background(), pod.Namespace, pod.Name, int32(address.Port()), far); err != nil {
				slog.Debug("a connection to another server's pod ended", "pod", pod.Namespace+"/"+pod.Name, "error", err)
			}
		}()
		return near, nil
	}
	return nil, failed("no pod with this address runs")
}
