package kubelet

import "time"

const (
	firstBackoff = 10 * time.Second
	maxBackoff   = 300 * time.Second
)

// backoff is the growing wait between tries: 10 s, doubling to 300 s, and back to the start after ten quiet minutes. The
// zero value has never failed: the first try after a failure is made at once.
type backoff struct {
	delay   time.Duration
	updated time.Time
}

// expired says that so long passed between the last try and an event that the event starts a new series.
func (b *backoff) expired(event time.Time) bool {
	return b.delay == 0 || event.Sub(b.updated) > 2*maxBackoff
}

// remaining is how long to wait yet after something that happened at an event's time; zero when it may be tried.
func (b *backoff) remaining(event, now time.Time) time.Duration {
	if b.expired(event) {
		return 0
	}
	return max(0, b.delay-now.Sub(event))
}

// next records a try: the next one waits twice as long.
func (b *backoff) next(event, now time.Time) {
	if b.expired(event) {
		b.delay = firstBackoff
	} else {
		b.delay = min(2*b.delay, maxBackoff)
	}
	b.updated = now
}

// retry is a short wait after a failure that is no container's own, such as a volume that is not there: 500 ms, doubling
// to 2 min 2 s, as Kubernetes' volume manager and pod workers do.
type retry struct {
	delay time.Duration
	at    time.Time
}

func (r *retry) failed(now time.Time) {
	r.delay = min(max(2*r.delay, 500*time.Millisecond), 122*time.Second)
	r.at = now.Add(r.delay)
}

func (r *retry) remaining(now time.Time) time.Duration { return max(0, r.at.Sub(now)) }

// soonest is the shorter of two waits, where zero is none.
func soonest(a, b time.Duration) time.Duration {
	switch {
	case a <= 0:
		return b
	case b <= 0:
		return a
	}
	return min(a, b)
}
