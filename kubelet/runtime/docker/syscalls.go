package docker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
)

// A call is one system call for the program of pause.go to execute. Its arguments are numbers, or places in data: the
// program has data in its own memory when it executes the call, and sends it back afterwards with what the call put there.
type call struct {
	what     string // for errors
	number   callNumber
	args     []argument
	data     []byte
	optional bool  // its failure is no failure of the whole
	ignore   errno // nor is this one
}

// argument is a number, or (pointer) an offset into the call's data.
type argument struct {
	value   uint64
	pointer bool
}

func number[T ~int | ~uint32 | ~uint64 | ~int64](value T) argument {
	return argument{value: uint64(value)}
}
func pointer(offset int) argument { return argument{value: uint64(offset), pointer: true} }

// answer is what a call returned, and its data after it.
type answer struct {
	value int64
	data  []byte
}

// dataOffset is where a frame's data begin; before it are the call's number and six arguments.
const dataOffset = 64

// maxData is the largest data of one call.
const maxData = frameSize - dataOffset

// callNumber names a system call on both architectures.
type callNumber struct{ amd64, arm64 uint64 }

var (
	sysRead       = callNumber{0, 63}
	sysWrite      = callNumber{1, 64}
	sysClose      = callNumber{3, 57}
	sysLseek      = callNumber{8, 62}
	sysIoctl      = callNumber{16, 29}
	sysSocket     = callNumber{41, 198}
	sysConnect    = callNumber{42, 203}
	sysSendto     = callNumber{44, 206}
	sysRecvfrom   = callNumber{45, 207}
	sysShutdown   = callNumber{48, 210}
	sysSetsockopt = callNumber{54, 208}
	sysCapset     = callNumber{126, 91}
	sysStatfs     = callNumber{137, 43}
	sysChroot     = callNumber{161, 51}
	sysGetdents   = callNumber{217, 61}
	sysOpenat     = callNumber{257, 56}
	sysMkdirat    = callNumber{258, 34}
	sysFchownat   = callNumber{260, 54}
	sysUnlinkat   = callNumber{263, 35}
	sysRenameat   = callNumber{264, 38}
	sysSymlinkat  = callNumber{266, 36}
	sysReadlinkat = callNumber{267, 78}
	sysFchmodat   = callNumber{268, 53}
	sysUnshare    = callNumber{272, 97}
	sysStatx      = callNumber{332, 291}
)

// errno is an error number of Linux, which are not those of the host that kubette may run on.
type errno int64

const (
	errPermission errno = 1
	errNoEntry    errno = 2
	errAgain      errno = 11
	errExists     errno = 17
	errNotDir     errno = 20
	errIsDir      errno = 21
	errNoSpace    errno = 28
	errLoop       errno = 40
	errRefused    errno = 111
)

func (e errno) Error() string {
	switch e {
	case errPermission:
		return "operation not permitted"
	case errNoEntry:
		return "no such file or directory"
	case errExists:
		return "file exists"
	case errNotDir:
		return "not a directory"
	case errNoSpace:
		return "no space left on device"
	case errLoop:
		return "a symbolic link where none may be"
	case errRefused:
		return "connection refused"
	}
	return fmt.Sprintf("error %d", int64(e))
}

// worker is a connection to a process that executes calls. One user at a time holds it.
type worker struct {
	mu           sync.Mutex
	conn         net.Conn
	stream       io.Reader
	architecture string
	buffer       uint64 // where the frame is in the process' memory
	broken       error
}

// attachWorker connects to a container made of the pause image that was created and not started yet. A process that has
// been running is never attached to again: kubette may have been killed in the middle of a frame.
func (e *Engine) attachWorker(ctx context.Context, id string) (*worker, error) {
	attached, err := within(ctx, callTimeout, func(ctx context.Context) (types.HijackedResponse, error) {
		return e.api.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true})
	})
	if err != nil {
		return nil, fmt.Errorf("attach to the sandbox process: %w", explain(ctx, err))
	}
	return &worker{
		conn: attached.Conn, stream: &demultiplexer{source: attached.Reader}, architecture: e.architecture,
	}, nil
}

// hello waits for the process' first frame, which says where its buffer is.
func (w *worker) hello(ctx context.Context) error {
	defer w.bound(ctx)()
	frame := make([]byte, frameSize)
	if _, err := io.ReadFull(w.stream, frame); err != nil {
		return fmt.Errorf("wait for the sandbox process: %w", err)
	}
	w.buffer = binary.LittleEndian.Uint64(frame)
	return nil
}

// do executes calls one after the other and returns their answers, with the first error that is not optional. All calls
// are sent at once, so a later one cannot use what an earlier one returned, except that a process' first free file
// descriptor is known: 3 when nothing else is open.
func (w *worker) do(ctx context.Context, calls ...call) ([]answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.locked(ctx, calls)
}

func (w *worker) locked(ctx context.Context, calls []call) ([]answer, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	defer w.bound(ctx)()
	written := make(chan error, 1)
	go func() { written <- w.send(calls) }()
	answers, err := w.receive(len(calls))
	if err != nil {
		w.conn.SetDeadline(time.Unix(1, 0)) // so that the writer ends too
	}
	if failed := <-written; err == nil {
		err = failed
	}
	if err != nil {
		w.broken = fmt.Errorf("the sandbox process does not answer: %w", err)
		return nil, w.broken
	}
	for i, call := range calls {
		failed := errno(-answers[i].value)
		if answers[i].value < 0 && answers[i].value > -4096 && !call.optional && failed != call.ignore {
			return answers, fmt.Errorf("%s: %w", call.what, failed)
		}
	}
	return answers, nil
}

func (w *worker) send(calls []call) error {
	// Some frames at a time: fewer writes, and little memory for a large file.
	buffer := make([]byte, 0, 8*frameSize)
	for i, call := range calls {
		frame := make([]byte, frameSize)
		nr := call.number.amd64
		if w.architecture == "arm64" {
			nr = call.number.arm64
		}
		binary.LittleEndian.PutUint64(frame, nr)
		for j, argument := range call.args {
			value := argument.value
			if argument.pointer {
				value += w.buffer + dataOffset
			}
			binary.LittleEndian.PutUint64(frame[8+8*j:], value)
		}
		copy(frame[dataOffset:], call.data)
		buffer = append(buffer, frame...)
		if len(buffer) == cap(buffer) || i == len(calls)-1 {
			if _, err := w.conn.Write(buffer); err != nil {
				return err
			}
			buffer = buffer[:0]
		}
	}
	return nil
}

func (w *worker) receive(count int) ([]answer, error) {
	answers := make([]answer, count)
	for i := range answers {
		frame := make([]byte, frameSize)
		if _, err := io.ReadFull(w.stream, frame); err != nil {
			return nil, err
		}
		answers[i] = answer{value: int64(binary.LittleEndian.Uint64(frame)), data: frame[dataOffset:]}
	}
	return answers, nil
}

// bound limits how long the connection may take, by the context and by a time after which a process counts as gone.
func (w *worker) bound(ctx context.Context) (done func()) {
	until := time.Now().Add(callTimeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	w.conn.SetDeadline(until)
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			w.conn.SetDeadline(time.Time{})
		}
	}
}

func (w *worker) close() { w.conn.Close() }

// demultiplexer reads the standard output of a container's attached stream: chunks, each after a header of eight bytes
// whose last four are the chunk's length.
type demultiplexer struct {
	source io.Reader
	left   int
}

func (d *demultiplexer) Read(p []byte) (int, error) {
	for d.left == 0 {
		var header [8]byte
		if _, err := io.ReadFull(d.source, header[:]); err != nil {
			return 0, err
		}
		d.left = int(binary.BigEndian.Uint32(header[4:]))
	}
	n, err := d.source.Read(p[:min(len(p), d.left)])
	d.left -= n
	return n, err
}

func (w *worker) isBroken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken != nil
}
