package kinds

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// ledger is an allocator that shows what is taken.
type ledger struct {
	taken map[string]bool
	next  func(n int) string
}

func (l *ledger) Allocate(value string) error {
	if l.taken[value] {
		return errors.New("it is already allocated")
	}
	l.taken[value] = true
	return nil
}

func (l *ledger) Next() (string, error) {
	for n := 1; n <= 3; n++ {
		if value := l.next(n); !l.taken[value] {
			return value, l.Allocate(value)
		}
	}
	return "", errors.New("range is full")
}

func (l *ledger) Release(value string) { delete(l.taken, value) }

// books are the addresses 10.0.0.1 to 3 and the ports 30001 to 3.
type books struct {
	fakeCluster
	addresses, ports ledger
}

func newBooks(taken ...string) *books {
	b := &books{
		addresses: ledger{map[string]bool{}, func(n int) string { return "10.0.0." + strconv.Itoa(n) }},
		ports:     ledger{map[string]bool{}, func(n int) string { return strconv.Itoa(30000 + n) }},
	}
	for _, value := range taken {
		if len(value) == 5 {
			b.ports.taken[value] = true
		} else {
			b.addresses.taken[value] = true
		}
	}
	return b
}

func (b *books) Addresses() Allocator { return &b.addresses }
func (b *books) Ports() Allocator     { return &b.ports }

// taken lists addresses, then ports.
func (b *books) taken() []string {
	return append(slices.Sorted(maps.Keys(b.addresses.taken)), slices.Sorted(maps.Keys(b.ports.taken))...)
}

func portsOf(s *corev1.Service) (ports []int32) {
	for _, p := range s.Spec.Ports {
		ports = append(ports, p.NodePort)
	}
	return ports
}

func TestServiceAllocates(t *testing.T) {
	for name, c := range map[string]struct {
		spec  string
		had   []string // taken by others
		ip    string
		ports []int32
		taken []string
		err   string
	}{
		"address":         {`{"ports":[{"port":80}]}`, nil, "10.0.0.1", []int32{0}, []string{"10.0.0.1"}, ""},
		"certain address": {`{"clusterIP":"10.0.0.3","ports":[{"port":80}]}`, nil, "10.0.0.3", []int32{0}, []string{"10.0.0.3"}, ""},
		"taken address": {`{"clusterIP":"10.0.0.3","ports":[{"port":80}]}`, []string{"10.0.0.3"}, "10.0.0.3", []int32{0}, []string{"10.0.0.3"},
			`Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.0.0.3"]: failed to allocate IP 10.0.0.3: it is already allocated`},
		"no address left": {`{"ports":[{"port":80}]}`, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, "", []int32{0},
			[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, "Internal error occurred: failed to allocate a serviceIP: range is full"},
		"headless":  {`{"clusterIP":"None","ports":[{"port":80}]}`, nil, "None", []int32{0}, nil, ""},
		"elsewhere": {`{"type":"ExternalName","externalName":"example.com"}`, nil, "", nil, nil, ""},
		"node ports": {`{"type":"NodePort","ports":[{"name":"a","port":80},{"name":"b","port":81,"nodePort":30001}]}`, nil,
			"10.0.0.1", []int32{30002, 30001}, []string{"10.0.0.1", "30001", "30002"}, ""},
		"node port for both protocols": {`{"type":"NodePort","ports":[{"name":"a","port":53},{"name":"b","port":53,"protocol":"UDP"}]}`, nil,
			"10.0.0.1", []int32{30001, 30001}, []string{"10.0.0.1", "30001"}, ""},
		"taken node port gives the address back": {`{"type":"NodePort","ports":[{"port":80,"nodePort":30001}]}`, []string{"30001"}, "10.0.0.1",
			[]int32{30001}, []string{"30001"},
			`Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 30001: it is already allocated`},
		"balanced":               {`{"type":"LoadBalancer","ports":[{"port":80}]}`, nil, "10.0.0.1", []int32{30001}, []string{"10.0.0.1", "30001"}, ""},
		"balanced without ports": {`{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"ports":[{"port":80}]}`, nil, "10.0.0.1", []int32{0}, []string{"10.0.0.1"}, ""},
		"balanced locally": {`{"type":"LoadBalancer","externalTrafficPolicy":"Local","ports":[{"port":80}]}`, nil,
			"10.0.0.1", []int32{30001}, []string{"10.0.0.1", "30001", "30002"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBooks(c.had...)
			s := decode(t, service(), jsonMap(t, `{"metadata":{"name":"s"},"spec":`+c.spec+`}`)).(*corev1.Service)
			release, err := service().Allocate(t.Context(), b, s, nil)
			if got := errorText(err); got != c.err {
				t.Errorf("error %q, want %q", got, c.err)
			}
			if diff := cmp.Diff(c.taken, b.taken()); diff != "" {
				t.Errorf("taken (-want +got): %s", diff)
			}
			if c.err != "" {
				return
			}
			if s.Spec.ClusterIP != c.ip {
				t.Errorf("address %q, want %q", s.Spec.ClusterIP, c.ip)
			}
			if diff := cmp.Diff(c.ports, portsOf(s)); diff != "" {
				t.Errorf("node ports (-want +got): %s", diff)
			}
			release()
			if diff := cmp.Diff(c.had, b.taken()); diff != "" {
				t.Errorf("taken after a write that failed (-want +got): %s", diff)
			}
		})
	}
}

func TestServiceChanges(t *testing.T) {
	const nodePort = `{"type":"NodePort","selector":{"a":"b"},"ports":[{"name":"a","port":80}]}`
	for name, c := range map[string]struct {
		spec   string
		change map[string]any
		ip     string
		ports  []int32
		taken  []string
		want   []string
	}{
		"applied again without what was handed out": {nodePort,
			map[string]any{"spec/clusterIP": nil, "spec/clusterIPs": nil, "spec/ports/0/nodePort": nil},
			"10.0.0.1", []int32{30001}, []string{"10.0.0.1", "30001"}, nil},
		"no longer on nodes": {nodePort, map[string]any{"spec/type": "ClusterIP"}, "10.0.0.1", []int32{0}, []string{"10.0.0.1"}, nil},
		"elsewhere":          {nodePort, map[string]any{"spec/type": "ExternalName", "spec/externalName": "example.com"}, "", []int32{0}, nil, nil},
		"from elsewhere": {`{"type":"ExternalName","externalName":"example.com"}`,
			map[string]any{"spec/type": "ClusterIP", "spec/externalName": nil, "spec/ports": []any{map[string]any{"port": 80}}},
			"10.0.0.1", []int32{0}, []string{"10.0.0.1"}, nil},
		"another node port": {nodePort, map[string]any{"spec/ports/0/nodePort": 30003}, "10.0.0.1", []int32{30003}, []string{"10.0.0.1", "30003"}, nil},
		"more ports": {nodePort, map[string]any{"spec/ports": []any{
			map[string]any{"name": "b", "port": 81}, map[string]any{"name": "a", "port": 80}}},
			"10.0.0.1", []int32{30002, 30001}, []string{"10.0.0.1", "30001", "30002"}, nil},
		"balanced": {nodePort, map[string]any{"spec/type": "LoadBalancer"}, "10.0.0.1", []int32{30001}, []string{"10.0.0.1", "30001"}, nil},
		"health check no longer needed": {`{"type":"LoadBalancer","externalTrafficPolicy":"Local","ports":[{"port":80}]}`,
			map[string]any{"spec/externalTrafficPolicy": "Cluster"}, "10.0.0.1", []int32{30001}, []string{"10.0.0.1", "30001"}, nil},
		"another address": {nodePort, map[string]any{"spec/clusterIP": "10.0.0.2", "spec/clusterIPs": []any{"10.0.0.2"}},
			"10.0.0.2", []int32{30001}, []string{"10.0.0.1", "30001"},
			[]string{`spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set`}},
		"headless": {nodePort, map[string]any{"spec/type": "ClusterIP", "spec/clusterIP": "None"},
			"None", []int32{0}, []string{"10.0.0.1"}, []string{`spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set`}},
	} {
		t.Run(name, func(t *testing.T) {
			row, b := service(), newBooks()
			old := decode(t, row, jsonMap(t, `{"metadata":{"name":"s"},"spec":`+c.spec+`}`)).(*corev1.Service)
			if _, err := row.Allocate(t.Context(), b, old, nil); err != nil {
				t.Fatal(err)
			}
			row.PrepareForCreate(old)
			before := b.taken()

			old.SetResourceVersion("1")
			now := changed(t, row, old, c.change).(*corev1.Service)
			release, err := row.Allocate(t.Context(), b, now, old)
			if err != nil {
				t.Fatal(err)
			}
			row.PrepareForUpdate(now, old)
			sameMessages(t, row.ValidateUpdate(now, old), c.want...)
			if now.Spec.ClusterIP != c.ip {
				t.Errorf("address %q, want %q", now.Spec.ClusterIP, c.ip)
			}
			if diff := cmp.Diff(c.ports, portsOf(now)); diff != "" {
				t.Errorf("node ports (-want +got): %s", diff)
			}
			if diff := cmp.Diff(c.taken, b.taken()); diff != "" {
				t.Errorf("taken (-want +got): %s", diff)
			}
			release()
			if diff := cmp.Diff(before, b.taken()); diff != "" {
				t.Errorf("taken after a write that failed (-want +got): %s", diff)
			}
			if _, err := row.Allocate(t.Context(), b, nil, old); err != nil {
				t.Fatal(err)
			}
			if got := b.taken(); len(got) > 0 {
				t.Errorf("a deleted service keeps %v", got)
			}
		})
	}
}

// A row whose cells are computed from several fields prints what kubectl users know.
func TestServiceCells(t *testing.T) {
	for want, spec := range map[string]string{
		"ClusterIP 10.0.0.1 <none> 80/TCP":         `{"clusterIP":"10.0.0.1","ports":[{"port":80}]}`,
		"ClusterIP None <none> <none>":             `{"clusterIP":"None"}`,
		"NodePort 10.0.0.1 1.2.3.4 80:30001/TCP":   `{"type":"NodePort","clusterIP":"10.0.0.1","externalIPs":["1.2.3.4"],"ports":[{"port":80,"nodePort":30001}]}`,
		"LoadBalancer 10.0.0.1 <pending> 80/UDP":   `{"type":"LoadBalancer","clusterIP":"10.0.0.1","ports":[{"port":80,"protocol":"UDP"}]}`,
		"ExternalName <none> example.com <none>":   `{"type":"ExternalName","externalName":"example.com"}`,
		"ClusterIP 10.0.0.1 <none> 80/TCP,443/TCP": `{"clusterIP":"10.0.0.1","ports":[{"port":80},{"port":443}]}`,
	} {
		s := fromJSON(t, service(), `{"metadata":{"name":"s"},"spec":`+spec+`}`)
		cells := service().Cells(s)
		if got := cells[1].(string) + " " + cells[2].(string) + " " + cells[3].(string) + " " + cells[4].(string); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
