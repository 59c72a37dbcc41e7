package network

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNSHandler answers DNS messages: names in the cluster from Names, all others by asking the servers outside.
type DNSHandler struct {
	Names *Names
	// Forward lists the resolvers for names outside, as host:port, tried in order.
	Forward []string
	// Reaches says whether an answer gets to a client: who is cut off gets none. Nil: always.
	Reaches func(client netip.Addr) bool
}

// ServeDNS implements dns.Handler.
func (h *DNSHandler) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	client, udp := w.RemoteAddr().(*net.UDPAddr)
	if udp && h.Reaches != nil && !h.Reaches(client.AddrPort().Addr().Unmap()) {
		return
	}
	answer := h.Exchange(context.Background(), request, udp)
	_ = w.WriteMsg(answer)
}

// Serve answers on two sockets until the context ends, and closes them.
func (h *DNSHandler) Serve(ctx context.Context, packets net.PacketConn, listener net.Listener) {
	var group sync.WaitGroup
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: h}, {Listener: listener, Handler: h}} {
		group.Go(func() { _ = server.ActivateAndServe() })
		group.Go(func() {
			<-ctx.Done()
			stopping, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = server.ShutdownContext(stopping)
		})
	}
	group.Wait()
}

// Exchange answers one message; over UDP the answer is cut to what the client can take.
func (h *DNSHandler) Exchange(ctx context.Context, request *dns.Msg, udp bool) *dns.Msg {
	answer := new(dns.Msg)
	if len(request.Question) != 1 || request.Opcode != dns.OpcodeQuery {
		return answer.SetRcode(request, dns.RcodeNotImplemented)
	}
	question := request.Question[0]
	records, exists, inside := h.Names.Answer(question.Name, question.Qtype)
	if !inside {
		return h.forward(ctx, request, udp)
	}
	answer.SetReply(request)
	answer.Authoritative = true
	answer.RecursionAvailable = true
	answer.Answer = h.withTargets(ctx, records, question.Qtype)
	// In a new order each time, as CoreDNS' loadbalance has it: many clients take the first address.
	rand.Shuffle(len(answer.Answer), func(a, b int) {
		if answer.Answer[a].Header().Rrtype == answer.Answer[b].Header().Rrtype {
			answer.Answer[a], answer.Answer[b] = answer.Answer[b], answer.Answer[a]
		}
	})
	if !exists {
		answer.Rcode = dns.RcodeNameError
	}
	if len(records) == 0 {
		answer.Ns = []dns.RR{h.authority()}
	}
	size := dns.MinMsgSize
	if extension := request.IsEdns0(); extension != nil {
		size = max(size, int(extension.UDPSize()))
		answer.SetEdns0(uint16(size), extension.Do())
	}
	if udp {
		answer.Truncate(size)
	}
	return answer
}

// withTargets adds the addresses that an alias leads to, so that one question is enough.
func (h *DNSHandler) withTargets(ctx context.Context, records []dns.RR, qtype uint16) []dns.RR {
	for _, record := range records {
		alias, ok := record.(*dns.CNAME)
		if !ok || qtype != dns.TypeA && qtype != dns.TypeAAAA {
			continue
		}
		next := new(dns.Msg).SetQuestion(alias.Target, qtype)
		if target, _, inside := h.Names.Answer(alias.Target, qtype); inside {
			return append(records, target...)
		}
		return append(records, h.forward(ctx, next, false).Answer...)
	}
	return records
}

// authority is the record that says how long a missing name may be remembered as missing.
func (h *DNSHandler) authority() dns.RR {
	zone := dns.Fqdn(h.Names.Domain)
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA), Ns: "ns.dns." + zone, Mbox: "hostmaster." + zone,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl}
}

func (h *DNSHandler) forward(ctx context.Context, request *dns.Msg, udp bool) *dns.Msg {
	network := "tcp"
	if udp {
		network = "udp"
	}
	exchanger := &dns.Client{Net: network}
	for _, server := range h.Forward {
		answer, _, err := exchanger.ExchangeContext(ctx, request, server)
		if err == nil {
			answer.Id = request.Id
			return answer
		}
	}
	return new(dns.Msg).SetRcode(request, dns.RcodeServerFailure)
}

// Resolvers reads the servers from the text of a resolv.conf.
func Resolvers(resolvConf string) []string {
	config, err := dns.ClientConfigFromReader(strings.NewReader(resolvConf))
	if err != nil {
		return nil
	}
	var servers []string
	for _, server := range config.Servers {
		servers = append(servers, net.JoinHostPort(server, config.Port))
	}
	return servers
}
