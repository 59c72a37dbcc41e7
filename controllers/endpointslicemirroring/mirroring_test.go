package endpointslicemirroring_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/endpointslicemirroring"
)

func start(t *testing.T) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{endpointslicemirroring.New(base)}
	})
	controllertest.Create(c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 5432}}}})
	return c
}

func subset(port int32, ips ...string) corev1.EndpointSubset {
	s := corev1.EndpointSubset{Ports: []corev1.EndpointPort{{Port: port}}}
	for _, ip := range ips {
		if rest, ok := strings.CutPrefix(ip, "!"); ok { // not ready
			s.NotReadyAddresses = append(s.NotReadyAddresses, corev1.EndpointAddress{IP: rest})
		} else {
			s.Addresses = append(s.Addresses, corev1.EndpointAddress{IP: ip})
		}
	}
	return s
}

func write(c *controllertest.Cluster, change func(*corev1.Endpoints), subsets ...corev1.EndpointSubset) {
	c.T.Helper()
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"}, Subsets: subsets}
	if change != nil {
		change(e)
	}
	controllertest.Create(c, e)
	c.Settle()
}

// want compares the slices: family, ports, and addresses with a ! for those that are not ready.
func want(c *controllertest.Cluster, lines ...string) {
	c.T.Helper()
	c.Settle()
	var got []string
	for _, slice := range controllertest.List[*discoveryv1.EndpointSlice](c, "default") {
		var addresses []string
		for _, e := range slice.Endpoints {
			mark := ""
			if !ptr.Deref(e.Conditions.Ready, true) {
				mark = "!"
			}
			addresses = append(addresses, mark+e.Addresses[0])
		}
		slices.Sort(addresses)
		if slice.Labels[discoveryv1.LabelServiceName] != "db" || slice.Labels[discoveryv1.LabelManagedBy] != endpointslicemirroring.ManagedBy {
			c.T.Errorf("labels %v", slice.Labels)
		}
		got = append(got, fmt.Sprintf("%s %d %s", slice.AddressType, *slice.Ports[0].Port, strings.Join(addresses, ",")))
	}
	slices.Sort(got)
	if diff := cmp.Diff(lines, got); diff != "" {
		c.T.Fatalf("slices (-want +got):\n%s", diff)
	}
}

func TestEndpointsAreMirrored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		write(c, nil, subset(5432, "192.0.2.1", "!192.0.2.2"), subset(5433, "192.0.2.3", "2001:db8::1"))
		want(c, "IPv4 5432 !192.0.2.2,192.0.2.1", "IPv4 5433 192.0.2.3", "IPv6 5433 2001:db8::1")
		controllertest.Change(c, "default", "db", func(e *corev1.Endpoints) { e.Subsets = []corev1.EndpointSubset{subset(5432, "192.0.2.9")} })
		want(c, "IPv4 5432 192.0.2.9")

		slice := controllertest.List[*discoveryv1.EndpointSlice](c, "default")[0]
		controllertest.Delete[*discoveryv1.EndpointSlice](c, "default", slice.Name)
		c.Pass(10 * time.Second)
		want(c, "IPv4 5432 192.0.2.9")

		controllertest.Delete[*corev1.Endpoints](c, "default", "db")
		want(c)
	})
}

func TestEndpointsThatAreNotMirrored(t *testing.T) {
	for name, change := range map[string]func(*corev1.Endpoints){
		"skipped by label": func(e *corev1.Endpoints) { e.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"} },
		"a lock": func(e *corev1.Endpoints) {
			e.Annotations = map[string]string{"control-plane.alpha.kubernetes.io/leader": "{}"}
		},
		"no service": func(e *corev1.Endpoints) { e.Name = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				write(c, change, subset(5432, "192.0.2.1"))
				want(c)
			})
		})
	}
}

// A service that gets a selector has its slices from another controller; without it, the copy comes back.
func TestAServiceGetsASelector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		write(c, nil, subset(5432, "192.0.2.1"))
		want(c, "IPv4 5432 192.0.2.1")
		choose := func(selector map[string]string) {
			controllertest.Change(c, "default", "db", func(s *corev1.Service) { s.Spec.Selector = selector })
		}
		choose(map[string]string{"app": "db"})
		want(c)
		choose(nil)
		want(c, "IPv4 5432 192.0.2.1")
		controllertest.Delete[*corev1.Service](c, "default", "db")
		want(c)
	})
}

func TestFailingWritesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		failures := 0
		c.Faults.Set(func(_, resource, _ string) error {
			if failures++; resource == "endpointslices" && failures < 4 {
				return errors.New("lost")
			}
			return nil
		})
		write(c, nil, subset(5432, "192.0.2.1"), subset(5433, "192.0.2.2"))
		c.Pass(time.Minute)
		want(c, "IPv4 5432 192.0.2.1", "IPv4 5433 192.0.2.2")
		if events := c.Events("Endpoints", "db"); len(events) == 0 || !strings.HasPrefix(events[0], "FailedToUpdateEndpointSlices: Error updating EndpointSlices for default/db Endpoints") {
			t.Errorf("events %q", events)
		}
	})
}

// Of a subset 1,000 addresses are copied, and what is left out is said.
func TestTooManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		var ips []string
		for i := range 1003 {
			ips = append(ips, fmt.Sprintf("192.0.%d.%d", 2+i/250, i%250+1))
		}
		write(c, nil, subset(5432, ips...))
		copied := 0
		for _, slice := range controllertest.List[*discoveryv1.EndpointSlice](c, "default") {
			copied += len(slice.Endpoints)
		}
		if copied != 1000 {
			t.Errorf("%d addresses are copied", copied)
		}
		const why = "TooManyAddressesToMirror: A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"
		if events := c.Events("Endpoints", "db"); !slices.Contains(events, why) {
			t.Errorf("events %q", events)
		}
	})
}
