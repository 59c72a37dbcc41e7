package network_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

const rollingApp = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: kubette.local/hello
        env: [{name: RELEASE, value: "1"}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - host: web.example.org
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

// load sends requests until it is told to stop, and counts those that failed.
type load struct {
	sent, failed atomic.Int64
	first        atomic.Value // the first failure
	stop         context.CancelFunc
	group        sync.WaitGroup
}

// startLoad lets clients ask one address all the time; each keeps its connection, or makes a new one for each request.
func startLoad(address, host string, clients int, keep bool) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel}
	transport := &http.Transport{DisableKeepAlives: !keep, MaxIdleConnsPerHost: clients,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range clients {
		l.group.Go(func() {
			for ctx.Err() == nil {
				status, err := once(client, host)
				l.sent.Add(1)
				if err != nil || status != http.StatusOK {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, fmt.Sprintf("%d %v", status, err))
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return l
}

func once(client *http.Client, host string) (int, error) {
	answer, err := client.Get("http://" + host + "/")
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

func (l *load) end(t *testing.T, what string) {
	t.Helper()
	l.stop()
	l.group.Wait()
	t.Logf("%s: %d requests, %d failed", what, l.sent.Load(), l.failed.Load())
	if l.failed.Load() > 0 {
		t.Errorf("%s: %d of %d requests failed, the first: %v", what, l.failed.Load(), l.sent.Load(), l.first.Load())
	}
}

func TestARollingUpdateUnderLoadLosesNoRequest(t *testing.T) {
	onEveryRuntime(t, func(t *testing.T, c *running) {
		c.apply(rollingApp)
		c.answers(c.ingress(), "web.example.org", "")
		port := get[*corev1.Service](c, "web").Spec.Ports[0].NodePort
		nodePort := fmt.Sprintf("127.0.0.1:%d", port)
		c.answers(nodePort, "web.example.org", "")
		rolledOut(c, "web")
		loads := map[string]*load{
			"ingress, kept connections":     startLoad(c.ingress(), "web.example.org", 4, true),
			"ingress, new connections":      startLoad(c.ingress(), "web.example.org", 4, false),
			"service port, new connections": startLoad(nodePort, "web", 4, false),
		}
		for release := 2; release <= 3; release++ {
			patch[*appsv1.Deployment](c, "web", fmt.Sprintf(
				`{"spec":{"template":{"metadata":{"annotations":{"release":"%d"}}}}}`, release))
			rolledOut(c, "web")
		}
		for what, l := range loads {
			l.end(t, what)
		}
	})
}

// rolledOut waits until a deployment has only new and ready pods.
func rolledOut(c *running, name string) {
	c.t.Helper()
	c.eventually(func() error {
		d := get[*appsv1.Deployment](c, name)
		if s := d.Status; s.ObservedGeneration != d.Generation || s.UpdatedReplicas != *d.Spec.Replicas || s.Replicas != s.UpdatedReplicas ||
			s.AvailableReplicas != s.Replicas || s.TerminatingReplicas != nil && *s.TerminatingReplicas > 0 {
			return fmt.Errorf("deployment %s: %+v", name, s)
		}
		return nil
	})
}
