package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"

	"kubette/kubelet/runtime"
)

// answerTimeout is how long a registry may take for its first word; stallTimeout for the next.
const (
	answerTimeout = 20 * time.Second
	stallTimeout  = 2 * time.Minute
)

// pull has the engine pull an image, and says now and then how far it is.
func (e *Engine) pull(ctx context.Context, named reference.Named, auth *runtime.ImageAuth, progress func(string)) error {
	options := image.PullOptions{}
	if auth != nil {
		encoded, err := registry.EncodeAuthConfig(registry.AuthConfig{
			Username: auth.Username, Password: auth.Password, ServerAddress: auth.ServerAddress,
		})
		if err != nil {
			return fmt.Errorf("encode the credentials: %w", err)
		}
		options.RegistryAuth = encoded
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(answerTimeout, func() { cancel(errSilent) })
	defer watch.Stop()
	stream, err := e.api.ImagePull(ctx, named.String(), options)
	if err == nil {
		err = follow(stream, watch, progress)
		stream.Close()
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return errSilent
	}
	return explain(ctx, err)
}

// errSilent is no refusal and no success.
var errSilent = errors.New("the registry does not answer: i/o timeout")

// progressMessage is a line of what the engine says while it works on images.
type progressMessage struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Progress *struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error string `json:"error"`
}

// follow reads what the engine says while it pulls.
func follow(stream io.Reader, watch *time.Timer, progress func(string)) error {
	type layer struct{ current, total int64 }
	layers := map[string]layer{}
	said := time.Now()
	for decoder := json.NewDecoder(stream); ; {
		var message progressMessage
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		watch.Reset(stallTimeout)
		if message.Error != "" {
			return errors.New(message.Error)
		}
		if message.Status != "Downloading" || message.Progress == nil {
			continue
		}
		layers[message.ID] = layer{message.Progress.Current, message.Progress.Total}
		if time.Since(said) < time.Second {
			continue
		}
		said = time.Now()
		var sum layer
		for _, l := range layers {
			sum.current, sum.total = sum.current+l.current, sum.total+l.total
		}
		progress(fmt.Sprintf("pulled %d MB of %d MB", sum.current/1e6, sum.total/1e6))
	}
}

// unreachable says that a pull failed before any registry said anything. The engine passes such errors on as text.
func unreachable(err error) bool {
	if err == nil || errors.Is(err, runtime.ErrUnavailable) {
		return false
	}
	text := err.Error()
	for _, sign := range []string{
		"no such host", "server misbehaving", "name resolution", "connection refused", "connection reset", "i/o timeout",
		"network is unreachable", "no route to host", "host is unreachable", "TLS handshake timeout",
		"Client.Timeout exceeded", "context deadline exceeded", "request canceled while waiting for connection", "proxyconnect",
	} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// reachability remembers which registries could not be reached a moment ago.
type reachability struct {
	mu       sync.Mutex
	failures map[string]failure
}

type failure struct {
	err   error
	until time.Time
}

// failure returns why a registry could not be reached, if that was a moment ago.
func (r *reachability) failure(domain string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.failures[domain]; time.Now().Before(last.until) {
		return last.err
	}
	return nil
}

func (r *reachability) failed(domain string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures == nil {
		r.failures = map[string]failure{}
	}
	r.failures[domain] = failure{err, time.Now().Add(rememberUnreachable)}
}
