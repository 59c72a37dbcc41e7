package apiserver_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
)

// byToken is who sends a request: the name that stands in for a token.
type byToken struct{}

func (byToken) Authenticate(r *http.Request) (user.Info, bool, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}, true, nil
}

// slowFor holds up the requests of one user, each until it is let go.
type slowFor struct {
	user string
	next chan struct{}
}

func (s slowFor) Name() string                                                { return "Slow" }
func (s slowFor) Validate(context.Context, *apiserver.AdmissionRequest) error { return nil }
func (s slowFor) Admit(ctx context.Context, r *apiserver.AdmissionRequest) error {
	if u := r.Attributes.User; u == nil || u.GetName() != s.user {
		return nil
	}
	select {
	case <-s.next:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// One user sends far more than the server takes: what is too much is refused with 429 and when to come again, and
// another user's request goes through while hundreds of the first one's wait.
func TestNoisyUserIsShed(t *testing.T) {
	const inside, waiting, tooMany = 2, 100, 50
	slow := slowFor{user: "noisy", next: make(chan struct{})}
	d := openDoor(t, func(c *apiserver.Config) {
		c.Authenticator, c.Authorizer, c.MaxMutating = byToken{}, nil, inside
		c.Admission = append(c.Admission, slow)
	})
	create := func(who, name string) answer {
		return d.ask(t, who, "POST", "/api/v1/namespaces/default/configmaps", fmt.Sprintf(`{"metadata":{"name":%q}}`, name))
	}
	var group sync.WaitGroup
	defer group.Wait()
	answers := make(chan answer, inside+waiting+tooMany)
	for i := range inside + waiting + tooMany {
		group.Go(func() { answers <- create("noisy", fmt.Sprintf("noise-%d", i)) })
	}
	for range tooMany { // nothing else is answered as long as nobody is let go
		a := <-answers
		if a.Code != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" || a.object(t)["reason"] != "TooManyRequests" {
			t.Errorf("one too many: %d, Retry-After %q: %s", a.Code, a.Header.Get("Retry-After"), a.Body)
		}
	}
	if a := d.ask(t, "quiet", "GET", "/api/v1/namespaces/default", ""); a.Code != http.StatusOK {
		t.Errorf("a read beside waiting writes: %d: %s", a.Code, a.Body)
	}
	quiet := make(chan answer)
	go func() { quiet <- create("quiet", "modest") }()
	released := 0
	for done := false; !done; {
		select {
		case a := <-quiet:
			done = true
			if a.Code != http.StatusCreated {
				t.Errorf("the other user's request: %d: %s", a.Code, a.Body)
			}
		case slow.next <- struct{}{}:
			released++
			select { // the request of the other user may not have come yet
			case a := <-answers:
				if a.Code != http.StatusCreated {
					t.Errorf("a request that waited: %d: %s", a.Code, a.Body)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("a request that was let go is not answered")
			}
		}
	}
	if released > waiting/2 {
		t.Errorf("the other user waited until %d requests were done, of %d before it", released, inside+waiting)
	}
	for range inside + waiting - released {
		slow.next <- struct{}{}
		if a := <-answers; a.Code != http.StatusCreated {
			t.Errorf("a request that waited: %d: %s", a.Code, a.Body)
		}
	}
}
