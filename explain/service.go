package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func labelSet(set map[string]string) labels.Set { return labels.Set(set) }

// service judges whether a service leads to somebody.
func (d *diagnosis) service(s *corev1.Service) {
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		d.add(Notice, "ServiceExternal", s, "host", s.Spec.ExternalName)
		return
	case len(s.Spec.Selector) == 0:
		if ready, _ := d.endpoints(s); ready == 0 {
			d.add(Problem, "ServiceNoSelector", s)
		}
		return
	}
	pods := d.selected(s)
	if len(pods) == 0 {
		d.matchesNothing(s)
		return
	}
	d.ports(s, pods)
	ready, total := d.endpoints(s)
	switch {
	case ready > 0:
	case d.held(s, "endpointslice-controller"):
	case !slices.ContainsFunc(pods, isReady):
		d.add(Problem, "ServicePodsNotReady", s, "pods", len(pods), "selector", labelSet(s.Spec.Selector).String())
	case total == 0 && !d.hasPorts(s, pods):
	default:
		d.add(Waiting, "ServiceEndpointsSoon", s, "pods", len(pods))
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) == 0 {
		d.add(Notice, "LoadBalancerPending", s)
	}
	follow(d, pods...)
}

// selected are the pods that a service selects and that have not ended.
func (d *diagnosis) selected(s *corev1.Service) []*corev1.Pod {
	selector := labels.SelectorFromSet(s.Spec.Selector)
	var pods []*corev1.Pod
	for _, p := range all[*corev1.Pod](d.Snapshot, s.Namespace) {
		if selector.Matches(labels.Set(p.Labels)) && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			pods = append(pods, p)
		}
	}
	return pods
}

// endpoints counts what is behind a service.
func (d *diagnosis) endpoints(s *corev1.Service) (ready, total int) {
	for _, slice := range all[*discoveryv1.EndpointSlice](d.Snapshot, s.Namespace) {
		if slice.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		for _, e := range slice.Endpoints {
			total += len(e.Addresses)
			if len(slice.Ports) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				ready += len(e.Addresses)
			}
		}
	}
	return ready, total
}

// matchesNothing shows a selector beside the labels of the pod that is most like it.
func (d *diagnosis) matchesNothing(s *corev1.Service) {
	selector := s.Spec.Selector
	f := d.add(Problem, "SelectorMatchesNothing", s, "selector", labelSet(selector).String())
	var near *corev1.Pod
	best := 0
	for _, p := range all[*corev1.Pod](d.Snapshot, s.Namespace) {
		if score := likeness(selector, p.Labels); score > best {
			near, best = p, score
		}
	}
	if near != nil {
		var rows [][]string
		for _, key := range sortedKeys(selector) {
			same := "≠"
			if near.Labels[key] == selector[key] {
				same = "="
			}
			rows = append(rows, []string{key, selector[key], same, labelOr(near.Labels, key)})
		}
		f.Args["near"] = near.Name
		f.table("selector", []string{"label", "selector", "same", "podLabel"}, rows)
		f.advise("SelectorNearest", "near", near.Name, "labels", labelSet(near.Labels).String())
	}
	for _, p := range all[*corev1.Pod](d.Snapshot, "") {
		if p.Namespace != s.Namespace && labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels)) {
			f.advise("SelectorElsewhere", "other", p.Namespace, "pod", p.Name)
			break
		}
	}
	if near == nil && len(all[*corev1.Pod](d.Snapshot, s.Namespace)) == 0 {
		f.advise("NoPodsAtAll")
	}
}

// likeness counts how much of a selector a pod's labels have: a value that is the same, one that is nearly the same, or at
// least the key.
func likeness(selector, podLabels map[string]string) int {
	score := 0
	for key, wanted := range selector {
		value, ok := podLabels[key]
		switch {
		case !ok:
			for other, value := range podLabels { // another key for the same value
				if value == wanted && editDistance(key, other) > 0 {
					score++
					break
				}
			}
		case value == wanted:
			score += 4
		case nearest(wanted, []string{value}) != "":
			score += 3
		default:
			score++
		}
	}
	return score
}

// ports judges a service's target ports by the pods behind it.
func (d *diagnosis) ports(s *corev1.Service, pods []*corev1.Pod) {
	for i := range s.Spec.Ports {
		port := &s.Spec.Ports[i]
		p := pods[0]
		for _, each := range pods {
			if isReady(each) {
				p = each
				break
			}
		}
		number, declared := targetOf(port, p)
		if number == 0 {
			f := d.add(Problem, "TargetPortUnnamed", s, "port", port.Port, "target", port.TargetPort.String(), "pod", p.Name, "declared", orNone(declared))
			if near := nearest(port.TargetPort.String(), portNames(p)); near != "" {
				f.advise("Nearest", "near", near)
			}
			continue
		}
		if port.Protocol == corev1.ProtocolUDP || port.Protocol == corev1.ProtocolSCTP || !isReady(p) {
			continue
		}
		switch d.facts.listens(d.ctx, p, number) {
		case ListenRefused:
			f := d.add(Problem, "TargetPortDeaf", s, "port", port.Port, "target", number, "pod", p.Name, "declared", orNone(declared))
			if open := d.openPort(p, number); open != 0 {
				f.advise("TargetPortOther", "open", open)
			}
		case ListenLoopback:
			d.add(Problem, "TargetPortLocalhost", s, "port", port.Port, "target", number, "pod", p.Name)
		case ListenUnknown:
			if len(declared) > 0 && !declares(p, number) {
				d.add(Notice, "TargetPortUndeclared", s, "port", port.Port, "target", number, "pod", p.Name, "declared", orNone(declared))
			}
		}
	}
}

// openPort is a port that the pod's containers declare and listen on, other than one.
func (d *diagnosis) openPort(p *corev1.Pod, but int32) int32 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.ContainerPort != but && d.facts.listens(d.ctx, p, port.ContainerPort) == ListenYes {
				return port.ContainerPort
			}
		}
	}
	return 0
}

// targetOf is the number of the port that a service's port leads to in a pod, 0 when it names one that is not there, and
// what ports the pod declares.
func targetOf(port *corev1.ServicePort, p *corev1.Pod) (number int32, declared []string) {
	if port.TargetPort.Type == intstr.Int {
		number = port.TargetPort.IntVal
		if number == 0 {
			number = port.Port
		}
	}
	for _, c := range p.Spec.Containers {
		for _, each := range c.Ports {
			text := fmt.Sprint(each.ContainerPort)
			if each.Name != "" {
				text = each.Name + "=" + text
			}
			declared = append(declared, text)
			if port.TargetPort.Type == intstr.String && each.Name == port.TargetPort.StrVal {
				number = each.ContainerPort
			}
		}
	}
	return number, declared
}

func portNames(p *corev1.Pod) []string {
	var all []string
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name != "" {
				all = append(all, port.Name)
			}
		}
	}
	return all
}

func declares(p *corev1.Pod, number int32) bool {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.ContainerPort == number {
				return true
			}
		}
	}
	return false
}

// hasPorts says whether any port of a service leads somewhere.
func (d *diagnosis) hasPorts(s *corev1.Service, pods []*corev1.Pod) bool {
	for i := range s.Spec.Ports {
		if number, _ := targetOf(&s.Spec.Ports[i], pods[0]); number != 0 {
			return true
		}
	}
	return len(s.Spec.Ports) == 0
}
