package loop_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/loop"
	"kubette/store"
)

// calls notes when a loop reconciled.
type calls struct {
	mu    sync.Mutex
	begun time.Time
	at    []time.Duration
}

func (c *calls) note() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Since(c.begun))
	return len(c.at)
}

// run runs a loop until the test of a bubble ends.
func run(t *testing.T, options loop.Options, reconcile loop.Reconcile[string]) *loop.Loop[string] {
	l := loop.New("test", reconcile, options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { l.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return l
}

func pass(d time.Duration) { synctest.Wait(); time.Sleep(d); synctest.Wait() }

func TestErrorsAreTriedAgainAfterLongerAndLongerDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &calls{begun: time.Now()}
		l := run(t, loop.Options{MinBackoff: time.Second, MaxBackoff: 5 * time.Second}, func(context.Context, string) (time.Duration, error) {
			if c.note() <= 5 {
				return 0, errors.New("no")
			}
			return 0, nil
		})
		l.Add("a", "test")
		pass(time.Hour)
		const s = time.Second
		if diff := cmp.Diff([]time.Duration{0, 1 * s, 3 * s, 7 * s, 12 * s, 17 * s}, c.at); diff != "" {
			t.Fatal(diff)
		}
		c.begun, c.at = time.Now(), []time.Duration{-1, -1, -1, -1} // fails twice more
		l.Add("a", "test")
		pass(time.Hour)
		if diff := cmp.Diff([]time.Duration{0, 1 * s}, c.at[4:]); diff != "" {
			t.Errorf("a success did not make the delay short again: %s", diff)
		}
	})
}

func TestAWriteRefusedForAnOldCopyIsTriedAgainAndNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine, c := loop.NewMachine(100), &calls{begun: time.Now()}
		pods := schema.GroupResource{Resource: "pods"}
		l := run(t, loop.Options{Machine: machine, MinBackoff: time.Second}, func(context.Context, string) (time.Duration, error) {
			if c.note() == 1 {
				return time.Hour, fmt.Errorf("mark pod a: %w", apierrors.NewConflict(pods, "a", errors.New("it was changed")))
			}
			return 0, nil
		})
		l.Add("a", "test")
		pass(time.Minute)
		if diff := cmp.Diff([]time.Duration{0, time.Second}, c.at); diff != "" {
			t.Fatal(diff)
		}
		records, _ := machine.After("")
		first := records[0]
		if first.Error != "" || len(first.Notes) != 1 || first.Notes[0].Reason != "StaleCopy" {
			t.Errorf("the first is %+v", first)
		}
		if says, _ := first.Notes[0].Args.Map()["error"].(string); !strings.HasPrefix(says, "mark pod a: ") {
			t.Errorf("it notes %q", says)
		}
		if cause := records[1].Cause; cause != first.Cause {
			t.Errorf("the cause of the second is %q", cause)
		}
	})
}

func TestATimeAskedForComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &calls{begun: time.Now()}
		l := run(t, loop.Options{}, func(context.Context, string) (time.Duration, error) {
			if c.note() < 3 {
				return time.Minute, nil
			}
			return 0, nil
		})
		l.AddAfter("a", 10*time.Second, "test")
		pass(time.Hour)
		if diff := cmp.Diff([]time.Duration{10 * time.Second, 70 * time.Second, 130 * time.Second}, c.at); diff != "" {
			t.Error(diff)
		}
	})
}

// However often a key is added, one call at a time is made for it; others go on beside it.
func TestOneCallAtATimeForAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := map[string]int{}, map[string]int{}
		c, all, mostOfAll := &calls{begun: time.Now()}, 0, 0
		l := run(t, loop.Options{Workers: 4}, func(_ context.Context, key string) (time.Duration, error) {
			c.note()
			mu.Lock()
			running[key]++
			all++
			most[key], mostOfAll = max(most[key], running[key]), max(mostOfAll, all)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			running[key]--
			all--
			return 0, nil
		})
		for range 10 {
			l.Add("a", "test")
			l.Add("b", "test")
			pass(100 * time.Millisecond)
		}
		pass(time.Minute)
		if most["a"] != 1 || most["b"] != 1 || mostOfAll != 2 {
			t.Errorf("at once: %v of each, %d of all", most, mostOfAll)
		}
		if len(c.at) != 4 { // those that came while one was under way made one more
			t.Errorf("%d calls", len(c.at))
		}
	})
}

func TestPauseStepAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := loop.NewMachine(100)
		c := &calls{begun: time.Now()}
		l := run(t, loop.Options{Machine: machine}, func(context.Context, string) (time.Duration, error) { c.note(); return 0, nil })
		gate := machine.Gate("test")
		gate.Pause()
		for _, key := range []string{"a", "b", "c", "d"} {
			l.Add(key, "test")
		}
		pass(time.Hour)
		if len(c.at) != 0 || !gate.Paused() {
			t.Fatalf("%d calls while paused", len(c.at))
		}
		gate.Step(2)
		pass(time.Hour)
		if len(c.at) != 2 {
			t.Fatalf("%d calls after two steps", len(c.at))
		}
		if depth := machine.Depths()["test"]; depth != 1 { // one waits at the gate
			t.Errorf("%d keys wait", depth)
		}
		gate.Resume()
		pass(0)
		if len(c.at) != 4 {
			t.Errorf("%d calls when resumed", len(c.at))
		}
	})
}

func TestTheTraceSaysWhatLedToWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := loop.NewMachine(100)
		var cause atomic.Value
		failed := false
		l := run(t, loop.Options{Machine: machine}, func(ctx context.Context, _ string) (time.Duration, error) {
			loop.Say(ctx, "Pods", "wanted", 3, "there", 2)
			cause.Store(store.CauseFrom(ctx))
			time.Sleep(time.Second)
			if !failed {
				failed = true
				return 0, errors.New("no")
			}
			return time.Minute, nil
		})
		l.Add("a", "pods/default/a deleted")
		pass(10 * time.Second)
		records, more := machine.After("")
		if len(records) != 2 {
			t.Fatalf("%d records", len(records))
		}
		first, second := records[0], records[1]
		if first.Component != "test" || first.Key != "a" || first.Cause != "pods/default/a deleted" || first.Error != "no" || first.Took != time.Second {
			t.Errorf("the first is %+v", first)
		}
		if second.Cause != "retry of "+first.ID || second.Error != "" || second.Again != time.Minute || cause.Load() != second.ID {
			t.Errorf("the second is %+v; the writes' cause is %q", second, cause.Load())
		}
		if diff := cmp.Diff([]loop.Note{{Reason: "Pods", Args: loop.Args{"wanted", 3, "there", 2}}}, second.Notes); diff != "" {
			t.Error(diff)
		}
		pass(time.Minute)
		select {
		case <-more:
		default:
			t.Error("nobody was told that there is more")
		}
		if after, _ := machine.After(second.ID); len(after) != 1 || after[0].Cause != "timer of "+second.ID {
			t.Errorf("after the second: %v", after)
		}
	})
}

func TestTheTraceIsBounded(t *testing.T) {
	machine := loop.NewMachine(100)
	for range 1000 {
		_ = loop.Step(t.Context(), machine, "test", "a", "", func(context.Context) error { return nil })
	}
	records, _ := machine.After("")
	if n := len(records); n < 100 || n > 125 {
		t.Errorf("%d records are kept", n)
	}
	if !slices.IsSortedFunc(records, func(a, b *loop.Record) int { return a.Time.Compare(b.Time) }) {
		t.Error("not in the order of time")
	}
}
