// Package network_test drives whole clusters through their network: services, names and ingress, on simulated containers
// and, where a Docker engine answers, on real ones.
package network_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"kubette/client"
	"kubette/cluster"
	"kubette/cluster/clustertest"
)

// onEveryRuntime runs a test on a cluster of each runtime that this machine has.
func onEveryRuntime(t *testing.T, test func(t *testing.T, c *running)) {
	for _, runtime := range []string{cluster.RuntimeSim, cluster.RuntimeDocker} {
		t.Run(runtime, func(t *testing.T) {
			if runtime == cluster.RuntimeDocker && testing.Short() {
				t.Skip("real containers take long")
			}
			test(t, start(t, cluster.Config{Runtime: runtime}))
		})
	}
}

// running is a cluster of this test.
type running struct {
	*cluster.Cluster
	t   *testing.T
	api client.Interface
}

// start runs a cluster until the test is over; it skips the test where there is no engine for it.
func start(t *testing.T, config cluster.Config) *running {
	t.Helper()
	c := clustertest.Start(t, config)
	return &running{Cluster: c, t: t, api: c.AdminClient()}
}

// apply makes the objects of a manifest.
func (c *running) apply(manifest string) {
	c.t.Helper()
	for _, document := range strings.Split(manifest, "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			c.t.Fatal(err)
		}
		var err error
		switch kind.Kind {
		case "Deployment":
			err = create[*appsv1.Deployment](c, document, &appsv1.Deployment{})
		case "Service":
			err = create[*corev1.Service](c, document, &corev1.Service{})
		case "Pod":
			err = create[*corev1.Pod](c, document, &corev1.Pod{})
		case "Secret":
			err = create[*corev1.Secret](c, document, &corev1.Secret{})
		case "Ingress":
			err = create[*networkingv1.Ingress](c, document, &networkingv1.Ingress{})
		case "NetworkPolicy":
			err = create[*networkingv1.NetworkPolicy](c, document, &networkingv1.NetworkPolicy{})
		default:
			err = fmt.Errorf("the test knows no kind %q", kind.Kind)
		}
		if err != nil {
			c.t.Fatalf("%v\n%s", err, document)
		}
	}
}

func create[T client.Object](c *running, document string, object T) error {
	if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
		return err
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
	_, err := client.Of[T](c.api).Create(c.t.Context(), object)
	return err
}

// patch changes an object by a merge patch.
func patch[T client.Object](c *running, name, text string) {
	c.t.Helper()
	if _, err := client.Of[T](c.api).Patch(c.t.Context(), metav1.NamespaceDefault, name, types.MergePatchType, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// get reads an object.
func get[T client.Object](c *running, name string) T {
	c.t.Helper()
	object, err := client.Of[T](c.api).Get(c.t.Context(), metav1.NamespaceDefault, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return object
}

// eventually tries until something succeeds.
func (c *running) eventually(try func() error) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ask sends a request to an address under a host's name.
func ask(address, host, path string) (int, string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	}}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://" + host + path)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(bytes.TrimSpace(body)), err
}

// answers waits until an address answers with a text in it.
func (c *running) answers(address, host, want string) {
	c.t.Helper()
	c.eventually(func() error {
		status, body, err := ask(address, host, "/")
		if err == nil && (status != http.StatusOK || !strings.Contains(body, want)) {
			err = fmt.Errorf("%s (%s) answered %d %q, want %q", address, host, status, body, want)
		}
		return err
	})
}

// ingress is the address of the ingress for http.
func (c *running) ingress() string {
	return strings.TrimPrefix(c.State().Running.HTTPURL, "http://")
}

// log is what a pod has written, all or with options only a part.
func (c *running) log(pod, options string) (string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.State().Kubeconfig())
	if err != nil {
		return "", err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", err
	}
	defer client.CloseIdleConnections()
	answer, err := client.Get(config.Host + "/api/v1/namespaces/default/pods/" + pod + "/log?" + options)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(bytes.TrimSpace(body)), err
}

// list lists the objects of the default namespace.
func list[T client.Object](c *running) []T {
	c.t.Helper()
	objects, err := client.Of[T](c.api).List(c.t.Context(), metav1.NamespaceDefault, metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return objects
}

func deleteObject[T client.Object](c *running, name string) error {
	return client.Of[T](c.api).Delete(c.t.Context(), metav1.NamespaceDefault, name, metav1.DeleteOptions{})
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// runtimeSim is a cluster of simulated containers.
var runtimeSim = cluster.Config{Runtime: cluster.RuntimeSim}
