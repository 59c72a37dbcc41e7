package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/cluster"
)

const routes = 1000

// measureRoutes makes 1,000 ingresses and services in a simulated cluster, then changes the host of one of them again and
// again, and measures from the API's answer until the ingress knows the new one.
func measureRoutes(ctx context.Context, table *tabwriter.Writer) error {
	home, err := os.MkdirTemp("", "kubette-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := os.Setenv("KUBETTE_HOME", home); err != nil {
		return err
	}
	c, err := cluster.New(cluster.Config{Name: "bench", Runtime: cluster.RuntimeSim, Ephemeral: true,
		APIPort: cluster.AnyPort, HTTPPort: cluster.AnyPort, HTTPSPort: cluster.AnyPort, ConsolePort: cluster.AnyPort})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-c.Ready():
	}
	times, err := changeRoutes(ctx, c)
	c.Stop()
	if err := errors.Join(err, <-ended); err != nil {
		return err
	}
	slices.Sort(times)
	fmt.Fprintf(table, "a changed route among %d is live after\tp50 %s, slowest of %d %s\tunder 50ms\n", routes,
		times[len(times)/2].Round(10*time.Microsecond), len(times), times[len(times)-1].Round(10*time.Microsecond))
	return nil
}

func changeRoutes(ctx context.Context, c *cluster.Cluster) ([]time.Duration, error) {
	api := c.AdminClient()
	for n := range routes {
		name := fmt.Sprintf("app-%d", n)
		_, err := client.Of[*corev1.Service](api).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}}})
		if err != nil {
			return nil, err
		}
		kind := networkingv1.PathTypePrefix
		_, err = client.Of[*networkingv1.Ingress](api).Create(ctx, &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: name + ".example.org", IngressRuleValue: networkingv1.IngressRuleValue{
				HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &kind,
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}}}})
		if err != nil {
			return nil, err
		}
	}
	if err := untilRouted(ctx, c, fmt.Sprintf("app-%d.example.org", routes-1)); err != nil {
		return nil, err
	}
	time.Sleep(3 * time.Second) // the statuses of all are written by then
	var times []time.Duration
	for n := range 50 {
		host := fmt.Sprintf("changed-%d.example.org", n)
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/rules/0/host","value":%q}]`, host)
		if _, err := client.Of[*networkingv1.Ingress](api).Patch(ctx, "default", fmt.Sprintf("app-%d", n), types.JSONPatchType, []byte(patch)); err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := untilRouted(ctx, c, host); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	return times, nil
}

// untilRouted asks the ingress until it has a rule for a host: the service behind it has no pods, which it says with 503.
func untilRouted(ctx context.Context, c *cluster.Cluster, host string) error {
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.State().Running.HTTPURL, nil)
		if err != nil {
			return err
		}
		request.Host = host
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable {
			return nil
		}
		time.Sleep(200 * time.Microsecond)
	}
	return ctx.Err()
}
