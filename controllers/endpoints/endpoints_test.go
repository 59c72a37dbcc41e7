package endpoints_test

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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/endpoints"
)

func start(t *testing.T, change func(*corev1.ServiceSpec)) *controllertest.Cluster {
	c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{endpoints.New(base)}
	})
	spec := corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}}
	if change != nil {
		change(&spec)
	}
	controllertest.Create(c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{"team": "a"}}, Spec: spec})
	c.Settle()
	return c
}

// pod makes a pod with the address 10.97.0.(number+1), ready or not.
func pod(c *controllertest.Cluster, number int, ready bool) *corev1.Pod {
	defer c.Settle()
	return podSoon(c, number, ready)
}

func podSoon(c *controllertest.Cluster, number int, ready bool) *corev1.Pod {
	template := controllertest.Template("web", "nginx")
	made := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("web-", number), Namespace: "default", Labels: template.Labels}, Spec: template.Spec})
	c.Bind(made, "worker-1")
	c.Ready(made, number)
	if !ready {
		c.Unready(made)
	}
	return made
}

func want(c *controllertest.Cluster, lines ...string) {
	c.T.Helper()
	c.Pass(time.Second) // a write that met a stale copy is repeated after a back-off
	var got []string
	for _, s := range controllertest.Get[*corev1.Endpoints](c, "default", "web").Subsets {
		var all, ports []string
		for _, a := range s.Addresses {
			all = append(all, a.IP)
		}
		for _, a := range s.NotReadyAddresses {
			all = append(all, "!"+a.IP)
		}
		for _, p := range s.Ports {
			ports = append(ports, fmt.Sprint(p.Name, " ", p.Port))
		}
		got = append(got, strings.Join(ports, ",")+" "+strings.Join(all, ","))
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		c.T.Fatalf("subsets (-want +got):\n%s", diff)
	}
}

func TestEndpointsFollowTheirPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		want(c)
		first := pod(c, 0, true)
		pod(c, 1, false)
		want(c, "http 8080 10.97.0.1,!10.97.0.2")
		e := controllertest.Get[*corev1.Endpoints](c, "default", "web")
		if e.Labels["team"] != "a" || e.Labels["endpoints.kubernetes.io/managed-by"] != "endpoint-controller" {
			t.Errorf("labels %v", e.Labels)
		}
		c.Unready(first)
		want(c, "http 8080 !10.97.0.1,!10.97.0.2")
		controllertest.Change(c, "default", "web-1", func(p *corev1.Pod) { p.Labels["app"] = "other" })
		want(c, "http 8080 !10.97.0.1")
		controllertest.Delete[*corev1.Pod](c, "default", "web-0") // it is on its way out
		want(c)
		controllertest.Delete[*corev1.Service](c, "default", "web")
		c.Settle()
		if left := controllertest.List[*corev1.Endpoints](c, "default"); len(left) != 0 {
			t.Errorf("%d Endpoints are left", len(left))
		}
	})
}

func TestWhatAServiceSays(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.ServiceSpec)
		want   []string
	}{
		"a number":          {func(s *corev1.ServiceSpec) { s.Ports[0].TargetPort = intstr.FromInt32(9090) }, []string{"http 9090 10.97.0.1,!10.97.0.2"}},
		"an unknown name":   {func(s *corev1.ServiceSpec) { s.Ports[0].TargetPort = intstr.FromString("https") }, nil},
		"not ready, too":    {func(s *corev1.ServiceSpec) { s.PublishNotReadyAddresses = true }, []string{"http 8080 10.97.0.1,10.97.0.2"}},
		"headless, no port": {func(s *corev1.ServiceSpec) { s.ClusterIP, s.Ports = corev1.ClusterIPNone, nil }, []string{" 10.97.0.1,!10.97.0.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, test.change)
				pod(c, 0, true)
				pod(c, 1, false)
				want(c, test.want...)
				_, headless := controllertest.Get[*corev1.Endpoints](c, "default", "web").Labels[corev1.IsHeadlessService]
				if headless != strings.HasPrefix(name, "headless") {
					t.Errorf("marked as headless: %v", headless)
				}
			})
		})
	}
}

// What a user writes for a service without a selector is left alone.
func TestAServiceWithoutASelector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(s *corev1.ServiceSpec) { s.Selector = nil })
		controllertest.Create(c, &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
			Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "192.0.2.1"}}, Ports: []corev1.EndpointPort{{Name: "db", Port: 5432}}}}})
		pod(c, 0, true)
		want(c, "db 5432 192.0.2.1")
	})
}

func TestMoreThanAThousandAddressesAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		for i := range 1003 {
			podSoon(c, i, i%2 == 0) // 502 are ready
		}
		c.Pass(10 * time.Second)
		e := controllertest.Get[*corev1.Endpoints](c, "default", "web")
		if len(e.Subsets) != 1 || len(e.Subsets[0].Addresses) != 502 || len(e.Subsets[0].NotReadyAddresses) != 498 || e.Annotations[corev1.EndpointsOverCapacity] != "truncated" {
			t.Errorf("%d ready, %d not, annotations %v", len(e.Subsets[0].Addresses), len(e.Subsets[0].NotReadyAddresses), e.Annotations)
		}
	})
}

func TestFailingWritesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		failures := 0
		c.Faults.Set(func(string, string, string) error {
			if failures++; failures < 4 {
				return errors.New("lost")
			}
			return nil
		})
		made := pod(c, 0, true)
		c.Pass(time.Minute)
		want(c, "http 8080 10.97.0.1")
		if failures < 4 {
			t.Errorf("%d writes: the test shows less than it says", failures)
		}
		controllertest.Delete[*corev1.Pod](c, "default", made.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
		want(c)
	})
}

// Ports that the same pods offer are together, in the order of their hashes, as Kubernetes orders them.
func TestHowSubsetsArePacked(t *testing.T) {
	port := func(name string, target intstr.IntOrString, number int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, TargetPort: target, Protocol: corev1.ProtocolTCP}
	}
	for name, test := range map[string]struct {
		ports []corev1.ServicePort
		odd   bool // the second pod serves http at another number
		want  []string
	}{
		"the order of ports": {
			ports: []corev1.ServicePort{port("http", intstr.FromInt32(8080), 80), port("metrics", intstr.FromInt32(9100), 9100), port("https", intstr.FromInt32(8443), 443)},
			want:  []string{"http 8080 10.97.0.1,10.97.0.2", "metrics 9100 10.97.0.1,10.97.0.2", "https 8443 10.97.0.1,10.97.0.2"},
		},
		"a port that differs": {
			ports: []corev1.ServicePort{port("http", intstr.FromString("http"), 80), port("metrics", intstr.FromInt32(9100), 9100)}, odd: true,
			want: []string{"metrics 9100 10.97.0.1,10.97.0.2", "http 8081 10.97.0.2", "http 8080 10.97.0.1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, func(s *corev1.ServiceSpec) { s.Ports = test.ports })
				pod(c, 0, true)
				template := controllertest.Template("web", "nginx")
				if test.odd {
					template.Spec.Containers[0].Ports[0].ContainerPort = 8081
				}
				made := controllertest.Create(c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "odd", Namespace: "default", Labels: template.Labels}, Spec: template.Spec})
				c.Ready(made, 1)
				c.Settle()
				var got []string
				for _, subset := range controllertest.Get[*corev1.Endpoints](c, "default", "web").Subsets {
					for _, port := range subset.Ports {
						var addresses []string
						for _, address := range subset.Addresses {
							addresses = append(addresses, address.IP)
						}
						got = append(got, fmt.Sprintf("%s %d %s", port.Name, port.Port, strings.Join(addresses, ",")))
					}
				}
				if !test.odd { // the order of subsets depends on the pods' UIDs
					if diff := cmp.Diff(test.want, got); diff != "" {
						t.Errorf("ports (-want +got):\n%s", diff)
					}
					return
				}
				slices.Sort(got)
				slices.Sort(test.want)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("ports (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A write that fails is said on the Endpoints, in Kubernetes' words.
func TestWhatAFailingWriteSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil)
		failing := func() {
			failed := false
			c.Faults.Set(func(_, resource, _ string) error {
				if resource == "endpoints" && !failed {
					failed = true
					return errors.New("lost")
				}
				return nil
			})
		}
		controllertest.Delete[*corev1.Endpoints](c, "default", "web")
		c.Settle()
		failing()
		pod(c, 0, true)
		c.Pass(time.Second)
		want := []string{"FailedToUpdateEndpoint: Failed to update endpoint default/web: lost"}
		if diff := cmp.Diff(want, c.Events("Endpoints", "web")); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		failing()
		controllertest.Delete[*corev1.Endpoints](c, "default", "web")
		c.Pass(time.Second)
		want = append(want, "FailedToCreateEndpoint: Failed to create endpoint for service default/web: lost")
		if diff := cmp.Diff(want, c.Events("Endpoints", "web")); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
