package network

import (
	"context"
	"net/netip"
	"sort"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// service makes a row of a table; endpoints are addresses of its first port.
func service(namespace, name, ip string, change func(*Service), endpoints ...string) *Service {
	s := &Service{Object: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}},
	}}
	for _, text := range endpoints {
		s.Endpoints = append(s.Endpoints, Endpoint{Address: netip.MustParseAddrPort(text), PortName: "http",
			Protocol: corev1.ProtocolTCP, Ready: true, Serving: true})
	}
	if change != nil {
		change(s)
	}
	return s
}

func tableOf(services ...*Service) *Table {
	table := NewTable()
	for _, s := range services {
		table.Replace(types.NamespacedName{Namespace: s.Object.Namespace, Name: s.Object.Name}, s)
	}
	return table
}

func testNames() *Names {
	return &Names{Domain: "cluster.local", Table: tableOf(
		service("default", "web", "10.96.0.20", nil, "10.97.1.5:8000"),
		service("default", "db", corev1.ClusterIPNone, func(s *Service) {
			s.Endpoints[0].Hostname = "db-0"
			s.Endpoints[2].Ready = false
		}, "10.97.1.6:5432", "10.97.2.6:5432", "10.97.2.7:5432"),
		service("other", "alias", "", func(s *Service) {
			s.Object.Spec.Type, s.Object.Spec.ExternalName, s.Object.Spec.ClusterIPs = corev1.ServiceTypeExternalName, "example.org", nil
		}),
	)}
}

func TestNamesAnswerAsTheKubernetesSpecificationSays(t *testing.T) {
	for _, test := range []struct {
		name  string
		qtype uint16
		want  []string
		there bool
	}{
		{"web.default.svc.cluster.local.", dns.TypeA, []string{"10.96.0.20"}, true},
		{"WEB.default.svc.Cluster.Local.", dns.TypeA, []string{"10.96.0.20"}, true},
		{"web.default.svc.cluster.local.", dns.TypeAAAA, nil, true},
		{"missing.default.svc.cluster.local.", dns.TypeA, nil, false},
		{"web.other.svc.cluster.local.", dns.TypeA, nil, false},
		{"_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV, []string{"80 web.default.svc.cluster.local."}, true},
		{"_dns._tcp.web.default.svc.cluster.local.", dns.TypeSRV, nil, false},
		{"db.default.svc.cluster.local.", dns.TypeA, []string{"10.97.1.6", "10.97.2.6"}, true},
		{"db-0.db.default.svc.cluster.local.", dns.TypeA, []string{"10.97.1.6"}, true},
		{"10-97-2-6.db.default.svc.cluster.local.", dns.TypeA, []string{"10.97.2.6"}, true},
		{"db-7.db.default.svc.cluster.local.", dns.TypeA, nil, false},
		{"_http._tcp.db.default.svc.cluster.local.", dns.TypeSRV,
			[]string{"5432 10-97-2-6.db.default.svc.cluster.local.", "5432 db-0.db.default.svc.cluster.local."}, true},
		{"alias.other.svc.cluster.local.", dns.TypeA, []string{"example.org."}, true},
		{"10-97-9-9.default.pod.cluster.local.", dns.TypeA, []string{"10.97.9.9"}, true},
		{"20.0.96.10.in-addr.arpa.", dns.TypePTR, []string{"web.default.svc.cluster.local."}, true},
		{"6.1.97.10.in-addr.arpa.", dns.TypePTR, []string{"db-0.db.default.svc.cluster.local."}, true},
	} {
		t.Run(dns.TypeToString[test.qtype]+" "+test.name, func(t *testing.T) {
			records, there, inside := testNames().Answer(test.name, test.qtype)
			if there != test.there || !inside {
				t.Errorf("exists %v, in the cluster's domain %v; want %v, true", there, inside, test.there)
			}
			if diff := cmp.Diff(test.want, texts(records)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// texts are records in short.
func texts(records []dns.RR) []string {
	var all []string
	for _, record := range records {
		switch r := record.(type) {
		case *dns.A:
			all = append(all, r.A.String())
		case *dns.CNAME:
			all = append(all, r.Target)
		case *dns.PTR:
			all = append(all, r.Ptr)
		case *dns.SRV:
			all = append(all, dns.Field(r, 3)+" "+r.Target)
		}
	}
	sort.Strings(all)
	return all
}

func TestNamesOutsideTheClusterAreLeftToOthers(t *testing.T) {
	for _, name := range []string{"example.org.", "1.2.0.192.in-addr.arpa."} {
		if _, _, inside := testNames().Answer(name, dns.TypeA); inside {
			t.Errorf("%s counts as the cluster's", name)
		}
	}
}

func TestALookupTriesTheSearchDomains(t *testing.T) {
	for _, test := range []struct{ namespace, host, want string }{
		{"default", "web", "10.96.0.20"},
		{"other", "web.default", "10.96.0.20"},
		{"other", "web.default.svc", "10.96.0.20"},
		{"", "web.default.svc.cluster.local", "10.96.0.20"},
	} {
		found, known, err := testNames().LookupHost(context.Background(), test.namespace, test.host)
		if err != nil || !known || len(found) != 1 || found[0].String() != test.want {
			t.Errorf("%s from namespace %q: %v %v %v, want %s", test.host, test.namespace, found, known, err, test.want)
		}
	}
	if _, known, _ := testNames().LookupHost(context.Background(), "other", "web"); known {
		t.Error("a service of another namespace was found by its short name")
	}
}

func TestTruncatedAnswersFitIntoAPacket(t *testing.T) {
	var endpoints []string
	for i := range 200 {
		endpoints = append(endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 97, byte(i / 100), byte(i % 100)}), 80).String())
	}
	names := &Names{Domain: "cluster.local", Table: tableOf(service("default", "many", corev1.ClusterIPNone, nil, endpoints...))}
	handler := &DNSHandler{Names: names}
	question := new(dns.Msg).SetQuestion("many.default.svc.cluster.local.", dns.TypeA)
	if answer := handler.Exchange(context.Background(), question, true); !answer.Truncated || answer.Len() > dns.MinMsgSize {
		t.Errorf("over UDP: truncated %v, %d bytes", answer.Truncated, answer.Len())
	}
	if answer := handler.Exchange(context.Background(), question, false); answer.Truncated || len(answer.Answer) != 200 {
		t.Errorf("over TCP: truncated %v, %d records", answer.Truncated, len(answer.Answer))
	}
}

// FuzzAnswer: names come from outside.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"web.default.svc.cluster.local.", "..svc.cluster.local", "svc.cluster.local.", "_.._.a.b.svc.cluster.local",
		"1.2.3.in-addr.arpa.", "a.pod.cluster.local.", ".cluster.local."} {
		f.Add(name, dns.TypeA)
	}
	names := testNames()
	f.Fuzz(func(t *testing.T, name string, qtype uint16) {
		records, exists, _ := names.Answer(name, qtype)
		if len(records) > 0 && !exists {
			t.Errorf("%q has records but does not exist", name)
		}
	})
}
