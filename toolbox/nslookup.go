package toolbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// dnsPatience is how long one answer is waited for, as resolvers do.
const dnsPatience = 5 * time.Second

// nslookup asks a DNS server: the one of /etc/resolv.conf, or the second argument.
func nslookup(ctx context.Context, p *Process) int {
	args := p.Args[1:]
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, value, _ := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		kind, known := dns.StringToType[strings.ToUpper(value)]
		if name != "type" && name != "query" && name != "q" && name != "querytype" || !known {
			return p.fail("%s: the option is -type=A, AAAA, CNAME, SRV, PTR, TXT, MX or NS", args[0])
		}
		kinds, args = []uint16{kind}, args[1:]
	}
	if len(args) == 0 || len(args) > 2 {
		return p.fail("give a name or an address, and if you want a server")
	}
	config, err := p.resolver()
	if len(args) == 2 {
		config.Servers = args[1:]
	} else if err != nil {
		return p.fail("/etc/resolv.conf: %s", reason(err))
	}
	if len(config.Servers) == 0 {
		return p.fail("/etc/resolv.conf names no server")
	}
	server := net.JoinHostPort(config.Servers[0], config.Port)
	names := config.NameList(args[0])
	if address, err := netip.ParseAddr(args[0]); err == nil {
		reverse, _ := dns.ReverseAddr(address.String())
		names, kinds = []string{reverse}, []uint16{dns.TypePTR}
	}
	p.printf("Server:\t\t%s\nAddress:\t%s\n\n", config.Servers[0], server)
	found, err := p.resolve(ctx, server, names, kinds)
	if err != nil {
		p.printf("** server can't find %s: %s\n\n", args[0], err)
		return exitFailure
	}
	for _, record := range found {
		p.printf("%s\n", recordLine(record))
	}
	p.printf("\n")
	return exitOK
}

// resolver reads the process' /etc/resolv.conf. Without one, the configuration still has a port and ndots.
func (p *Process) resolver() (*dns.ClientConfig, error) {
	usual := &dns.ClientConfig{Port: "53", Ndots: 1}
	file, err := p.open("/etc/resolv.conf")
	if err != nil {
		return usual, err
	}
	defer file.Close()
	config, err := dns.ClientConfigFromReader(file)
	if err != nil {
		return usual, err
	}
	return config, nil
}

// resolve asks for one name after the other, until one is there.
func (p *Process) resolve(ctx context.Context, server string, names []string, kinds []uint16) ([]dns.RR, error) {
	missing := errors.New("NXDOMAIN")
	for _, name := range names {
		var found []dns.RR
		there := false
		for _, kind := range kinds {
			answer, err := p.exchange(ctx, server, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind))
			switch {
			case err != nil:
				return nil, fmt.Errorf("%s: %s", server, cause(err))
			case answer.Rcode == dns.RcodeNameError:
				continue
			case answer.Rcode != dns.RcodeSuccess:
				return nil, errors.New(dns.RcodeToString[answer.Rcode])
			}
			there = true
			for _, record := range answer.Answer {
				text := record.String()
				if !slices.ContainsFunc(found, func(other dns.RR) bool { return other.String() == text }) {
					found = append(found, record)
				}
			}
		}
		if len(found) > 0 {
			return found, nil
		}
		if there {
			missing = errors.New("No answer: the name has no record of that type")
		}
	}
	return nil, missing
}

// exchange asks over UDP, and again over TCP when the answer was cut.
func (p *Process) exchange(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	for _, network := range []string{"udp", "tcp"} {
		asking, cancel := context.WithTimeout(ctx, dnsPatience)
		conn, err := p.Dial(asking, network, server)
		if err != nil {
			cancel()
			return nil, err
		}
		answer, _, err := (&dns.Client{Net: network, Timeout: dnsPatience}).ExchangeWithConnContext(asking, question, &dns.Conn{Conn: framed(network, conn)})
		_ = conn.Close()
		cancel()
		if err != nil || !answer.Truncated || network == "tcp" {
			return answer, err
		}
	}
	return nil, nil // not reached: the answer over TCP is the last
}

// framed makes the dns package see what a connection is: only a net.PacketConn carries messages without their length.
func framed(network string, conn net.Conn) net.Conn {
	if _, ok := conn.(net.PacketConn); network == "udp" && !ok {
		return packetConn{conn}
	}
	return conn
}

// packetConn is a connected socket for packets, whatever wraps it.
type packetConn struct{ net.Conn }

func (c packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.RemoteAddr(), err
}

func (c packetConn) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

// recordLine is a record as nslookup prints it.
func recordLine(record dns.RR) string {
	name := strings.TrimSuffix(record.Header().Name, ".")
	switch r := record.(type) {
	case *dns.A:
		return fmt.Sprintf("Name:\t%s\nAddress: %s", name, r.A)
	case *dns.AAAA:
		return fmt.Sprintf("Name:\t%s\nAddress: %s", name, r.AAAA)
	case *dns.CNAME:
		return fmt.Sprintf("%s\tcanonical name = %s", name, strings.TrimSuffix(r.Target, "."))
	case *dns.PTR:
		return fmt.Sprintf("%s\tname = %s", name, strings.TrimSuffix(r.Ptr, "."))
	case *dns.SRV:
		return fmt.Sprintf("%s\tservice = %d %d %d %s", name, r.Priority, r.Weight, r.Port, strings.TrimSuffix(r.Target, "."))
	case *dns.TXT:
		return fmt.Sprintf("%s\ttext = %q", name, strings.Join(r.Txt, ""))
	}
	return record.String()
}
