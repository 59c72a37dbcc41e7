package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is how much one side may write before the other reads.
const bufferSize = 64 << 10

// newPair makes both ends of a connection. Unlike net.Pipe's they have buffers, addresses, and close one direction alone.
func newPair(near, far net.Addr) (*conn, *conn) {
	there, back := newFlow(), newFlow()
	return &conn{in: back, out: there, local: near, remote: far}, &conn{in: there, out: back, local: far, remote: near}
}

// conn is one end: it reads from one flow and writes to the other.
type conn struct {
	in, out        *flow
	local, remote  net.Addr
	reading, write deadline
}

// flow is one direction of a connection.
type flow struct {
	mu     sync.Mutex
	buffer []byte
	ended  bool // nothing more will be written
	broken bool // nobody will read
	change chan struct{}
}

func newFlow() *flow { return &flow{change: make(chan struct{})} }

// changed wakes whoever waits; the lock is held.
func (f *flow) changed() {
	close(f.change)
	f.change = make(chan struct{})
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		late := c.reading.passed()
		select {
		case <-late:
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		default:
		}
		c.in.mu.Lock()
		if c.in.broken {
			c.in.mu.Unlock()
			return 0, c.failed("read", net.ErrClosed)
		}
		if len(c.in.buffer) > 0 || len(b) == 0 {
			n := copy(b, c.in.buffer)
			c.in.buffer = c.in.buffer[n:]
			if len(c.in.buffer) == 0 {
				c.in.buffer = nil
			}
			c.in.changed()
			c.in.mu.Unlock()
			return n, nil
		}
		if c.in.ended {
			c.in.mu.Unlock()
			return 0, io.EOF
		}
		change := c.in.change
		c.in.mu.Unlock()
		select {
		case <-change:
		case <-late:
		}
	}
}

func (c *conn) Write(b []byte) (int, error) {
	written := 0
	for {
		late := c.write.passed()
		select {
		case <-late:
			return written, c.failed("write", os.ErrDeadlineExceeded)
		default:
		}
		c.out.mu.Lock()
		switch {
		case c.out.ended:
			c.out.mu.Unlock()
			return written, c.failed("write", net.ErrClosed)
		case c.out.broken:
			c.out.mu.Unlock()
			return written, c.failed("write", os.NewSyscallError("write", syscall.EPIPE))
		}
		if room := bufferSize - len(c.out.buffer); room > 0 {
			n := min(room, len(b)-written)
			c.out.buffer = append(c.out.buffer, b[written:written+n]...)
			written += n
			c.out.changed()
		}
		change := c.out.change
		c.out.mu.Unlock()
		if written == len(b) {
			return written, nil
		}
		select {
		case <-change:
		case <-late:
		}
	}
}

// Close ends both directions: the other side reads what was written, then io.EOF.
func (c *conn) Close() error {
	_ = c.CloseWrite()
	c.in.mu.Lock()
	if !c.in.broken {
		c.in.broken = true
		c.in.buffer = nil
		c.in.changed()
	}
	c.in.mu.Unlock()
	c.reading.set(time.Time{})
	c.write.set(time.Time{})
	return nil
}

// CloseWrite says that nothing more will be written, as *net.TCPConn's does.
func (c *conn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if !c.out.ended {
		c.out.ended = true
		c.out.changed()
	}
	return nil
}

func (c *conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.reading.set(t)
	c.write.set(t)
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.reading.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }

// deadline is a point in time that may be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	late  chan struct{}
}

// passed returns a channel that is closed when the deadline has passed.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.late == nil {
		d.late = make(chan struct{})
	}
	return d.late
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.late == nil {
		d.late = make(chan struct{})
	}
	select {
	case <-d.late: // a passed deadline is put off: those who wait from now on wait for the new one
		d.late = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	late := d.late
	if wait := time.Until(t); wait <= 0 {
		close(late)
	} else {
		d.timer = time.AfterFunc(wait, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			select {
			case <-late:
			default:
				close(late)
			}
		})
	}
}
