package cluster

import (
	"testing"
	"time"

	"kubette/kubelet"
	"kubette/kubelet/runtime"
)

func statsOf(id string, at time.Time, cpu time.Duration, memory uint64) kubelet.ContainerStats {
	return kubelet.ContainerStats{Name: id, ID: id, Stats: runtime.Stats{Time: at, CPUNanos: uint64(cpu), MemoryBytes: memory}}
}

func lookOf(at time.Time, containers ...kubelet.ContainerStats) *look {
	l := &look{at: at, nodes: map[string][]kubelet.PodStats{}, containers: map[string]kubelet.ContainerStats{}}
	l.nodes["worker-1"] = []kubelet.PodStats{{Namespace: "default", Name: "web", Containers: containers}}
	for _, c := range containers {
		l.containers[c.ID] = c
	}
	return l
}

func TestUseIsTheRateBetweenTwoLooks(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	later := begin.Add(10 * time.Second)
	first := lookOf(begin, statsOf("a", begin, time.Second, 10<<20))
	second := lookOf(later, statsOf("a", later, 3*time.Second, 20<<20))
	if first.adopt(second) {
		t.Error("a container that was there is taken for a new one")
	}
	got := compare(first, second)
	if len(got) != 1 || len(got[0].pods) != 1 {
		t.Fatalf("measured %+v, wanted one pod", got)
	}
	pod := got[0].pods[0]
	if use := pod.Containers[0].Usage; use.Cpu().MilliValue() != 200 || use.Memory().String() != "20Mi" || pod.Window.Duration != 10*time.Second {
		t.Errorf("use is %v over %v, wanted 200m and 20Mi over 10s", use, pod.Window)
	}
}

func TestPodWithAnUnknownContainerIsLeftOut(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	later := begin.Add(time.Second)
	first := lookOf(begin, statsOf("a", begin, 0, 0))
	second := lookOf(later, statsOf("a", later, 0, 0), statsOf("b", later, 0, 0))
	if pods := compare(first, second)[0].pods; len(pods) != 0 {
		t.Errorf("measured %v of a pod whose second container was looked at once", pods)
	}
	if !first.adopt(second) || len(first.containers) != 2 {
		t.Error("the new container is not adopted")
	}
}
