package sim

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"kubette/kubelet/runtime"
)

// logLimit bounds what is kept of one container's output; the oldest lines go first.
const logLimit = 256 << 10

// stampFormat is how runtimes write the time of a line.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

// log is a container's output. It has its own lock, so that a program that writes much holds up nobody else.
type log struct {
	mu       sync.Mutex
	lines    []line
	dropped  int // how many lines are gone from the front
	size     int
	partial  [2][]byte // what was written after the last newline, by stream
	closed   bool
	change   chan struct{}
	attached map[*attachment]struct{}
}

type line struct {
	at     time.Time
	stderr bool
	text   []byte // without the newline
	whole  bool   // it ended with one
}

// attachment is somebody who sees output as it is written.
type attachment struct{ stdout, stderr io.Writer }

func newLog() *log { return &log{change: make(chan struct{})} }

// writer returns the stream that a program writes to.
func (l *log) writer(stderr bool) io.Writer { return logWriter{l, stderr} }

type logWriter struct {
	log    *log
	stderr bool
}

func (w logWriter) Write(b []byte) (int, error) {
	l, stream := w.log, 0
	if w.stderr {
		stream = 1
	}
	l.mu.Lock()
	rest := append(l.partial[stream], b...)
	for {
		text, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			break
		}
		l.add(line{at: time.Now(), stderr: w.stderr, text: bytes.Clone(text), whole: true})
		rest = after
	}
	l.partial[stream] = bytes.Clone(rest)
	if len(rest) > logLimit/4 {
		l.flush(stream)
	}
	watchers := make([]*attachment, 0, len(l.attached))
	for a := range l.attached {
		watchers = append(watchers, a)
	}
	l.mu.Unlock()
	for _, a := range watchers {
		to := a.stdout
		if w.stderr {
			to = a.stderr
		}
		if to != nil {
			_, _ = to.Write(b)
		}
	}
	return len(b), nil
}

// add keeps a line; the lock is held.
func (l *log) add(new line) {
	l.lines = append(l.lines, new)
	l.size += len(new.text) + 1
	for l.size > logLimit && len(l.lines) > 1 {
		l.size -= len(l.lines[0].text) + 1
		l.lines = l.lines[1:]
		l.dropped++
	}
	close(l.change)
	l.change = make(chan struct{})
}

// flush keeps an unfinished line as it is; the lock is held.
func (l *log) flush(stream int) {
	if len(l.partial[stream]) > 0 {
		l.add(line{at: time.Now(), stderr: stream == 1, text: l.partial[stream]})
		l.partial[stream] = nil
	}
}

// close ends the log: the container has ended.
func (l *log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.flush(0)
	l.flush(1)
	l.closed = true
	close(l.change)
	l.change = make(chan struct{})
}

// Logs implements runtime.Runtime.
func (r *Runtime) Logs(ctx context.Context, id string, options runtime.LogOptions, stdout, stderr io.Writer) error {
	r.mu.Lock()
	c, err := r.find(id)
	if err != nil {
		r.mu.Unlock()
		return err
	}
	output := c.output()
	r.mu.Unlock()
	return output.copy(ctx, options, stdout, stderr)
}

func (l *log) copy(ctx context.Context, options runtime.LogOptions, stdout, stderr io.Writer) error {
	l.mu.Lock()
	position := l.dropped
	for position-l.dropped < len(l.lines) && l.lines[position-l.dropped].at.Before(options.Since) {
		position++
	}
	if end := l.dropped + len(l.lines); options.Tail >= 0 && int64(end-position) > options.Tail {
		position = end - int(options.Tail)
	}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		position = max(position, l.dropped)
		lines := append([]line(nil), l.lines[position-l.dropped:]...)
		closed, change := l.closed, l.change
		l.mu.Unlock()
		position += len(lines)
		for _, each := range lines {
			to := stdout
			if each.stderr {
				to = stderr
			}
			if to == nil {
				continue
			}
			if _, err := to.Write(each.format(options.Timestamps)); err != nil {
				return err
			}
		}
		if !options.Follow || closed {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l line) format(stamp bool) []byte {
	var b []byte
	if stamp {
		b = append(l.at.UTC().AppendFormat(b, stampFormat), ' ')
	}
	b = append(b, l.text...)
	if l.whole || stamp {
		b = append(b, '\n')
	}
	return b
}

func (l *log) attach(a *attachment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attached == nil {
		l.attached = map[*attachment]struct{}{}
	}
	l.attached[a] = struct{}{}
}

func (l *log) detach(a *attachment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.attached, a)
}
