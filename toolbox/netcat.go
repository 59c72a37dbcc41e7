package toolbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// ncMax is the largest packet that nc takes.
const ncMax = 65507

// netcat is a run of nc.
type netcat struct {
	*Process
	udp, try, verbose, keep bool
	wait                    time.Duration
	program                 []string // is run for each connection or packet; empty: what is read and written is the process' own
}

// nc connects to a port (-z only tries), or listens on one (-l -p PORT); with -u it sends and takes UDP packets.
func nc(ctx context.Context, p *Process) int {
	flags := p.flags()
	listen := flags.BoolP("listen", "l", false, "listen")
	port := flags.StringP("port", "p", "", "the port to listen on")
	keep := flags.BoolP("keep", "k", false, "with -l: go on with the next connection")
	udp := flags.BoolP("udp", "u", false, "UDP instead of TCP")
	try := flags.BoolP("zero", "z", false, "only see whether something listens")
	verbose := flags.BoolP("verbose", "v", false, "say what happens")
	seconds := flags.IntP("wait", "w", 10, "seconds to wait for a connection, or with -u for answers")
	program := flags.StringP("exec", "e", "", "run this program for each connection or packet")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	n := &netcat{Process: p, udp: *udp, try: *try, verbose: *verbose, keep: *keep, wait: time.Duration(*seconds) * time.Second,
		program: strings.Fields(*program)}
	if len(n.program) > 0 && Programs()[n.program[0]] == nil {
		return p.fail("%s: not found", n.program[0])
	}
	switch {
	case *listen && *port == "" && flags.NArg() == 1:
		*port = flags.Arg(0)
		fallthrough
	case *listen:
		return n.listen(ctx, ":"+*port)
	case flags.NArg() != 2:
		return p.fail("a host and a port must be given")
	}
	return n.connect(ctx, net.JoinHostPort(flags.Arg(0), flags.Arg(1)))
}

func (n *netcat) listen(ctx context.Context, address string) int {
	if n.udp {
		return n.listenPackets(ctx, address)
	}
	listener, err := n.Process.Listen("tcp", address)
	if err != nil {
		return n.fail("%v", err)
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return exitTerminated
		}
		n.say("connect from %s", conn.RemoteAddr())
		n.talk(ctx, conn)
		if !n.keep {
			return exitOK
		}
	}
}

// talk copies both ways, or lets the program do it.
func (n *netcat) talk(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	if len(n.program) > 0 {
		n.run(ctx, conn, conn)
		return
	}
	go func() {
		_, _ = io.Copy(conn, n.stdin())
		if half, ok := conn.(interface{ CloseWrite() error }); ok && n.Stdin != nil {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(n.Stdout, conn)
}

func (n *netcat) run(ctx context.Context, in io.Reader, out io.Writer) {
	own := *n.Process
	own.Args, own.Stdin, own.Stdout = n.program, in, out
	Programs()[n.program[0]](ctx, &own)
}

// listenPackets prints what arrives and answers the last client from standard input; or answers each packet with what the
// program makes of it.
func (n *netcat) listenPackets(ctx context.Context, address string) int {
	socket, err := n.ListenPacket("udp", address)
	if err != nil {
		return n.fail("%v", err)
	}
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	buffer := make([]byte, ncMax)
	for answered := false; ; {
		size, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return exitTerminated
		}
		n.say("packet from %s", from)
		if len(n.program) > 0 {
			var answer strings.Builder
			n.run(ctx, strings.NewReader(string(buffer[:size])), &answer)
			_, _ = socket.WriteTo([]byte(answer.String()), from)
			continue
		}
		_, _ = n.Stdout.Write(buffer[:size])
		if !answered {
			answered = true
			go func() { _, _ = io.Copy(packetWriter{socket, from}, n.stdin()) }()
		}
	}
}

// packetWriter sends each write as a packet to one address.
type packetWriter struct {
	socket net.PacketConn
	to     net.Addr
}

func (w packetWriter) Write(b []byte) (int, error) { return w.socket.WriteTo(b, w.to) }

func (n *netcat) connect(ctx context.Context, address string) int {
	kind := "tcp"
	if n.udp {
		kind = "udp"
	}
	dialing, cancel := context.WithTimeout(ctx, n.wait)
	defer cancel()
	conn, err := n.Dial(dialing, kind, address)
	if err != nil {
		return n.fail("%s: %v", address, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if n.udp {
		return n.exchange(conn, address)
	}
	n.say("%s open", address)
	if !n.try {
		n.talk(ctx, conn)
	}
	return exitOK
}

// refusalTime is how long it may take until somebody says that a UDP port is closed.
const refusalTime = time.Second

// exchange sends standard input in packets and prints the answers, until none has come for a while. That nothing says that
// a UDP port is open is in the nature of UDP: it counts as open when nobody says that it is closed.
func (n *netcat) exchange(conn net.Conn, address string) int {
	if n.try {
		_, _ = conn.Write(nil)
		_ = conn.SetReadDeadline(time.Now().Add(min(n.wait, refusalTime)))
		var refused net.Error
		if _, err := conn.Read(make([]byte, ncMax)); err != nil && !(errors.As(err, &refused) && refused.Timeout()) {
			return n.fail("%s: %v", address, err)
		}
		n.say("%s open", address)
		return exitOK
	}
	go func() { _, _ = io.Copy(conn, n.stdin()) }()
	buffer := make([]byte, ncMax)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(n.wait))
		size, err := conn.Read(buffer)
		var late net.Error
		switch {
		case err == nil:
			_, _ = n.Stdout.Write(buffer[:size])
		case errors.As(err, &late) && late.Timeout():
			return exitOK
		default:
			return n.fail("%s: %v", address, err)
		}
	}
}

func (n *netcat) say(format string, args ...any) {
	if n.verbose {
		fmt.Fprintf(n.Stderr, format+"\n", args...)
	}
}
