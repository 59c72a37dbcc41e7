package network

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodsAreSentToTheirOwnNodeWhereTheServiceAsksForIt(t *testing.T) {
	nodeOf, err := NodesByRange(map[string]string{"10.97.1.0/24": "one", "10.97.2.0/24": "two", "10.97.3.0/24": "three"})
	if err != nil {
		t.Fatal(err)
	}
	local, near := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceTrafficDistributionPreferSameNode
	for _, test := range []struct {
		name   string
		change func(*corev1.ServiceSpec)
		from   string
		want   []string // nil: refused
	}{
		{"anywhere by default", func(*corev1.ServiceSpec) {}, "10.97.1.9", []string{"10.97.1.5:80", "10.97.2.5:80"}},
		{"local only", func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = &local }, "10.97.1.9", []string{"10.97.1.5:80"}},
		{"local without a pod there", func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = &local }, "10.97.3.9", nil},
		{"local for who is no pod", func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = &local }, "127.0.0.1", []string{"10.97.1.5:80", "10.97.2.5:80"}},
		{"same node preferred", func(s *corev1.ServiceSpec) { s.TrafficDistribution = &near }, "10.97.2.9", []string{"10.97.2.5:80"}},
		{"same node without a pod there", func(s *corev1.ServiceSpec) { s.TrafficDistribution = &near }, "10.97.3.9", []string{"10.97.1.5:80", "10.97.2.5:80"}},
	} {
		s := service("default", "web", "10.96.0.20", nil, "10.97.1.5:80", "10.97.2.5:80")
		s.nodeOf = nodeOf
		for i := range s.Endpoints {
			s.Endpoints[i].Node = nodeOf(s.Endpoints[i].Address.Addr())
		}
		test.change(&s.Object.Spec)
		var got []string
		for _, e := range s.Candidates(&s.Object.Spec.Ports[0], netip.MustParseAddr(test.from)) {
			got = append(got, e.Address.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: a client at %s may go to %v, want %v", test.name, test.from, got, test.want)
		}
	}
}

func TestTheProxyLeadsToIngressHostsOnly(t *testing.T) {
	server := newTestIngress(t, tableOf(service("default", "web", "10.96.0.20", nil, "10.97.1.5:8000")),
		map[string]http.Handler{"10.97.1.5:8000": echo("pod")}, ingress("web", "web.example.org", "/", "web"), ingress("any", "*.wild.org", "/", "web"))
	proxy := &ForwardProxy{Ingress: server.Config.Handler.(*Ingress), HTTP: server.Listener.Addr().String(), HTTPS: server.Listener.Addr().String()}
	server.Config.Handler = proxy
	for _, test := range []struct {
		say    string // the request as a browser sends it to a proxy
		status int
	}{
		{"GET http://web.example.org/ HTTP/1.1\r\nHost: web.example.org\r\n\r\n", 200},
		{"GET http://web.example.org:80/ HTTP/1.1\r\nHost: web.example.org\r\n\r\n", 200},
		{"GET http://a.wild.org/ HTTP/1.1\r\nHost: a.wild.org\r\n\r\n", 200},
		{"GET http://a.b.wild.org/ HTTP/1.1\r\nHost: a.b.wild.org\r\n\r\n", 403},
		{"GET http://elsewhere.org/ HTTP/1.1\r\nHost: web.example.org\r\n\r\n", 403},
		{"GET http://web.example.org:22/ HTTP/1.1\r\nHost: web.example.org\r\n\r\n", 403},
		{"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403},
		{"CONNECT web.example.org:443 HTTP/1.1\r\nHost: web.example.org:443\r\n\r\n", 200},
		{"CONNECT web.example.org:22 HTTP/1.1\r\nHost: web.example.org:22\r\n\r\n", 403},
		{"CONNECT elsewhere.org:443 HTTP/1.1\r\nHost: elsewhere.org:443\r\n\r\n", 403},
		{"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200},
		{"GET /proxy.pac HTTP/1.1\r\nHost: nowhere.org\r\n\r\n", 404},
	} {
		conn, err := net.Dial("tcp", proxy.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, test.say)
		var status int
		if _, err := fmt.Fscanf(conn, "HTTP/1.1 %d", &status); err != nil || status != test.status {
			t.Errorf("%q: %d %v, want %d", test.say, status, err, test.status)
		}
		_ = conn.Close()
	}
}

func TestAnnotationsWithoutEffectAreNamed(t *testing.T) {
	object := ingress("web", "web.example.org", "/", "web")
	object.Annotations = map[string]string{nginxPrefix + "proxy-body-size": "8 MB", nginxPrefix + "enable-cors": "true",
		nginxPrefix + "ssl-redirect": "false", nginxPrefix + "proxy-read-timeout": "3600", "other.io/x": "y"}
	object.Spec.DefaultBackend = &networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "files"}}
	want := []string{
		"annotation " + nginxPrefix + "enable-cors has no effect in kubette's ingress",
		"annotation " + nginxPrefix + `proxy-body-size: kubette's ingress cannot use the value "8 MB"`,
		"kubette's ingress does not serve the backend Bucket files: only services",
	}
	if got := Unserved(object); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("named are\n%v, want\n%v", got, want)
	}
}

func TestPortsOfANetworkPolicy(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
		{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}}}
	block := &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}
	if !portAllowed(nil, pod, 1, corev1.ProtocolTCP) {
		t.Error("no ports allow all")
	}
	for address, want := range map[string]bool{"10.2.0.1": true, "10.1.0.1": false, "11.0.0.1": false} {
		if got := blockHolds(block, netip.MustParseAddr(address)); got != want {
			t.Errorf("the block holds %s: %v", address, got)
		}
	}
	if !selects(&metav1.LabelSelector{}, nil) {
		t.Error("an empty selector selects all")
	}
}
