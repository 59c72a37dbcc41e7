package nodelifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/node/topology"

	"kubette/controllers"
)

// How fast nodes of a zone may be tainted against running pods. The numbers are kube-controller-manager's defaults.
const (
	evictionEvery    = 10 * time.Second  // --node-eviction-rate=0.1
	slowEvery        = 100 * time.Second // --secondary-node-eviction-rate=0.01, in large zones that are partly down
	largeZone        = 50                // --large-cluster-size-threshold; smaller ones get no taints when partly down
	unhealthyPortion = 0.55              // --unhealthy-zone-threshold

	// excludeLabel takes a node out of the count, for example one that is often switched off.
	excludeLabel = "node.kubernetes.io/exclude-disruption"
)

type zoneState string

const (
	zoneNormal  zoneState = "Normal"
	zonePartial zoneState = "PartialDisruption"
	zoneFull    zoneState = "FullDisruption"
)

type zones struct {
	mu       sync.Mutex
	byName   map[string]*zone
	down     bool // every zone is fully down
	returned bool // it has just ended
}

type zone struct {
	state zoneState
	every time.Duration // the time between two nodes; 0 lets none be tainted
	next  time.Time     // when the next node may be tainted
}

// pace changes how fast nodes may be tainted. Whoever had to wait waits again, for as long as the new pace wants.
func (z *zone) pace(every time.Duration) {
	if every == z.every {
		return
	}
	if z.every == 0 || time.Now().Before(z.next) {
		z.next = time.Now().Add(every)
	}
	z.every = every
}

// regard takes the state of all zones from their nodes, and says whether it changed.
func (z *zones) regard(nodes []*corev1.Node) (changed bool) {
	ready, notReady := map[string]int{}, map[string]int{}
	for _, node := range nodes {
		if _, excluded := node.Labels[excludeLabel]; excluded {
			continue
		}
		name := topology.GetZoneKey(node)
		condition := controllers.NodeCondition(node, corev1.NodeReady)
		if condition != nil && condition.Status == corev1.ConditionTrue {
			ready[name]++
			notReady[name] += 0
		} else {
			notReady[name]++
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	before := z.byName
	z.byName = make(map[string]*zone, len(notReady))
	down := len(notReady) > 0
	for name := range notReady {
		state := stateOf(ready[name], notReady[name])
		current := before[name]
		if current == nil {
			current = &zone{state: zoneNormal, every: evictionEvery}
		}
		changed = changed || current.state != state
		current.state = state
		z.byName[name] = current
		down = down && state == zoneFull
	}
	for name, current := range z.byName {
		current.pace(paceOf(current.state, ready[name]+notReady[name], down))
	}
	z.returned = z.down && !down
	changed = changed || z.down != down
	z.down = down
	return changed
}

func stateOf(ready, notReady int) zoneState {
	switch {
	case ready == 0 && notReady > 0:
		return zoneFull
	case notReady > 2 && float64(notReady)/float64(notReady+ready) >= unhealthyPortion:
		return zonePartial
	}
	return zoneNormal
}

func paceOf(state zoneState, size int, allDown bool) time.Duration {
	switch {
	case allDown:
		return 0
	case state != zonePartial:
		return evictionEvery
	case size > largeZone:
		return slowEvery
	}
	return 0
}

// allDown says whether no node of the cluster is ready. Then it is rather us who cannot hear them: nothing is evicted.
func (z *zones) allDown() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.down
}

func (z *zones) recovered() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.returned
}

// take asks for a node's turn to be tainted. When it has to wait it says how long; 0 means until the zone's state changes.
func (z *zones) take(node *corev1.Node) (wait time.Duration, ok bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	current, known := z.byName[topology.GetZoneKey(node)]
	if !known {
		return 0, true // all nodes of its zone are left out of the count: nothing slows them down
	}
	if current.every == 0 {
		return 0, false
	}
	if left := time.Until(current.next); left > 0 {
		return left, false
	}
	current.next = time.Now().Add(current.every)
	return 0, true
}

// String is for the trace.
func (z *zones) String() string {
	z.mu.Lock()
	defer z.mu.Unlock()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(z.byName)) {
		label := strings.ReplaceAll(strings.Trim(name, ":\x00"), ":\x00:", "/")
		if label == "" {
			label = "the only zone"
		}
		parts = append(parts, fmt.Sprintf("%s: %s", label, z.byName[name].state))
	}
	return strings.Join(parts, ", ")
}
