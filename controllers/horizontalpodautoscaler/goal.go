package horizontalpodautoscaler

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"kubette/controllers"
)

// goal is what each pod should use: an average, or a part in percent of what it requests.
type goal struct {
	average     resource.Quantity
	utilization *int32           // of the requests; nil for the average
	requests    map[string]int64 // by pod, in thousandths
}

// ratio is use compared with a goal.
type ratio struct {
	of          float64 // above 1 for too much
	utilization int32   // percent of the requests
	average     int64   // thousandths per pod
}

// compare sets what pods use against the goal. It counts in whole percent, or whole thousandths, as Kubernetes does: a
// utilization of 54.9 % is one of 54 %.
func (g goal) compare(used map[string]int64) (ratio, error) {
	var sum, requested, pods int64
	for pod, use := range used {
		if request, ok := g.requests[pod]; ok || g.utilization == nil {
			sum, requested, pods = sum+use, requested+request, pods+1
		}
	}
	if g.utilization == nil {
		average := sum / pods
		return ratio{of: float64(average) / float64(g.average.MilliValue()), average: average}, nil
	}
	if requested == 0 {
		return ratio{}, errors.New("no metrics returned matched known pods")
	}
	percent := int32(sum * 100 / requested)
	return ratio{of: float64(percent) / float64(*g.utilization), utilization: percent, average: sum / pods}, nil
}

// full is what a pod of which nothing is known uses at most: its request, or the goal if that is higher.
func (g goal) full(pod string) int64 {
	if g.utilization == nil {
		return g.average.MilliValue()
	}
	return g.requests[pod] * int64(max(100, *g.utilization)) / 100
}

// requestsOf is what pods ask for, by name.
func requestsOf(pods []*corev1.Pod, m metric) (map[string]int64, error) {
	requests := make(map[string]int64, len(pods))
	for _, pod := range pods {
		request, err := requestOf(pod, m)
		if err != nil {
			return nil, err
		}
		requests[pod.Name] = request
	}
	return requests, nil
}

func requestOf(pod *corev1.Pod, m metric) (int64, error) {
	if m.container == "" && resourcehelper.IsPodLevelRequestsSet(pod) {
		requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
		request, ok := requests[m.name]
		if !ok {
			return 0, fmt.Errorf("missing pod-level request for %s in Pod %s", m.name, pod.Name)
		}
		return request.MilliValue(), nil
	}
	var sum int64
	found := false
	for _, container := range lasting(pod) {
		if m.container != "" && container.Name != m.container {
			continue
		}
		request, ok := container.Resources.Requests[m.name]
		if !ok {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", m.name, container.Name, pod.Name)
		}
		sum, found = sum+request.MilliValue(), true
	}
	if m.container != "" && !found {
		return 0, fmt.Errorf("container %s not found in Pod %s", m.container, pod.Name)
	}
	return sum, nil
}

// lasting are the containers that run as long as the pod does: its own, and sidecars.
func lasting(pod *corev1.Pod) []corev1.Container {
	containers := slices.Clone(pod.Spec.Containers)
	for i := range pod.Spec.InitContainers {
		if container := &pod.Spec.InitContainers[i]; controllers.IsSidecar(container) {
			containers = append(containers, *container)
		}
	}
	return containers
}

// quantityOf writes an average as metrics-server does: memory in Ki, Mi and Gi.
func quantityOf(name corev1.ResourceName, milli int64) *resource.Quantity {
	if name == corev1.ResourceMemory {
		return resource.NewMilliQuantity(milli, resource.BinarySI)
	}
	return resource.NewMilliQuantity(milli, resource.DecimalSI)
}
