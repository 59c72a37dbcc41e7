package endpointslice_test

import (
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
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/endpoints"
	"kubette/controllers/endpointslice"
	"kubette/controllers/endpointslicemirroring"
)

func start(t *testing.T) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{endpointslice.New(base), endpoints.New(base), endpointslicemirroring.New(base)}
	})
	controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}})
	return c
}

func service(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"team": "a"}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")}}},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func pod(c *controllertest.Cluster, name string) *corev1.Pod {
	template := controllertest.Template("web", "nginx")
	p := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: template.Labels}, Spec: template.Spec})
	c.Bind(p, "worker-1")
	return p
}

// states are the endpoints' conditions by pod: r(eady), s(erving), t(erminating).
func states(c *controllertest.Cluster) map[string]string {
	found := map[string]string{}
	for _, slice := range controllertest.List[*discoveryv1.EndpointSlice](c, "default") {
		for _, e := range slice.Endpoints {
			state := ""
			for letter, on := range map[string]*bool{"r": e.Conditions.Ready, "s": e.Conditions.Serving, "t": e.Conditions.Terminating} {
				if on != nil && *on {
					state += letter
				}
			}
			found[e.TargetRef.Name] = strings.Join(strings.Split(state, ""), "")
			if len(state) > 1 && state != "rs" && state != "st" {
				found[e.TargetRef.Name] = map[string]string{"sr": "rs", "ts": "st"}[state]
			}
		}
	}
	return found
}

func TestConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, service())
		c.Settle()
		slices := controllertest.List[*discoveryv1.EndpointSlice](c, "default")
		if len(slices) != 1 || len(slices[0].Endpoints) != 0 || !strings.HasPrefix(slices[0].Name, "web-") || len(slices[0].Name) != len("web-xxxxx") {
			t.Fatalf("a service without pods has %v", slices)
		}
		first := slices[0].Name
		for i, name := range []string{"one", "two", "three"} {
			c.Ready(pod(c, name), i)
		}
		c.Unready(controllertest.Get[*corev1.Pod](c, "default", "two"))
		controllertest.Delete[*corev1.Pod](c, "default", "three")
		c.Pass(time.Second) // a write that meets a newer version comes back after some milliseconds
		if diff := cmp.Diff(map[string]string{"one": "rs", "two": "", "three": "st"}, states(c)); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
		slice := controllertest.List[*discoveryv1.EndpointSlice](c, "default")[0]
		if slice.Name != first {
			t.Errorf("the empty slice was not reused: %s, then %s", first, slice.Name)
		}
		wanted := map[string]string{"team": "a", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
		if diff := cmp.Diff(wanted, slice.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		if len(slice.Ports) != 1 || *slice.Ports[0].Port != 8080 || *slice.Ports[0].Name != "http" {
			t.Errorf("ports are %v", slice.Ports)
		}
		old := controllertest.Get[*corev1.Endpoints](c, "default", "web")
		if len(old.Subsets) != 1 || len(old.Subsets[0].Addresses) != 1 || len(old.Subsets[0].NotReadyAddresses) != 1 {
			t.Errorf("endpoints are %+v", old.Subsets)
		}
		if old.Labels["endpoints.kubernetes.io/managed-by"] != "endpoint-controller" {
			t.Errorf("endpoints have labels %v", old.Labels)
		}
		c.Pass(time.Minute)
		since := time.Now().UTC().Format(time.RFC3339)
		c.Ready(pod(c, "four"), 4)
		c.Pass(time.Second)
		if got := controllertest.Get[*corev1.Endpoints](c, "default", "web").Annotations[corev1.EndpointsLastChangeTriggerTime]; got != since {
			t.Errorf("the trigger time of endpoints is %q, wanted %s", got, since)
		}
	})
}

func TestPublishNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, service(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true; s.Spec.ClusterIP = "None" }))
		c.Ready(pod(c, "one"), 1)
		c.Unready(controllertest.Get[*corev1.Pod](c, "default", "one"))
		c.Pass(time.Second)
		if diff := cmp.Diff(map[string]string{"one": "r"}, states(c)); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
		slice := controllertest.List[*discoveryv1.EndpointSlice](c, "default")[0]
		if _, headless := slice.Labels["service.kubernetes.io/headless"]; !headless {
			t.Errorf("labels are %v of a service with the address %q", slice.Labels, controllertest.Get[*corev1.Service](c, "default", "web").Spec.ClusterIP)
		}
	})
}

// A pod whose node is gone is not served any more, until the node is back.
func TestAPodWithoutItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, service())
		c.Ready(pod(c, "one"), 1)
		c.Pass(time.Second)
		controllertest.Delete[*corev1.Node](c, "", "worker-1")
		c.Settle()
		c.Ready(controllertest.Get[*corev1.Pod](c, "default", "one"), 2) // a Service is not asked about for a node
		c.Pass(time.Second)
		if diff := cmp.Diff(map[string]string{}, states(c)); diff != "" {
			t.Errorf("endpoints without the node (-want +got):\n%s", diff)
		}
		wanted := "FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Service default/web: skipping Pod one for Service default/web: Node worker-1 Not Found"
		if got := c.Events("Service", "web"); !slices.Contains(got, wanted) {
			t.Errorf("events are %v", got)
		}
		controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}})
		c.Pass(10 * time.Second)
		if diff := cmp.Diff(map[string]string{"one": "rs"}, states(c)); diff != "" {
			t.Errorf("endpoints with the node again (-want +got):\n%s", diff)
		}
	})
}

func TestManyPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, service())
		for i := range 250 {
			c.Ready(pod(c, fmt.Sprintf("web-%d", i)), i)
		}
		c.Pass(time.Second)
		total := 0
		slices := controllertest.List[*discoveryv1.EndpointSlice](c, "default")
		for _, slice := range slices {
			total += len(slice.Endpoints)
			if len(slice.Endpoints) > 100 {
				t.Errorf("%s has %d endpoints", slice.Name, len(slice.Endpoints))
			}
		}
		if total != 250 || len(slices) > 4 {
			t.Errorf("%d endpoints in %d slices", total, len(slices))
		}
	})
}

func TestSlicesAreRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, service())
		c.Ready(pod(c, "one"), 1)
		c.Settle()
		slice := controllertest.List[*discoveryv1.EndpointSlice](c, "default")[0]
		controllertest.Change(c, "default", slice.Name, func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil })
		c.Pass(time.Second)
		if diff := cmp.Diff(map[string]string{"one": "rs"}, states(c)); diff != "" {
			t.Errorf("after a slice was emptied (-want +got):\n%s", diff)
		}
		controllertest.Delete[*discoveryv1.EndpointSlice](c, "default", slice.Name)
		controllertest.Delete[*corev1.Endpoints](c, "default", "web")
		c.Pass(time.Second)
		if diff := cmp.Diff(map[string]string{"one": "rs"}, states(c)); diff != "" {
			t.Errorf("after a slice was deleted (-want +got):\n%s", diff)
		}
		controllertest.Get[*corev1.Endpoints](c, "default", "web")
		controllertest.Delete[*corev1.Service](c, "default", "web")
		c.Pass(time.Second)
		if left := controllertest.List[*corev1.Endpoints](c, "default"); len(left) != 0 {
			t.Errorf("%d endpoints outlive the service", len(left))
		}
	})
}

func TestMirroring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, service(func(s *corev1.Service) { s.Spec.Selector = nil }))
		controllertest.Create(c, &corev1.Endpoints{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
			Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "192.0.2.1"}, {IP: "192.0.2.2"}},
				Ports: []corev1.EndpointPort{{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}}}},
		})
		c.Pass(time.Second)
		slices := controllertest.List[*discoveryv1.EndpointSlice](c, "default")
		if len(slices) != 1 || len(slices[0].Endpoints) != 2 || slices[0].Labels[discoveryv1.LabelManagedBy] != "endpointslicemirroring-controller.k8s.io" {
			t.Fatalf("slices are %v", slices)
		}
		controllertest.Change(c, "default", "web", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "web"} })
		c.Pass(time.Second)
		slices = controllertest.List[*discoveryv1.EndpointSlice](c, "default")
		if len(slices) != 1 || slices[0].Labels[discoveryv1.LabelManagedBy] != "endpointslice-controller.k8s.io" {
			t.Errorf("with a selector the slices are %v", slices)
		}
	})
}
