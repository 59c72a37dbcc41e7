package admission

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kubette/apiserver/kinds"
)

// usage is what the objects in a quota's namespace use of what the quota limits.
func usage(cluster kinds.Cluster, quota *corev1.ResourceQuota) corev1.ResourceList {
	hard := quota.Spec.Hard
	used := corev1.ResourceList{}
	for name := range hard {
		used[name] = resource.Quantity{Format: resource.DecimalSI}
	}
	for _, counted := range countedResources(hard) {
		for _, object := range cluster.List(counted.group, counted.plural, quota.Namespace) {
			if inScopes(quota, object) {
				used = add(used, relevant(usageOf(counted.group, counted.plural, object), hard))
			}
		}
	}
	return used
}

type groupPlural struct{ group, plural string }

// plainCounts are the resources that a quota may count by their plain names.
var plainCounts = []string{"pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"}

// countedResources are the resources whose objects a quota counts.
func countedResources(hard corev1.ResourceList) []groupPlural {
	seen := map[groupPlural]bool{}
	for name := range hard {
		seen[counted(string(name))] = true
	}
	var all []groupPlural
	for resource := range seen {
		if resource.plural != "" && resource.plural != "events" { // as admission does not
			all = append(all, resource)
		}
	}
	return all
}

// counted is the resource that one limit is about.
func counted(name string) groupPlural {
	if object, ok := strings.CutPrefix(name, "count/"); ok {
		plural, group, _ := strings.Cut(object, ".")
		return groupPlural{group, plural}
	}
	switch {
	case slices.Contains(plainCounts, name):
		return groupPlural{"", name}
	case strings.HasPrefix(name, "services."):
		return groupPlural{"", "services"}
	case name == "requests.storage" || strings.Contains(name, ".storageclass.storage.k8s.io/"):
		return groupPlural{"", "persistentvolumeclaims"}
	}
	return groupPlural{"", "pods"}
}

var one = resource.MustParse("1")

// usageOf is what one object uses, under every name that a quota may limit.
func usageOf(group, plural string, object kinds.Object) corev1.ResourceList {
	count := plural
	if group != "" {
		count += "." + group
	}
	used := corev1.ResourceList{corev1.ResourceName("count/" + count): one}
	if group != "" {
		return used
	}
	switch o := object.(type) {
	case *corev1.Pod:
		podUsage(used, o)
		return used
	case *corev1.Service:
		serviceUsage(used, o)
	case *corev1.PersistentVolumeClaim:
		claimUsage(used, o)
	}
	if slices.Contains(plainCounts, plural) {
		used[corev1.ResourceName(plural)] = one
	}
	return used
}

// podUsage counts a pod's requests and limits, unless it has finished.
func podUsage(used corev1.ResourceList, pod *corev1.Pod) {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded || isGone(pod) {
		return
	}
	used[corev1.ResourcePods] = one
	requests, limits := podSums(pod)
	for name, q := range requests {
		used["requests."+name] = q
		switch name {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
			used[name] = q
		}
	}
	for name, q := range limits {
		used["limits."+name] = q
	}
}

func serviceUsage(used corev1.ResourceList, service *corev1.Service) {
	nodePorts := int64(0)
	switch service.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		used[corev1.ResourceServicesLoadBalancers] = one
		if allocate := service.Spec.AllocateLoadBalancerNodePorts; allocate != nil && !*allocate {
			for _, p := range service.Spec.Ports {
				if p.NodePort != 0 {
					nodePorts++
				}
			}
			break
		}
		nodePorts = int64(len(service.Spec.Ports))
	case corev1.ServiceTypeNodePort:
		nodePorts = int64(len(service.Spec.Ports))
	}
	if nodePorts > 0 {
		used[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(nodePorts, resource.DecimalSI)
	}
}

func claimUsage(used corev1.ResourceList, claim *corev1.PersistentVolumeClaim) {
	request := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	used[corev1.ResourceRequestsStorage] = request
	if class := claim.Spec.StorageClassName; class != nil && *class != "" {
		suffix := corev1.ResourceName(".storageclass.storage.k8s.io/")
		used[corev1.ResourceName(*class)+suffix+corev1.ResourceRequestsStorage] = request
		used[corev1.ResourceName(*class)+suffix+"persistentvolumeclaims"] = one
	}
}

// relevant keeps of a usage what a quota limits.
func relevant(used, hard corev1.ResourceList) corev1.ResourceList {
	kept := corev1.ResourceList{}
	for name, q := range used {
		if _, limited := hard[name]; limited {
			kept[name] = q
		}
	}
	return kept
}

// increases keeps of a difference what is more than before. What becomes less the controller takes off.
func increases(difference corev1.ResourceList) corev1.ResourceList {
	more := corev1.ResourceList{}
	for name, q := range difference {
		if q.Sign() > 0 {
			more[name] = q
		}
	}
	return more
}

func add(a, b corev1.ResourceList) corev1.ResourceList {
	sum := a.DeepCopy()
	for name, q := range b {
		total := sum[name]
		total.Add(q)
		sum[name] = total
	}
	return sum
}

func subtract(a, b corev1.ResourceList) corev1.ResourceList {
	difference := a.DeepCopy()
	for name, q := range b {
		rest := difference[name]
		rest.Sub(q)
		difference[name] = rest
	}
	return difference
}
