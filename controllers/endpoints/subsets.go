package endpoints

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/dump"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

// capacity is how many addresses an Endpoints object holds; what is more is cut off, and an annotation says so.
const capacity = 1000

// subsetsOf lists a service's pods: a subset for each set of pods that share ports. Unlike slices, it leaves out pods on
// their way out, unless the service publishes those that are not ready.
func subsetsOf(service *corev1.Service, pods []*corev1.Pod) (subsets []corev1.EndpointSubset, ready, notReady int) {
	byPorts := map[string]*corev1.EndpointSubset{} // each pod once, with all of its ports
	var ports []corev1.EndpointPort
	key, serves, known, named := "", false, false, controllers.NamesTargetPorts(service)
	for _, pod := range pods {
		address, ok := addressOf(service, pod)
		if !ok || !controllers.IsEndpoint(pod, service.Spec.PublishNotReadyAddresses) {
			continue
		}
		if named || !known {
			ports, serves = portsOf(service, pod)
			key, known = fmt.Sprint(ports), true
		}
		if !serves {
			continue
		}
		subset, ok := byPorts[key]
		if !ok {
			subset = &corev1.EndpointSubset{Ports: ports}
			byPorts[key] = subset
		}
		if service.Spec.PublishNotReadyAddresses || controllers.IsReady(pod) {
			subset.Addresses = append(subset.Addresses, address)
		} else {
			subset.NotReadyAddresses = append(subset.NotReadyAddresses, address)
		}
	}
	subsets = repack(byPorts)
	for _, subset := range subsets {
		ready, notReady = ready+len(subset.Addresses), notReady+len(subset.NotReadyAddresses)
	}
	return subsets, ready, notReady
}

// repack puts ports together that the same pods offer: pods that differ in one port are listed together for the others.
func repack(byPorts map[string]*corev1.EndpointSubset) []corev1.EndpointSubset {
	offers := map[corev1.EndpointPort][]string{} // the keys of those that offer a port; the port has no pointer here
	whole := map[corev1.EndpointPort]corev1.EndpointPort{}
	packed := map[string]*corev1.EndpointSubset{}
	for _, key := range slices.Sorted(maps.Keys(byPorts)) {
		if len(byPorts[key].Ports) == 0 {
			packed[key] = byPorts[key]
		}
		for _, port := range byPorts[key].Ports {
			plain := port
			plain.AppProtocol = nil
			offers[plain], whole[plain] = append(offers[plain], key), port
		}
	}
	for plain, keys := range offers {
		together := strings.Join(keys, " ")
		subset := packed[together]
		if subset == nil {
			subset = &corev1.EndpointSubset{}
			for _, key := range keys {
				subset.Addresses = append(subset.Addresses, byPorts[key].Addresses...)
				subset.NotReadyAddresses = append(subset.NotReadyAddresses, byPorts[key].NotReadyAddresses...)
			}
			packed[together] = subset
		}
		subset.Ports = append(subset.Ports, whole[plain])
	}
	var subsets []corev1.EndpointSubset
	for _, subset := range packed {
		sortAddresses(subset.Addresses)
		sortAddresses(subset.NotReadyAddresses)
		sortByHash(subset.Ports)
		subsets = append(subsets, *subset)
	}
	sortByHash(subsets)
	return subsets
}

// sortByHash gives ports and subsets the order that Kubernetes' controller gives them: that of their hashes.
func sortByHash[T any](items []T) {
	if len(items) < 2 {
		return
	}
	hash := func(item T) []byte {
		hasher := fnv.New128a()
		fmt.Fprintf(hasher, "%v", dump.ForHash(item))
		return hasher.Sum(nil)
	}
	slices.SortFunc(items, func(a, b T) int { return bytes.Compare(hash(a), hash(b)) })
}

// addressOf describes a pod with its address of the service's first family.
func addressOf(service *corev1.Service, pod *corev1.Pod) (corev1.EndpointAddress, bool) {
	ip := pod.Status.PodIP
	if len(service.Spec.IPFamilies) > 0 {
		six := service.Spec.IPFamilies[0] == corev1.IPv6Protocol
		for _, candidate := range pod.Status.PodIPs {
			if strings.Contains(candidate.IP, ":") == six {
				ip = candidate.IP
				break
			}
		}
		if strings.Contains(ip, ":") != six {
			return corev1.EndpointAddress{}, false
		}
	}
	address := corev1.EndpointAddress{
		IP:        ip,
		Hostname:  controllers.EndpointHostname(pod, service),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		address.NodeName = ptr.To(pod.Spec.NodeName)
	}
	return address, ip != ""
}

// portsOf resolves a service's ports on a pod. It returns false when the service has ports and the pod none of them.
func portsOf(service *corev1.Service, pod *corev1.Pod) ([]corev1.EndpointPort, bool) {
	var ports []corev1.EndpointPort
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if number, ok := controllers.TargetPort(pod, port); ok {
			ports = append(ports, corev1.EndpointPort{Name: port.Name, Port: number, Protocol: port.Protocol, AppProtocol: port.AppProtocol})
		}
	}
	return ports, len(ports) > 0 || len(service.Spec.Ports) == 0
}

func sortAddresses(addresses []corev1.EndpointAddress) {
	slices.SortFunc(addresses, func(a, b corev1.EndpointAddress) int {
		if order := strings.Compare(a.IP, b.IP); order != 0 {
			return order
		}
		return strings.Compare(string(a.TargetRef.UID), string(b.TargetRef.UID))
	})
}

// truncate cuts subsets down to the capacity, ready addresses before others, each subset in proportion.
func truncate(subsets []corev1.EndpointSubset, ready, notReady int) ([]corev1.EndpointSubset, bool) {
	if ready+notReady <= capacity {
		return subsets, false
	}
	keepReady := min(ready, capacity)
	keepNotReady := capacity - keepReady
	share := func(addresses []corev1.EndpointAddress, left *int, all, keep int) []corev1.EndpointAddress {
		if all == 0 {
			return nil
		}
		count := min((len(addresses)*keep+all-1)/all, *left, len(addresses))
		*left -= count
		if count == 0 {
			return nil
		}
		return addresses[:count]
	}
	leftReady, leftNotReady := keepReady, keepNotReady
	var kept []corev1.EndpointSubset
	for _, subset := range subsets {
		subset.Addresses = share(subset.Addresses, &leftReady, ready, keepReady)
		subset.NotReadyAddresses = share(subset.NotReadyAddresses, &leftNotReady, notReady, keepNotReady)
		if len(subset.Addresses)+len(subset.NotReadyAddresses) > 0 {
			kept = append(kept, subset)
		}
	}
	return kept, true
}
