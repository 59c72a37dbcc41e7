package apiserver

import (
	"context"
	"io"
	"net"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/store"
)

// Config is what an API server is made from.
type Config struct {
	Store store.Store
	// ServiceCIDR is the range of service cluster addresses, for example 10.96.0.0/16; its first address is the API's own.
	ServiceCIDR *net.IPNet
	// Authenticator tells who sends an HTTP request; nil lets nobody in.
	Authenticator Authenticator
	// Authorizer decides what a user may do; nil allows everything.
	Authorizer Authorizer
	// Admission changes and checks objects on their way to the store, in order.
	Admission []Admission
	// Kubelets finds the kubelet of a node, for logs, exec, attach and port-forward; nil when there is none.
	Kubelets func(node string) (Kubelet, bool)
	// Dial reaches pod and service addresses, for the proxy subresources.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Version is kubette's own, for /version's build metadata.
	Version string
}

// Authenticator tells who sends a request. It returns false for a request without credentials, and an error for bad ones.
type Authenticator interface {
	Authenticate(request *http.Request) (user.Info, bool, error)
}

// Attributes are what a request wants to do: what an Authorizer judges.
type Attributes struct {
	User                                                               user.Info
	Verb, Group, Version, Resource, Subresource, Namespace, Name, Path string
	// ResourceRequest is false for paths outside the resources, such as /version; then Path and Verb count.
	ResourceRequest bool
}

// Authorizer decides whether a user may do what a request wants. The reason goes into the answer when not.
type Authorizer interface {
	Authorize(ctx context.Context, attributes Attributes) (allowed bool, reason string, err error)
}

// Kubelet is what the API server asks of a node: the streams of its pods.
type Kubelet interface {
	// Logs opens a container's log, as the options say. The caller closes it.
	Logs(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error)
	// Exec runs a command in a container until it ends. A non-zero exit is a k8s.io/utils/exec.ExitError.
	Exec(ctx context.Context, namespace, pod, container string, command []string, streams Streams) error
	// Attach joins the streams of a container's main process.
	Attach(ctx context.Context, namespace, pod, container string, streams Streams) error
	// PortForward connects a stream to a port of the pod, and returns when either side is done.
	PortForward(ctx context.Context, namespace, pod string, port int32, stream io.ReadWriteCloser) error
}

// Streams of a process; those not asked for are nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan TerminalSize
}

// TerminalSize in characters.
type TerminalSize struct{ Width, Height uint16 }
