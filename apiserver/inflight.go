package apiserver

import (
	"context"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Limits on the requests that are carried out at the same time, those of kube-apiserver (--max-requests-inflight,
// --max-mutating-requests-inflight). Watches and streams do not count: they take next to nothing while they wait.
const (
	defaultMaxReading  = 400
	defaultMaxMutating = 200
)

const (
	// queueLength is how many requests of one user may wait for their turn.
	queueLength = 100
	// queuesLength is how many may wait in all.
	queuesLength = 2000
	// queueTime is how long a request may wait.
	queueTime = 15 * time.Second
)

// turnstile lets a number of requests through at a time. When it is full, requests wait, each user's in a line of its own,
// and the users take turns: somebody who sends a thousand requests at once makes himself wait, and the others hardly. A
// request that would wait too long is refused with 429, and its client tries again later. In Kubernetes this is API
// Priority and Fairness, with more to set.
type turnstile struct {
	limit int

	mu      sync.Mutex
	inside  int
	waiting int
	lines   map[string][]chan struct{} // by user; a channel is closed when its request may go
	turns   []string                   // the users with a line, the next one first
}

// errTooMany is what kube-apiserver says.
func errTooMany() error {
	return apierrors.NewTooManyRequests("The server is currently unable to handle the request because too many are under way, please try again later.", 1)
}

// enter waits for a request's turn. The caller leaves when it returned nil.
func (t *turnstile) enter(ctx context.Context, who string) error {
	t.mu.Lock()
	if t.inside < t.limit {
		t.inside++
		t.mu.Unlock()
		return nil
	}
	line := t.lines[who]
	if len(line) >= queueLength || t.waiting >= queuesLength {
		t.mu.Unlock()
		return errTooMany()
	}
	if len(line) == 0 {
		t.turns = append(t.turns, who)
	}
	if t.lines == nil {
		t.lines = map[string][]chan struct{}{}
	}
	turn := make(chan struct{})
	t.lines[who] = append(line, turn)
	t.waiting++
	t.mu.Unlock()

	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	if t.giveUp(who, turn) {
		return errTooMany()
	}
	return nil // its turn came at the same moment
}

// giveUp takes a request out of its line. It returns false when its turn has come.
func (t *turnstile) giveUp(who string, turn chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.lines[who], turn)
	if i < 0 {
		return false
	}
	t.waiting--
	if t.lines[who] = slices.Delete(t.lines[who], i, i+1); len(t.lines[who]) == 0 {
		delete(t.lines, who)
		t.turns = slices.DeleteFunc(t.turns, func(other string) bool { return other == who })
	}
	return true
}

// leave gives a request's place to the first in the line of the user whose turn it is.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.turns) == 0 {
		t.inside--
		return
	}
	who := t.turns[0]
	line := t.lines[who]
	close(line[0])
	t.waiting--
	t.turns = t.turns[1:]
	if len(line) == 1 {
		delete(t.lines, who)
		return
	}
	t.lines[who] = line[1:]
	t.turns = append(t.turns, who)
}

// admitted waits for a request's turn, and returns what to call when it is done. Who may do everything is not held up, nor
// is who asks for the server's health: they must get through when the server has too much to do.
func (h *handler) admitted(ctx context.Context, info *requestInfo, u user.Info, longRunning bool) (done func(), err error) {
	if longRunning || slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) || slices.Contains(healthPaths, info.path) {
		return func() {}, nil
	}
	t := &h.mutating
	if slices.Contains(readingVerbs, info.verb) {
		t = &h.reading
	}
	if err := t.enter(ctx, u.GetName()); err != nil {
		return nil, err
	}
	return t.leave, nil
}

var (
	healthPaths  = []string{"/healthz", "/livez", "/readyz"}
	readingVerbs = []string{"get", "list", "watch", "head", "options"}
)

// orDefault is a limit, where 0 stands for the usual one.
func orDefault(limit, usual int) int {
	if limit == 0 {
		return usual
	}
	return limit
}
