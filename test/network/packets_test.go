package network_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/cluster"
)

const echoes = `
apiVersion: v1
kind: Pod
metadata: {name: echo, labels: {app: echo}}
spec:
  hostname: first
  subdomain: peers
  terminationGracePeriodSeconds: 1
  containers:
  - name: echo
    image: busybox
    command: [nc, -ul, -p, "5000", -e, cat]
    ports: [{name: talk, containerPort: 5000, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: NodePort
  selector: {app: echo}
  ports: [{name: talk, port: 53, targetPort: talk, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec:
  clusterIP: None
  selector: {app: echo}
  ports: [{name: talk, port: 5000, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: echo.default.svc.cluster.local}
---
apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: asker
    image: busybox
    command: [sh, -c]
    args:
    - while true; do echo hello | nc -u -w 1 echo 53; sleep 1; done
`

func TestPacketsReachServices(t *testing.T) {
	onEveryRuntime(t, func(t *testing.T, c *running) {
		c.apply(echoes)
		c.says("asker", "hello")

		port := get[*corev1.Service](c, "echo").Spec.Ports[0].NodePort
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c.eventually(func() error {
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if _, err := conn.Write([]byte("from this machine")); err != nil {
				return err
			}
			b := make([]byte, 100)
			n, err := conn.Read(b)
			if err != nil || string(b[:n]) != "from this machine" {
				return fmt.Errorf("the node port answers %q, %v", b[:n], err)
			}
			return nil
		})
	})
}

// questions is a pod that asks the cluster's DNS server as any program in it would, over UDP.
const questions = `
apiVersion: v1
kind: Pod
metadata: {name: questions}
spec:
  restartPolicy: Never
  containers:
  - name: questions
    image: busybox
    command: [sh, -c]
    args:
    - |
      cat /etc/resolv.conf
      nslookup kubernetes
      nslookup -type=srv _talk._udp.peers
      nslookup -type=a first.peers.default.svc.cluster.local
      nslookup -type=cname elsewhere
      nslookup $(hostname -i)
      nslookup missing.default.svc.cluster.local
      echo the end
`

func TestNamesAreAnsweredInsidePods(t *testing.T) {
	onEveryRuntime(t, func(t *testing.T, c *running) {
		c.apply(echoes)
		c.says("asker", "hello")
		address := get[*corev1.Pod](c, "echo").Status.PodIP
		c.apply(strings.ReplaceAll(questions, "$(hostname -i)", address))
		var said string
		c.eventually(func() (err error) {
			if said, err = c.log("questions", ""); err == nil && !strings.HasSuffix(said, "the end") {
				err = fmt.Errorf("the pod has not said all yet: %q", said)
			}
			return err
		})
		// Another cluster's network may be where this one's usually is.
		api, server := get[*corev1.Service](c, "kubernetes").Spec.ClusterIP, service(c, "kube-system", "kube-dns").Spec.ClusterIP
		for _, want := range []string{
			"search default.svc.cluster.local svc.cluster.local cluster.local", "nameserver " + server, "ndots:5",
			"Name:\tkubernetes.default.svc.cluster.local\nAddress: " + api + "\n",
			"_talk._udp.peers.default.svc.cluster.local\tservice = 0 100 5000 first.peers.default.svc.cluster.local\n",
			"Name:\tfirst.peers.default.svc.cluster.local\nAddress: " + address + "\n",
			"elsewhere.default.svc.cluster.local\tcanonical name = echo.default.svc.cluster.local\n",
			"in-addr.arpa\tname = first.peers.default.svc.cluster.local\n",
			"** server can't find missing.default.svc.cluster.local: NXDOMAIN\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in:\n%s", want, said)
			}
		}
	})
}

func service(c *running, namespace, name string) *corev1.Service {
	c.t.Helper()
	found, err := client.Of[*corev1.Service](c.api).Get(c.t.Context(), namespace, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}

// ownAddress is an address of this machine that a service may claim.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, each := range addresses {
		if own, ok := each.(*net.IPNet); ok && own.IP.To4() != nil && own.IP.IsGlobalUnicast() {
			return own.IP.String()
		}
	}
	t.Skip("this machine has only its loopback")
	return ""
}

func TestExternalAddressesAreOpenedOrRefusedAsChosen(t *testing.T) {
	address := ownAddress(t)
	claim := fmt.Sprintf(`{"spec":{"type":"ClusterIP","externalIPs":[%q]}}`, address)
	at := net.JoinHostPort(address, "8099")

	open := start(t, cluster.Config{Runtime: cluster.RuntimeSim, ExternalIPs: cluster.ExternalIPsOpen})
	open.apply(whoami)
	rolledOut(open, "web")
	patch[*corev1.Service](open, "web", claim)
	open.answers(at, "anything", "Hostname: web-")
	patch[*corev1.Service](open, "web", `{"spec":{"externalIPs":null}}`)
	open.eventually(func() error {
		if _, _, err := ask(at, "anything", "/"); err == nil {
			return fmt.Errorf("the address still answers")
		}
		return nil
	})
	patch[*corev1.Service](open, "web", `{"spec":{"externalIPs":["203.0.113.7"]}}`)
	open.eventually(func() error {
		for _, event := range list[*corev1.Event](open) {
			if event.Reason == "ExternalIPNotOpened" && strings.Contains(event.Message, "203.0.113.7:8099 is not open on this machine: this machine does not have the address.") {
				return nil
			}
		}
		return fmt.Errorf("no event tells that the machine does not have the address")
	})

	refused := start(t, cluster.Config{Runtime: cluster.RuntimeSim, ExternalIPs: cluster.ExternalIPsRefuse})
	err := create(refused, "apiVersion: v1\nkind: Service\nmetadata: {name: claimed}\nspec: {externalIPs: ["+address+"], ports: [{port: 80}]}", &corev1.Service{})
	if err == nil || !strings.Contains(err.Error(), `services "claimed" is forbidden: Use of external IPs is denied by admission control`) {
		t.Errorf("a service with external addresses: %v", err)
	}

	if _, err := cluster.New(cluster.Config{Runtime: cluster.RuntimeSim, ExternalIPs: "everywhere"}); err == nil || !strings.Contains(err.Error(), "--external-ips") {
		t.Errorf("an unknown choice: %v", err)
	}
}
