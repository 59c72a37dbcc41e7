package test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// loopback is a network in memory, in place of this machine's own: nothing in it blocks on the world outside, so that
// virtual time goes on.
type loopback struct {
	mu        sync.Mutex
	listeners map[int]*memoryListener
	last      int
}

// Listen implements cluster.Loopback.
func (l *loopback) Listen(address string) (net.Listener, error) {
	asked, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if asked.Port == 0 {
		l.last++
		asked.Port = 40000 + l.last
	}
	if l.listeners[asked.Port] != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, syscall.EADDRINUSE)
	}
	listener := &memoryListener{address: asked, connections: make(chan net.Conn), closed: make(chan struct{}),
		forget: func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.listeners, asked.Port)
		}}
	if l.listeners == nil {
		l.listeners = map[int]*memoryListener{}
	}
	l.listeners[asked.Port] = listener
	return listener, nil
}

// Dial implements cluster.Loopback.
func (l *loopback) Dial(ctx context.Context, address string) (net.Conn, error) {
	asked, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	listener := l.listeners[asked.Port]
	l.mu.Unlock()
	if listener == nil {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	here, there := net.Pipe()
	select {
	case listener.connections <- there:
		return here, nil
	case <-listener.closed:
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memoryListener struct {
	address     *net.TCPAddr
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
	forget      func()
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.connections:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.forget()
	})
	return nil
}

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return l.address }
