package gateway

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
	"k8s.io/apimachinery/pkg/types"

	"kubette/network"
)

// Every stream begins with a hello that says what it is for.
type hello struct {
	// Kind is setup (host to gateway: Settings, then updates for as long as the link lives; counts
	// come back), dial (host to gateway: a
	// connection to Address) or api (gateway to host: a connection to the API server).
	Kind    string
	Network string
	Address string
}

const (
	kindSetup = "setup"
	kindDial  = "dial"
	kindAPI   = "api"
)

// Settings are what a gateway needs to know once.
type Settings struct {
	Domain     string // cluster.local
	Services   string // the range of service addresses
	DNSAddress string // where the DNS server answers, an address of that range
	APIAddress string // the endpoint of the service kubernetes, whose connections go over the link
	// Nodes are the nodes' names by their ranges of pod addresses.
	Nodes map[string]string
}

// update is a change of the service table.
type update struct {
	Name    types.NamespacedName
	Service *network.Service // nil: removed
	// Synced is set once, after the first full table.
	Synced bool
	// Cut, if not nil, are the nodes that are cut off from now on.
	Cut *[]string
}

// reply follows a dial's hello.
type reply struct{ Error string }

// linkConfig is that of both ends. Keepalives find out that the other end is gone.
func linkConfig() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	config.KeepAliveInterval = 15 * time.Second
	config.ConnectionWriteTimeout = 15 * time.Second
	config.MaxStreamWindowSize = 1 << 20
	return config
}

// writeMessage and readMessage frame JSON by lines; a reader takes exactly one line, and leaves what follows it alone.
func writeMessage(w io.Writer, message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("write to the gateway's link: %w", err)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// maxLine bounds a message in bytes.
const maxLine = 8 << 20

func readMessage(r io.Reader, message any) error {
	bytes, ok := r.(io.ByteReader)
	if !ok {
		bytes = byteReader{r}
	}
	line := make([]byte, 0, 512)
	for {
		next, err := bytes.ReadByte()
		if err != nil {
			return err
		}
		if next == '\n' {
			break
		}
		if line = append(line, next); len(line) > maxLine {
			return fmt.Errorf("a message on the gateway's link is longer than %d bytes", maxLine)
		}
	}
	return json.Unmarshal(line, message)
}

// byteReader reads single bytes, so that nothing after a message is taken away from who reads next.
type byteReader struct{ io.Reader }

// ReadByte implements io.ByteReader.
func (r byteReader) ReadByte() (byte, error) {
	var one [1]byte
	_, err := io.ReadFull(r.Reader, one[:])
	return one[0], err
}

// stream is a yamux stream that closes one direction alone.
type stream struct{ *yamux.Stream }

// CloseWrite ends this side's half: that is what closing a yamux stream does.
func (s stream) CloseWrite() error { return s.Stream.Close() }

// packets is a stream that carries UDP packets: each has its length before it, in two bytes, so that packets stay apart.
type packets struct{ net.Conn }

// Write implements net.Conn for one packet.
func (p packets) Write(packet []byte) (int, error) {
	framed := make([]byte, 2+len(packet))
	binary.BigEndian.PutUint16(framed, uint16(len(packet)))
	copy(framed[2:], packet)
	if _, err := p.Conn.Write(framed); err != nil {
		return 0, err
	}
	return len(packet), nil
}

// Read implements net.Conn: one packet, cut to the buffer.
func (p packets) Read(buffer []byte) (int, error) {
	var length [2]byte
	if _, err := io.ReadFull(p.Conn, length[:]); err != nil {
		return 0, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(p.Conn, packet); err != nil {
		return 0, err
	}
	return copy(buffer, packet), nil
}

// udpSocket is a UDP socket that copies whole packets, whatever their size.
type udpSocket struct{ net.Conn }

// WriteTo implements io.WriterTo.
func (s udpSocket) WriteTo(w io.Writer) (int64, error) {
	buffer, total := make([]byte, network.MaxPacket), int64(0)
	for {
		n, err := s.Read(buffer)
		if err != nil {
			return total, err
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return total, err
		}
		total += int64(n)
	}
}
