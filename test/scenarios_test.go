package test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/cluster"
	"kubette/examples"
)

func TestTheCoursesApplicationAnswersThroughTheIngress(t *testing.T) {
	inBubble(t, 2, func(c *bubble) {
		files, err := fs.Glob(examples.Course, "course/*.yaml")
		if err != nil {
			c.t.Fatal(err)
		}
		for _, file := range files {
			manifest, err := examples.Course.ReadFile(file)
			if err != nil {
				c.t.Fatal(err)
			}
			c.Apply(string(manifest))
		}
		c.Pass(2 * time.Second)
		c.Want("deployments", each(c, available), "backend 1/1", "frontend 1/1")
		c.Want("the back end", []string{c.Visit("api-users-ensai.kub.sspcloud.fr", "/health")}, `200 {"status":"healthy"}`)
		if page := c.Visit("users-ensai.kub.sspcloud.fr", "/"); !strings.HasPrefix(page, "200 ") {
			c.t.Errorf("the front end answers %s", page)
		}
		err = client.Of[*appsv1.Deployment](c.AdminClient()).Delete(c.t.Context(), metav1.NamespaceDefault, "backend", metav1.DeleteOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		c.Pass(time.Minute)
		c.Want("deployments", each(c, available), "frontend 1/1")
		if answer := c.Visit("api-users-ensai.kub.sspcloud.fr", "/health"); !strings.HasPrefix(answer, "503 ") {
			c.t.Errorf("without a pod the ingress answers %s", answer)
		}
	})
}

func available(d *appsv1.Deployment) string {
	return fmt.Sprintf("%s %d/%d", d.Name, d.Status.AvailableReplicas, *d.Spec.Replicas)
}

const crashing = `
apiVersion: v1
kind: Pod
metadata: {name: crash}
spec:
  containers:
  - {name: main, image: busybox, command: [sh, -c, exit 3]}`

// A container that ends is started again at once, and then after pauses that double from ten seconds to five minutes.
func TestACrashIsTriedAgainAfterLongerAndLongerPauses(t *testing.T) {
	inBubble(t, 1, func(c *bubble) {
		var starts []time.Duration
		end := follow(c, func(at time.Duration, pods map[string]*corev1.Pod) {
			for _, status := range pods["crash"].Status.ContainerStatuses {
				if int(status.RestartCount) == len(starts) && status.ContainerID != "" {
					starts = append(starts, at)
				}
			}
		})
		c.Apply(crashing)
		c.Pass(20 * time.Minute)
		end()
		var want []time.Duration
		for _, seconds := range []int{0, 0, 10, 30, 70, 150, 310, 610, 910} {
			want = append(want, time.Duration(seconds)*time.Second)
		}
		if difference := cmp.Diff(want, starts); difference != "" {
			c.t.Errorf("starts (-want +got):\n%s", difference)
		}
		c.Want("the pod", each(c, func(p *corev1.Pod) string {
			status := p.Status.ContainerStatuses[0]
			return fmt.Sprint(p.Status.Phase, " ", status.State.Waiting.Reason, " ", status.LastTerminationState.Terminated.ExitCode)
		}), "Running CrashLoopBackOff 3")
	})
}

const twoReplicas = `
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
      - {name: web, image: nginx}`

// A node that loses its power is noticed when its heartbeats have been missing for 50 seconds; its pods are given up 300
// seconds after that, and others take their place. When the power is back, what was given up goes.
func TestPodsOfADeadNodeAreReplacedAfterTheirTolerance(t *testing.T) {
	inBubble(t, 2, func(c *bubble) {
		c.Apply(twoReplicas)
		c.Pass(2 * time.Second)
		c.Want("pods", sorted(each(c, place)), "worker-1 Running", "worker-2 Running")

		dead, err := c.Break(c.t.Context(), cluster.Fault{Kind: cluster.FaultStopNode, Target: "worker-2"})
		if err != nil {
			c.t.Fatal(err)
		}
		c.Pass(30 * time.Second)
		c.Want("the node's condition", nodeConditions(c), "control-plane True", "worker-1 True", "worker-2 True")
		c.Pass(30 * time.Second)
		c.Want("the node's condition", nodeConditions(c), "control-plane True", "worker-1 True", "worker-2 Unknown")
		c.Pass(4 * time.Minute)
		c.Want("deployments", each(c, available), "web 1/2")
		c.Want("pods", sorted(each(c, place)), "worker-1 Running", "worker-2 Running")
		c.Pass(time.Minute + 15*time.Second)
		c.Want("deployments", each(c, available), "web 2/2")
		c.Want("pods, one of them given up", sorted(each(c, place)), "worker-1 Running", "worker-1 Running", "worker-2 Running Terminating")

		if err := c.Mend(c.t.Context(), dead.Name); err != nil {
			c.t.Fatal(err)
		}
		c.Pass(time.Minute)
		c.Want("the node's condition", nodeConditions(c), "control-plane True", "worker-1 True", "worker-2 True")
		c.Want("pods", each(c, place), "worker-1 Running", "worker-1 Running")
	})
}

const rolling = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 8
  minReadySeconds: 5
  strategy: {rollingUpdate: {maxUnavailable: 2, maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {version: "%s"}}
    spec:
      containers:
      - name: web
        image: nginx
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {port: 80}, initialDelaySeconds: 3, periodSeconds: 2}`

// While a deployment replaces its pods, never fewer than replicas - maxUnavailable serve, and never more than replicas +
// maxSurge are there.
func TestARollingUpdateStaysWithinItsBudget(t *testing.T) {
	inBubble(t, 3, func(c *bubble) {
		c.Apply(fmt.Sprintf(rolling, "1"))
		c.Pass(time.Minute)
		c.Want("deployments", each(c, available), "web 8/8")

		fewest, most := 8, 0
		filled := false
		var last time.Duration
		ready, there := 8, 8
		end := follow(c, func(at time.Duration, pods map[string]*corev1.Pod) {
			// Within one moment a ReplicaSet may make its pods before another one removes its own, as in Kubernetes: what
			// counts is how a moment ends.
			if at > last {
				fewest, most = min(fewest, ready), max(most, there)
			}
			last, ready, there = at, 0, 0
			for _, pod := range pods {
				if pod.DeletionTimestamp != nil {
					continue
				}
				there++
				if isReady(pod) {
					ready++
				}
			}
			if filled = filled || there == 8; !filled {
				ready, there = 8, 8 // the watch has not told of all that were there
			}
		})
		defer end()
		c.Settle()
		c.Apply(fmt.Sprintf(rolling, "2"))
		c.Pass(5 * time.Minute)
		c.Want("deployments", each(c, available), "web 8/8")
		c.Want("versions", each(c, func(p *corev1.Pod) string { return p.Annotations["version"] }), "2", "2", "2", "2", "2", "2", "2", "2")
		if fewest != 6 || most != 9 {
			c.t.Errorf("between %d ready pods and %d pods in all, want 6 and 9", fewest, most)
		}
	})
}

func place(p *corev1.Pod) string {
	line := p.Spec.NodeName + " " + string(p.Status.Phase)
	if p.DeletionTimestamp != nil {
		line += " Terminating"
	}
	return line
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

func nodeConditions(c *bubble) []string {
	c.t.Helper()
	nodes, err := client.Of[*corev1.Node](c.AdminClient()).List(c.t.Context(), "", metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var lines []string
	for _, node := range nodes {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				lines = append(lines, node.Name+" "+string(condition.Status))
			}
		}
	}
	return lines
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
