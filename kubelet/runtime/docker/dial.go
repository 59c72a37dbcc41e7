package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

const dialTimeout = 5 * time.Second

// Dial implements runtime.Runtime: to the pod's address if the host has a route to it, or by ClusterConfig.Dial; and when
// nothing listens there, or there is no way, from inside the pod's network to its loopback, where programs listen that
// Kubernetes reaches by port-forward only.
func (n *Node) Dial(ctx context.Context, sandbox string, port int32) (io.ReadWriteCloser, error) {
	if err := n.joinable(ctx, sandbox); err != nil {
		return nil, err
	}
	conn, err := n.DialAddress(ctx, sandbox, port)
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	inside, insideErr := n.dialInside(ctx, sandbox, port)
	if insideErr != nil {
		return nil, fmt.Errorf("connect to port %d of the pod: %w", port, insideErr)
	}
	return inside, nil
}

// DialAddress is Dial to the pod's address only, as other pods and the kubelet's probes see it.
func (n *Node) DialAddress(ctx context.Context, sandbox string, port int32) (io.ReadWriteCloser, error) {
	known := n.known(sandbox)
	if known == nil {
		return nil, fmt.Errorf("sandbox %s: %w", short(sandbox), runtime.ErrNotFound)
	}
	if !n.engine.network.Direct && n.engine.config.Dial == nil { // no way but from inside
		return n.dialInside(ctx, sandbox, port)
	}
	conn, err := n.engine.dial(ctx, netip.AddrPortFrom(known.address, uint16(port)))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

var errNoRoute = errors.New("this host has no route to pods")

// dial connects to an address of the cluster's network.
func (e *Engine) dial(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	if !address.Addr().IsValid() { // a pod on the host's network
		return nil, errNoRoute
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if e.network.Direct {
		return new(net.Dialer).DialContext(ctx, "tcp", address.String())
	}
	if e.config.Dial != nil {
		return e.config.Dial(ctx, address)
	}
	return nil, errNoRoute
}

// dialInside connects to the loopback of a pod by a process of its own in the pod's network, which kubette has do the
// system calls of a connection. It costs a container for as long as the connection lives.
func (n *Node) dialInside(ctx context.Context, sandbox string, port int32) (io.ReadWriteCloser, error) {
	name := fmt.Sprintf("kubette_%s_%s_dial_%d_%x", n.engine.config.Name, short(sandbox), port, time.Now().UnixNano())
	details, err := n.engine.inspect(ctx, sandbox)
	if err != nil {
		return nil, err
	}
	uid := details.Config.Labels[labelUID]
	id, worker, err := n.engine.startWorker(ctx, name, &container.Config{
		Labels: map[string]string{labelCluster: n.engine.config.Name, labelRole: roleHelper, labelNode: n.config.Name, labelSandbox: sandbox, labelUID: uid},
	}, &container.HostConfig{NetworkMode: container.NetworkMode("container:" + sandbox), CapDrop: []string{"ALL"}, AutoRemove: true}, true)
	if err != nil {
		return nil, err
	}
	tunnel := &tunnel{engine: n.engine, container: id, worker: worker}
	if err := tunnel.connect(ctx, port); err != nil {
		tunnel.Close()
		return nil, err
	}
	return tunnel, nil
}

// tunnel is a connection made of system calls in another process. The process does one call at a time, so reading waits
// only for moments, between which it can write.
type tunnel struct {
	engine    *Engine
	container string
	worker    *worker
	close     sync.Once

	reading sync.Mutex
	rest    []byte
}

// Linux' numbers.
const (
	afInet, sockStream, sockCloexec = 2, 1, 0x80000
	solSocket, soRcvTimeo           = 1, 20
	shutWrite                       = 1
	tunnelSocket                    = 3
	readWait                        = 20 * time.Millisecond
)

func (t *tunnel) connect(ctx context.Context, port int32) error {
	address := make([]byte, 16)
	binary.LittleEndian.PutUint16(address, afInet)
	binary.BigEndian.PutUint16(address[2:], uint16(port))
	copy(address[4:], []byte{127, 0, 0, 1})
	wait := make([]byte, 16)
	binary.LittleEndian.PutUint64(wait[8:], uint64(readWait/time.Microsecond))
	_, err := t.worker.do(ctx,
		call{what: "open a socket", number: sysSocket, args: []argument{number(afInet), number(sockStream | sockCloexec), number(0)}},
		call{what: "set the socket's timeout", number: sysSetsockopt, args: []argument{number(tunnelSocket), number(solSocket), number(soRcvTimeo), pointer(0), number(16)}, data: wait},
		call{what: fmt.Sprintf("connect to 127.0.0.1:%d inside the pod", port), number: sysConnect, args: []argument{number(tunnelSocket), pointer(0), number(16)}, data: address},
	)
	if errors.Is(err, errRefused) {
		return fmt.Errorf("%w: %w", err, syscall.ECONNREFUSED)
	}
	return err
}

// Read implements io.Reader.
func (t *tunnel) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for len(t.rest) == 0 {
		answers, err := t.worker.do(context.Background(), call{
			what: "receive", number: sysRecvfrom, args: []argument{number(tunnelSocket), pointer(0), number(maxData), number(0), number(0), number(0)},
			ignore: errAgain,
		})
		if err != nil {
			return 0, err
		}
		switch count := answers[0].value; {
		case count == 0:
			return 0, io.EOF
		case count > 0:
			t.rest = answers[0].data[:count]
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// Write implements io.Writer.
func (t *tunnel) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		chunk := p[written:min(len(p), written+maxData)]
		answers, err := t.worker.do(context.Background(), call{
			what: "send", number: sysSendto, data: chunk,
			args: []argument{number(tunnelSocket), pointer(0), number(len(chunk)), number(0x4000), number(0), number(0)}, // no signal
		})
		if err != nil {
			return written, err
		}
		written += int(answers[0].value)
	}
	return written, nil
}

// CloseWrite tells the other side that nothing more will come.
func (t *tunnel) CloseWrite() error {
	_, err := t.worker.do(context.Background(), call{
		what: "shut down", number: sysShutdown, args: []argument{number(tunnelSocket), number(shutWrite)}, optional: true,
	})
	return err
}

// Close ends the connection and removes its container.
func (t *tunnel) Close() error {
	t.close.Do(func() {
		t.worker.close()
		t.engine.start(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
			defer cancel()
			if err := t.engine.remove(ctx, t.container); err != nil {
				t.engine.log.Warn("a helper container is left", "error", err)
			}
		})
	})
	return nil
}
