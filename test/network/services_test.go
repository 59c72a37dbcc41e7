package network_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kubette/cluster"
)

const whoami = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: kubette.local/whoami
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 8099, targetPort: http}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
spec:
  tls: [{hosts: [secure.example.org]}]
  rules:
  - host: web.example.org
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
  - host: secure.example.org
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
`

func TestServicesAreReachedFromThisMachine(t *testing.T) {
	onEveryRuntime(t, func(t *testing.T, c *running) {
		c.apply(whoami)
		rolledOut(c, "web")
		c.answers(c.ingress(), "web.example.org", "Hostname: web-")
		c.answers(c.ingress(), "web.example.org.localhost", "Host: web.example.org")

		service := get[*corev1.Service](c, "web")
		c.answers(fmt.Sprintf("127.0.0.1:%d", service.Spec.Ports[0].NodePort), "anything", "Hostname: web-")
		c.eventually(func() error {
			if service = get[*corev1.Service](c, "web"); len(service.Status.LoadBalancer.Ingress) == 0 {
				return fmt.Errorf("the load balancer has no address yet")
			}
			return nil
		})
		balancer := net.JoinHostPort(service.Status.LoadBalancer.Ingress[0].IP, "8099")
		c.answers(balancer, "anything", "Hostname: web-")

		patch[*corev1.Service](c, "web", `{"spec":{"type":"ClusterIP","externalTrafficPolicy":null}}`)
		c.eventually(func() error {
			if s := get[*corev1.Service](c, "web"); len(s.Status.LoadBalancer.Ingress) > 0 {
				return fmt.Errorf("the address of the load balancer is still there")
			}
			if _, _, err := ask(balancer, "anything", "/"); err == nil {
				return fmt.Errorf("the load balancer still answers")
			}
			return nil
		})
	})
}

func TestATakenNodePortIsToldAndTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	number := 30000 + taken.Addr().(*net.TCPAddr).Port%2000
	holder, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", number))
	if err != nil {
		t.Skip(err)
	}
	c := start(t, runtimeSim)
	c.apply(whoami)
	rolledOut(c, "web")
	patch[*corev1.Service](c, "web", fmt.Sprintf(`{"spec":{"ports":[{"name":"http","port":8099,"targetPort":"http","nodePort":%d}]}}`, number))
	c.eventually(func() error {
		for _, event := range list[*corev1.Event](c) {
			if event.Reason == "NodePortNotOpened" && strings.Contains(event.Message, fmt.Sprint(number)) {
				return nil
			}
		}
		return fmt.Errorf("no event tells that port %d is taken", number)
	})
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	c.answers(fmt.Sprintf("127.0.0.1:%d", number), "anything", "Hostname: web-")
}

func TestABrowserOpensHostsUnderTheirRealNames(t *testing.T) {
	c := start(t, runtimeSim)
	c.apply(whoami)
	c.answers(c.ingress(), "web.example.org", "Hostname: web-")
	proxied := &http.Transport{Proxy: http.ProxyURL(mustURL(t, c.State().Running.HTTPURL)), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer proxied.CloseIdleConnections()
	client := &http.Client{Transport: proxied, Timeout: 10 * time.Second}
	for address, want := range map[string]string{
		"http://web.example.org/":     "Host: web.example.org",
		"https://web.example.org/":    "X-Forwarded-Proto: https",
		"http://secure.example.org/":  "X-Forwarded-Proto: https", // sent on to https, on the usual port
		"https://secure.example.org/": "X-Forwarded-Port: 443",
	} {
		answer, err := client.Get(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s answered %s without %q: %v\n%s", address, answer.Status, want, err, body)
		}
	}
	if _, err := client.Get("https://elsewhere.org/"); err == nil {
		t.Error("the proxy leads to hosts that no ingress names")
	}
	status, body, err := ask(c.ingress(), "127.0.0.1", "/proxy.pac")
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"secure.example.org","web.example.org"`) {
		t.Errorf("the rules for browsers: %d %v\n%s", status, err, body)
	}
}

func TestAnUploadOfManyMegabytesPassesWhereTheIngressAllowsIt(t *testing.T) {
	c := start(t, runtimeSim)
	c.apply(whoami)
	c.answers(c.ingress(), "web.example.org", "Hostname: web-")
	post := func(size int) int {
		request, err := http.NewRequest(http.MethodPost, c.State().Running.HTTPURL, io.LimitReader(zeros{}, int64(size)))
		if err != nil {
			t.Fatal(err)
		}
		request.Host, request.ContentLength = "web.example.org", int64(size)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if status := post(2 << 20); status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MB without an annotation: %d, nginx refuses more than 1 MB", status)
	}
	patch[*networkingv1.Ingress](c, "web", `{"metadata":{"annotations":{"nginx.ingress.kubernetes.io/proxy-body-size":"64m"}}}`)
	c.eventually(func() error {
		if status := post(48 << 20); status != http.StatusOK {
			return fmt.Errorf("48 MB: %d", status)
		}
		return nil
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestTheGatewayIsKilledAndComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("real containers take long")
	}
	c := start(t, cluster.Config{Runtime: cluster.RuntimeDocker})
	c.apply(whoami)
	rolledOut(c, "web")
	c.apply(askers)
	c.says("stranger", "reached")
	if out, err := exec.Command("docker", "kill", "kubette_"+c.State().Name+"_gateway").CombinedOutput(); err != nil {
		t.Skipf("no docker command to kill the gateway with: %v %s", err, out)
	}
	c.says("stranger", "failed")
	c.says("stranger", "reached")
}
