package apiserver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Somebody with very many requests makes himself wait, and the others hardly.
func TestUsersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &turnstile{limit: 1}
		if err := gate.enter(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		var order []string
		wait := func(who string) {
			go func() {
				if err := gate.enter(t.Context(), who); err != nil {
					t.Errorf("%s: %v", who, err)
					return
				}
				order = append(order, who) // one at a time, as the limit is 1
				gate.leave()
			}()
			synctest.Wait()
		}
		for range 50 {
			wait("greedy")
		}
		wait("modest")
		wait("quiet")
		gate.leave()
		synctest.Wait()
		if len(order) != 52 || order[1] != "modest" || order[2] != "quiet" {
			t.Errorf("their order was %v", order)
		}
		if gate.inside != 0 || gate.waiting != 0 || len(gate.lines) != 0 || len(gate.turns) != 0 {
			t.Errorf("left over: %+v", gate)
		}
	})
}

// What would wait too long is refused with 429 and when to try again; nobody else is.
func TestTooManyOfOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &turnstile{limit: 1}
		if err := gate.enter(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, queueLength+1)
		for range queueLength {
			go func() { errs <- gate.enter(t.Context(), "greedy") }()
		}
		synctest.Wait()
		err := gate.enter(t.Context(), "greedy")
		if seconds, ok := apierrors.SuggestsClientDelay(err); !apierrors.IsTooManyRequests(err) || !ok || seconds != 1 {
			t.Errorf("the one too many: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := gate.enter(ctx, "modest"); !apierrors.IsTooManyRequests(err) || time.Since(begun) != time.Second {
			t.Errorf("another user's request waits as long as it may: %v after %v", err, time.Since(begun))
		}
		for range queueLength {
			if err := <-errs; !apierrors.IsTooManyRequests(err) {
				t.Errorf("a request that waited: %v", err)
			}
		}
		if time.Since(begun) != queueTime {
			t.Errorf("they waited %v", time.Since(begun))
		}
		gate.leave()
		if gate.inside != 0 || gate.waiting != 0 || len(gate.lines) != 0 {
			t.Errorf("left over: %+v", gate)
		}
	})
}
