package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/cluster"
	"kubette/store"
)

// seedVariable replays one seed, and prints each thing done: KUBETTE_TEST_SEED=17 go test ./test -run Chaos. It may also name
// many: KUBETTE_TEST_SEED=100-400.
const seedVariable = "KUBETTE_TEST_SEED"

func seedsToRun(t *testing.T) []uint64 {
	text := os.Getenv(seedVariable)
	if text == "" {
		return []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	}
	first, last, many := strings.Cut(text, "-")
	if !many {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 64)
	to, err2 := strconv.ParseUint(last, 10, 64)
	if err != nil || err2 != nil || to < from {
		t.Fatalf("%s=%s is no seed, and no range of them", seedVariable, text)
	}
	var seeds []uint64
	for seed := from; seed <= to; seed++ {
		seeds = append(seeds, seed)
	}
	return seeds
}

// TestChaosEndsInWhatIsWanted lets users change their minds and things break, at random, and then lets time pass: whatever
// happened, what is there in the end must be what is wanted.
func TestChaosEndsInWhatIsWanted(t *testing.T) {
	for _, seed := range seedsToRun(t) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var disk *faultyStore
			over := func() store.Store {
				disk = newFaultyStore(rand.New(rand.NewPCG(seed, 1)))
				return disk
			}
			inBubbleOver(t, 3, over, func(c *bubble) {
				m := &monkey{bubble: c, disk: disk, random: rand.New(rand.NewPCG(seed, 0)), stopped: map[string]string{}, paused: map[string]bool{}}
				m.play(60)
				m.mend()
				c.Pass(20 * time.Minute) // back-offs, tolerations and deadlines are over
				m.check()
			})
		})
	}
}

// monkey does what users and bad luck do.
type monkey struct {
	*bubble
	disk    *faultyStore
	random  *rand.Rand
	stopped map[string]string // node → the fault's name
	paused  map[string]bool
	version int
}

var (
	chaosNames   = []string{"one", "two", "three"}
	chaosWorkers = []string{"worker-1", "worker-2", "worker-3"}
	chaosParts   = []string{"default-scheduler", "deployment-controller", "replicaset-controller", "endpointslice-controller",
		"garbage-collector", "kubelet-worker-1", "kubelet-worker-2"}
)

func pick[T any](m *monkey, all []T) T { return all[m.random.IntN(len(all))] }

func (m *monkey) play(turns int) {
	actions := []func(){m.apply, m.apply, m.remove, m.crash, m.crash, m.deletePod, m.deletePod, m.power, m.hold, m.lose, m.restart, m.reboot}
	for range turns {
		pick(m, actions)()
		m.Pass(time.Duration(m.random.IntN(20_000)) * time.Millisecond)
	}
}

func (m *monkey) say(format string, args ...any) {
	if testing.Verbose() || os.Getenv(seedVariable) != "" {
		m.t.Logf("%8s "+format, append([]any{time.Since(m.begun).Truncate(time.Millisecond)}, args...)...)
	}
}

const chaosManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}, annotations: {version: "%[3]d"}}
    spec:
      terminationGracePeriodSeconds: %[4]d
      containers:
      - {name: main, image: nginx, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{port: 80}]`

func (m *monkey) apply() {
	name, replicas := pick(m, chaosNames), m.random.IntN(8)
	if m.random.IntN(2) == 0 {
		m.version++
	}
	m.say("apply %s: %d replicas, version %d", name, replicas, m.version)
	m.Apply(fmt.Sprintf(chaosManifest, name, replicas, m.version, m.random.IntN(40)))
}

func (m *monkey) remove() {
	name := pick(m, chaosNames)
	policy := pick(m, []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground})
	m.say("delete deployment %s (%s)", name, policy)
	err := client.Of[*appsv1.Deployment](m.AdminClient()).Delete(m.t.Context(), metav1.NamespaceDefault, name, metav1.DeleteOptions{PropagationPolicy: &policy})
	if err != nil && !apierrors.IsNotFound(err) {
		m.t.Fatal(err)
	}
}

func (m *monkey) pods() []*corev1.Pod {
	pods, err := client.Of[*corev1.Pod](m.AdminClient()).List(m.t.Context(), metav1.NamespaceDefault, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return pods
}

// crash kills a container, if one runs: others may have ended it a moment before.
func (m *monkey) crash() {
	if pods := m.pods(); len(pods) > 0 {
		pod := pick(m, pods)
		err := m.KillContainer(m.t.Context(), pod.Namespace, pod.Name, "main")
		m.say("crash %s: %v", pod.Name, err)
	}
}

func (m *monkey) deletePod() {
	if pods := m.pods(); len(pods) > 0 {
		pod := pick(m, pods)
		m.say("delete pod %s", pod.Name)
		err := client.Of[*corev1.Pod](m.AdminClient()).Delete(m.t.Context(), pod.Namespace, pod.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			m.t.Fatal(err)
		}
	}
}

// power cuts a node's power, or gives it back.
func (m *monkey) power() {
	node := pick(m, chaosWorkers)
	if fault, off := m.stopped[node]; off {
		m.say("start %s", node)
		if err := m.Mend(m.t.Context(), fault); err != nil {
			m.t.Fatal(err)
		}
		delete(m.stopped, node)
		return
	}
	m.say("stop %s", node)
	fault, err := m.Break(m.t.Context(), cluster.Fault{Kind: cluster.FaultStopNode, Target: node})
	if err != nil {
		m.t.Fatal(err)
	}
	m.stopped[node] = fault.Name
}

// hold pauses a component, or lets it go on.
func (m *monkey) hold() {
	part := pick(m, chaosParts)
	gate := m.Machine().Gate(part)
	if m.paused[part] {
		m.say("resume %s", part)
		gate.Resume()
	} else {
		m.say("pause %s", part)
		gate.Pause()
	}
	m.paused[part] = !m.paused[part]
}

// lose lets writes of components fail from now on, or no longer.
func (m *monkey) lose() {
	percent := pick(m, []int{0, 5, 30})
	m.say("%d %% of the writes fail", percent)
	m.disk.fail(percent)
}

// restart ends a process in the middle of what it does; a kubelet's containers go on running.
func (m *monkey) restart() {
	name := pick(m, []string{"kube-controller-manager", "kube-scheduler", "kubelet-" + pick(m, chaosWorkers)})
	m.say("restart %s", name)
	if err := m.Restart(m.t.Context(), name); err != nil {
		m.t.Fatal(err)
	}
}

// reboot stops everything, API server and kubelets too, and begins again with what is in the store: no container runs then.
func (m *monkey) reboot() {
	if m.random.IntN(3) > 0 {
		return
	}
	m.say("reboot")
	m.disk.fail(0)
	m.down()
	m.up()
	clear(m.stopped)
	clear(m.paused)
}

// mend ends everything that would keep the cluster from what is wanted.
func (m *monkey) mend() {
	m.say("mend")
	m.disk.fail(0)
	for node, fault := range m.stopped {
		if err := m.Mend(m.t.Context(), fault); err != nil {
			m.t.Fatalf("start %s: %v", node, err)
		}
	}
	for _, part := range chaosParts {
		m.Machine().Gate(part).Resume()
	}
}

// check holds what is there against what is wanted.
func (m *monkey) check() {
	deployments, err := client.Of[*appsv1.Deployment](m.AdminClient()).List(m.t.Context(), metav1.NamespaceDefault, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	wanted := map[string]*appsv1.Deployment{}
	for _, d := range deployments {
		wanted[d.Name] = d
		s := d.Status
		if n := *d.Spec.Replicas; s.ObservedGeneration != d.Generation || s.Replicas != n || s.UpdatedReplicas != n || s.ReadyReplicas != n || s.AvailableReplicas != n {
			m.t.Errorf("deployment %s, generation %d, wants %d, and its status is %+v", d.Name, d.Generation, n, s)
		}
	}
	ready := map[string][]string{}
	for _, p := range m.pods() {
		app := p.Labels["app"]
		d := wanted[app]
		switch {
		case d == nil:
			m.t.Errorf("pod %s is left of deployment %s", p.Name, app)
		case p.DeletionTimestamp != nil:
			m.t.Errorf("pod %s is still ending", p.Name)
		case !isReady(p):
			m.t.Errorf("pod %s on %s is not ready: %+v", p.Name, p.Spec.NodeName, p.Status.ContainerStatuses)
		case p.Annotations["version"] != d.Spec.Template.Annotations["version"]:
			m.t.Errorf("pod %s is of version %s, wanted is %s", p.Name, p.Annotations["version"], d.Spec.Template.Annotations["version"])
		default:
			ready[app] = append(ready[app], p.Status.PodIP)
		}
	}
	for name, d := range wanted {
		if len(ready[name]) != int(*d.Spec.Replicas) {
			m.t.Errorf("deployment %s wants %d pods, there are %d", name, *d.Spec.Replicas, len(ready[name]))
		}
	}
	m.checkEndpoints(ready)
}

// checkEndpoints: services lead to exactly the ready pods, each address once.
func (m *monkey) checkEndpoints(ready map[string][]string) {
	endpoints, err := client.Of[*discoveryv1.EndpointSlice](m.AdminClient()).List(m.t.Context(), metav1.NamespaceDefault, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	led := map[string][]string{}
	for _, slice := range endpoints {
		for _, e := range slice.Endpoints {
			service := slice.Labels[discoveryv1.LabelServiceName]
			led[service] = append(led[service], e.Addresses...)
		}
	}
	for _, name := range chaosNames {
		if got, want := sorted(led[name]), sorted(ready[name]); !slices.Equal(got, want) {
			m.t.Errorf("service %s leads to %v, the ready pods are at %v", name, got, want)
		}
	}
}
