package apiserver

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// Config is what an API server is made from.
type Config struct {
	Store store.Store
	// Shared says that other servers write to the store, too.
	Shared bool
	// ServiceCIDR is the range of service cluster addresses, for example 10.96.0.0/16; its first address is the API's own.
	ServiceCIDR *net.IPNet
	// Kinds are the rows to serve; nil serves all that kubette has.
	Kinds []*kinds.Kind
	// KeepRevisions is how many of the newest revisions of the store stay readable; 0 is 50,000.
	KeepRevisions int64
	// EventTTL is how long an event (the API object) is kept after its last change; 0 is an hour.
	EventTTL time.Duration
	// MaxReading and MaxMutating are how many HTTP requests are carried out at the same time, of those that read and of
	// those that write; others wait, each user's in turn. 0 is 400 and 200.
	MaxReading, MaxMutating int
	// Authenticator tells who sends an HTTP request; nil lets nobody in.
	Authenticator Authenticator
	// Authorizer decides what a user may do; nil allows everything.
	Authorizer Authorizer
	// Admission changes and checks objects on their way to the store, in order.
	Admission []Admission
	// Tokens issues service account tokens, for serviceaccounts/token; nil when there is no issuer.
	Tokens TokenIssuer
	// ReviewToken answers a TokenReview: whose token it is. Nil knows no token.
	ReviewToken func(ctx context.Context, token string, audiences []string) (TokenUser, error)
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

// TokenIssuer makes service account tokens.
type TokenIssuer interface {
	// Issue makes a token for a service account. The request's spec is defaulted and validated; bound is the object that
	// the token is bound to, nil for none. It returns the token and when it ends.
	Issue(ctx context.Context, account *corev1.ServiceAccount, spec authenticationv1.TokenRequestSpec, bound kinds.Object) (token string, expires time.Time, err error)
}

// TokenUser is whom a token belongs to, and the audiences that both the token and the reviewer accept.
type TokenUser struct {
	User      user.Info
	Audiences []string
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
	// Running returns nil when streams may be opened to a container, and else a KubeletError.
	Running(ctx context.Context, namespace, pod, container string) error
	// Exec runs a command in a container until it ends. A non-zero exit is a k8s.io/utils/exec.ExitError.
	Exec(ctx context.Context, namespace, pod, container string, command []string, streams Streams) error
	// Attach joins the streams of a container's main process.
	Attach(ctx context.Context, namespace, pod, container string, streams Streams) error
	// PortForward connects a stream to a port of the pod, and returns when either side is done.
	PortForward(ctx context.Context, namespace, pod string, port int32, stream io.ReadWriteCloser) error
}

// KubeletError is an error as the kubelet's own server answers it: in plain words, which the API server passes on as they
// are. kubectl puts "unable to upgrade connection" before them.
type KubeletError struct {
	Code int // of HTTP
	Text string
}

// Error implements error.
func (e *KubeletError) Error() string { return e.Text }

// Streams of a process; those not asked for are nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan TerminalSize
}

// TerminalSize in characters.
type TerminalSize struct{ Width, Height uint16 }
