package client

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
)

// What becomes of an event is what client-go's own correlator decides.
func TestCorrelateAsClientGo(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			own, theirs := newCorrelator(), record.NewEventCorrelator(clock.RealClock{})
			folded := 0
			for i := range 600 {
				if random.IntN(100) == 0 {
					time.Sleep(3 * time.Hour) // all similar ones are too old to be folded, and the buckets are full again
				} else {
					time.Sleep(time.Duration(random.IntN(20)) * time.Second)
				}
				// Few of one reason, of which client-go's set never overflows; of the other each is new, as it drops any of the set.
				reason, message := "Few", fmt.Sprintf("message %d", random.IntN(5))
				if random.IntN(2) == 0 {
					reason, message = "Many", fmt.Sprintf("message %d", i)
				}
				now, pod := metav1.Now(), fmt.Sprintf("pod-%d", random.IntN(3))
				event := &corev1.Event{
					ObjectMeta:     metav1.ObjectMeta{Name: eventName(pod, int64(i)), Namespace: "default"},
					InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: pod},
					Type:           []string{"Normal", "Warning"}[random.IntN(2)], Reason: reason,
					Message: message, Count: 1, FirstTimestamp: now, LastTimestamp: now,
				}
				got := own.correlate(event.DeepCopy())
				want, err := theirs.EventCorrelate(event.DeepCopy())
				if err != nil {
					t.Fatal(err)
				}
				if want.Skip || got == nil {
					if want.Skip != (got == nil) {
						t.Fatalf("seed %d, event %d: client-go skips %v, we %v", seed, i, want.Skip, got == nil)
					}
					continue
				}
				if got.Count > 1 && reason == "Many" {
					folded++
				}
				if got.Name != want.Event.Name || got.Count != want.Event.Count || got.Message != want.Event.Message ||
					!got.FirstTimestamp.Equal(&want.Event.FirstTimestamp) || !got.LastTimestamp.Equal(&want.Event.LastTimestamp) {
					t.Fatalf("seed %d, event %d: got %s ×%d %q, client-go has %s ×%d %q", seed, i,
						got.Name, got.Count, got.Message, want.Event.Name, want.Event.Count, want.Event.Message)
				}
			}
			if folded == 0 {
				t.Error("nothing was folded: the test shows less than it says")
			}
		})
	}
}

func TestRecentForgets(t *testing.T) {
	var r recent[int]
	for i := range uint64(10 * remembered) {
		r.put(i, int(i))
	}
	if _, ok := r.get(0); ok {
		t.Error("the first value is still there")
	}
	if v, ok := r.get(9*remembered + 5); !ok || v != 9*remembered+5 {
		t.Error("a late value is not there")
	}
	if n := len(r.young) + len(r.old); n > 2*remembered {
		t.Errorf("%d values are kept", n)
	}
}
