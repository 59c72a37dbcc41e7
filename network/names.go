package network

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// ttl of all records in seconds, CoreDNS' value in Kubernetes.
const ttl = 30

// Names answers DNS questions about the cluster from the service table, by the rules of Kubernetes' DNS specification
// (https://github.com/kubernetes/dns/blob/master/docs/specification.md).
type Names struct {
	Table  *Table
	Domain string // cluster.local
}

// Answer returns the records for a question, and whether the name exists and is in the cluster's domain at all. A name
// that exists may have no record of the type.
func (n *Names) Answer(name string, qtype uint16) (records []dns.RR, exists, inside bool) {
	name = strings.ToLower(dns.Fqdn(name))
	if address, ok := reverseAddress(name); ok {
		return n.reverse(name, address, qtype)
	}
	labels, ok := strings.CutSuffix(name, "."+dns.Fqdn(n.Domain))
	if !ok {
		return nil, name == dns.Fqdn(n.Domain), name == dns.Fqdn(n.Domain)
	}
	parts := strings.Split(labels, ".")
	switch kind := parts[len(parts)-1]; {
	case labels == "dns-version":
		return match(qtype, &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{"1.1.0"}}), true, true
	case kind == "svc":
		records, exists = n.service(name, parts[:len(parts)-1], qtype)
		return records, exists, true
	case kind == "pod":
		records, exists = n.pod(name, parts[:len(parts)-1], qtype)
		return records, exists, true
	}
	return nil, false, true
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func match(qtype uint16, rr dns.RR) []dns.RR {
	if qtype != dns.TypeANY && rr.Header().Rrtype != qtype {
		return nil
	}
	return []dns.RR{rr}
}

func addressRecord(name string, address netip.Addr) dns.RR {
	return &dns.A{Hdr: header(name, dns.TypeA), A: net.IP(address.AsSlice())}
}

// service answers what stands before .svc.cluster.local: [hostname|_port._protocol.]service.namespace.
func (n *Names) service(name string, parts []string, qtype uint16) ([]dns.RR, bool) {
	if len(parts) < 2 {
		return nil, len(parts) == 0 || n.namespaceHasService(parts[0])
	}
	namespace, serviceName, rest := parts[len(parts)-1], parts[len(parts)-2], parts[:len(parts)-2]
	service, ok := n.Table.Service(namespace, serviceName)
	if !ok {
		return nil, false
	}
	spec := service.Object.Spec
	switch {
	case spec.Type == corev1.ServiceTypeExternalName:
		if len(rest) > 0 {
			return nil, false
		}
		return []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.Fqdn(spec.ExternalName)}}, true
	case len(rest) == 0:
		var records []dns.RR
		for _, address := range service.names("") {
			records = append(records, match(qtype, addressRecord(name, address))...)
		}
		return records, true
	case len(rest) == 1:
		var records []dns.RR
		addresses := service.names(rest[0])
		for _, address := range addresses {
			records = append(records, match(qtype, addressRecord(name, address))...)
		}
		return records, len(addresses) > 0
	case len(rest) == 2 && strings.HasPrefix(rest[0], "_") && strings.HasPrefix(rest[1], "_"):
		return n.srv(name, service, rest[0][1:], rest[1][1:], qtype)
	}
	return nil, false
}

func (n *Names) namespaceHasService(namespace string) bool {
	services, _ := n.Table.Services()
	for _, service := range services {
		if service.Object.Namespace == namespace {
			return true
		}
	}
	return false
}

// headless says whether a service has no address of its own: its name then leads to its pods.
func (s *Service) headless() bool { return s.Object.Spec.ClusterIP == corev1.ClusterIPNone }

// names are the addresses that a service's name leads to: its own, or for a headless one those of its pods; with a host
// name only that pod's.
func (s *Service) names(hostname string) []netip.Addr {
	if !s.headless() {
		if hostname != "" {
			return nil
		}
		return clusterAddresses(s.Object)
	}
	var found []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, e := range s.Endpoints {
		if !s.published(e) || seen[e.Address.Addr()] || hostname != "" && e.hostLabel() != hostname {
			continue
		}
		seen[e.Address.Addr()] = true
		found = append(found, e.Address.Addr())
	}
	return found
}

func clusterAddresses(service *corev1.Service) []netip.Addr {
	var found []netip.Addr
	for _, text := range service.Spec.ClusterIPs {
		if address, err := netip.ParseAddr(text); err == nil {
			found = append(found, address)
		}
	}
	return found
}

func (s *Service) published(e Endpoint) bool {
	return e.Ready || s.Object.Spec.PublishNotReadyAddresses
}

// hostLabel is the first label of a pod's own record: its host name, or its address with dashes.
func (e Endpoint) hostLabel() string {
	if e.Hostname != "" {
		return strings.ToLower(e.Hostname)
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(e.Address.Addr().String())
}

// srv answers _port._protocol.service.namespace.svc: the port's number and the name that it is at.
func (n *Names) srv(name string, service *Service, port, protocol string, qtype uint16) ([]dns.RR, bool) {
	base := service.Object.Name + "." + service.Object.Namespace + ".svc." + dns.Fqdn(n.Domain)
	var records []dns.RR
	found := false
	record := func(number uint16, target string) {
		found = true
		records = append(records, match(qtype, &dns.SRV{Hdr: header(name, dns.TypeSRV), Weight: 100, Port: number, Target: target})...)
	}
	if service.headless() {
		for _, e := range service.Endpoints {
			if e.PortName == port && strings.EqualFold(string(e.Protocol), protocol) && service.published(e) {
				record(e.Address.Port(), e.hostLabel()+"."+base)
			}
		}
		return records, found
	}
	for _, p := range service.Object.Spec.Ports {
		if p.Name == port && strings.EqualFold(string(p.Protocol), protocol) {
			record(uint16(p.Port), base)
		}
	}
	return records, found
}

// pod answers a-b-c-d.namespace.pod.cluster.local, which is true for any address, as in Kubernetes.
func (n *Names) pod(name string, parts []string, qtype uint16) ([]dns.RR, bool) {
	if len(parts) != 2 {
		return nil, len(parts) < 2
	}
	address, err := netip.ParseAddr(strings.ReplaceAll(parts[0], "-", "."))
	if err != nil {
		return nil, false
	}
	return match(qtype, addressRecord(name, address)), true
}

// reverseAddress reads d.c.b.a.in-addr.arpa.
func reverseAddress(name string) (netip.Addr, bool) {
	reversed, ok := strings.CutSuffix(name, ".in-addr.arpa.")
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(reversed, ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	address, err := netip.ParseAddr(strings.Join(parts, "."))
	return address, err == nil
}

func (n *Names) reverse(name string, address netip.Addr, qtype uint16) ([]dns.RR, bool, bool) {
	target := ""
	if service, ok := n.Table.ByAddress(address); ok {
		target = service.Object.Name + "." + service.Object.Namespace + ".svc." + dns.Fqdn(n.Domain)
	} else {
		target = n.headlessName(address)
	}
	if target == "" {
		return nil, false, false
	}
	return match(qtype, &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: target}), true, true
}

// headlessName is the record of a pod in a headless service, or "".
func (n *Names) headlessName(address netip.Addr) string {
	services, _ := n.Table.Services()
	for _, service := range services {
		for _, e := range service.Endpoints {
			if service.headless() && e.Address.Addr() == address && service.published(e) {
				return e.hostLabel() + "." + service.Object.Name + "." + service.Object.Namespace + ".svc." + dns.Fqdn(n.Domain)
			}
		}
	}
	return ""
}

// ndots is the number of dots from which on a name is tried as it is before the search domains, Kubernetes' value.
const ndots = 5

// LookupHost resolves a name as a pod's resolver does, with the search domains of a namespace. Known is false for names
// outside the cluster, which the host's resolver knows.
func (n *Names) LookupHost(ctx context.Context, namespace, host string) (found []netip.Addr, known bool, err error) {
	candidates := []string{host}
	if !strings.HasSuffix(host, ".") && namespace != "" {
		for _, domain := range []string{namespace + ".svc." + n.Domain, "svc." + n.Domain, n.Domain} {
			candidates = append(candidates, host+"."+domain)
		}
		if strings.Count(host, ".") < ndots {
			candidates = append(candidates[1:], host)
		}
	}
	missing := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	for _, candidate := range candidates {
		records, exists, inside := n.Answer(candidate, dns.TypeA)
		if !exists {
			if inside && candidate == host {
				return nil, true, missing
			}
			continue
		}
		for _, record := range records {
			switch r := record.(type) {
			case *dns.A:
				if address, ok := netip.AddrFromSlice(r.A.To4()); ok {
					found = append(found, address)
				}
			case *dns.CNAME:
				return n.outside(ctx, strings.TrimSuffix(r.Target, "."))
			}
		}
		if len(found) == 0 {
			return nil, true, missing
		}
		return found, true, nil
	}
	return nil, false, nil
}

// outside resolves the target of an ExternalName service, which may be a name in the cluster again.
func (n *Names) outside(ctx context.Context, host string) ([]netip.Addr, bool, error) {
	if found, known, err := n.LookupHost(ctx, "", host); known || err != nil {
		return found, known, err
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	return found, true, err
}
