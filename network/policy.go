package network

import (
	"context"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/client"
	"kubette/loop"
)

// PolicyComponent is the name of what acts on NetworkPolicies in traces and events. In Kubernetes a network plugin does it,
// such as Calico or Cilium.
const PolicyComponent = "network-policy"

// Policies says which connections NetworkPolicies allow. Between simulated pods they are enforced: the simulated network
// asks before every connection. On a Docker engine nothing on the way between two pods asks anybody, so there each policy
// gets a warning instead.
type Policies struct {
	events     *client.Recorder
	enforced   bool
	policies   client.Informer[*networkingv1.NetworkPolicy]
	pods       client.Informer[*corev1.Pod]
	namespaces client.Informer[*corev1.Namespace]
	loop       *loop.Loop[types.NamespacedName]
}

const addressIndex = "address"

// NotEnforced is what a user is told of a policy where it has no effect.
const NotEnforced = "this NetworkPolicy is stored but not enforced: between containers on a Docker engine all traffic is " +
	"allowed (kubette enforces policies between simulated pods: kubette up --runtime sim)"

// NewPolicies makes policies; start the informers and Run it. Enforced says that somebody asks Allows.
func NewPolicies(informers *client.Informers, events *client.Recorder, machine *loop.Machine, enforced bool) *Policies {
	p := &Policies{
		events: events, enforced: enforced,
		policies:   client.InformerFor[*networkingv1.NetworkPolicy](informers),
		pods:       client.InformerFor[*corev1.Pod](informers),
		namespaces: client.InformerFor[*corev1.Namespace](informers),
	}
	p.pods.AddIndex(addressIndex, func(pod *corev1.Pod) []string {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			return nil // its address may be another pod's by now
		}
		return []string{pod.Status.PodIP}
	})
	p.loop = loop.New(PolicyComponent, p.reconcile, loop.Options{Machine: machine})
	p.policies.Handle(client.Handler[*networkingv1.NetworkPolicy]{
		Add: func(o *networkingv1.NetworkPolicy) {
			p.loop.Add(types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, "networkpolicies/"+o.Namespace+"/"+o.Name+" added")
		},
	})
	return p
}

// Run reports on policies until the context ends.
func (p *Policies) Run(ctx context.Context) { p.loop.Run(ctx) }

func (p *Policies) reconcile(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	policy, ok := p.policies.Get(name.Namespace, name.Name)
	if !ok {
		return 0, nil
	}
	if p.enforced {
		loop.Say(ctx, "PolicyEnforced")
		return 0, nil
	}
	loop.Say(ctx, "PolicyNotEnforced")
	p.events.Event(policy, corev1.EventTypeWarning, "NotEnforced", "%s", NotEnforced)
	return 0, nil
}

// end is one side of a connection.
type end struct {
	address   netip.Addr
	pod       *corev1.Pod // nil for what is no pod
	namespace string
	labels    labels.Set
}

func (p *Policies) endAt(address netip.Addr) end {
	e := end{address: address}
	if !address.IsValid() {
		return e
	}
	for _, pod := range p.pods.ByIndex(addressIndex, address.String()) {
		e.pod, e.namespace, e.labels = pod, pod.Namespace, pod.Labels
	}
	return e
}

// Allows says whether a connection may be made. From is invalid for the node itself (probes, the ingress, the API server):
// a node reaches the pods on it, whatever policies say.
func (p *Policies) Allows(from netip.Addr, to netip.AddrPort, protocol corev1.Protocol) bool {
	if p == nil || !from.IsValid() || from == to.Addr() || len(p.policies.List("", nil)) == 0 {
		return true
	}
	return p.allows(p.endAt(from), p.endAt(to.Addr()), int32(to.Port()), protocol)
}

// AllowsNames says whether a pod may ask the cluster's DNS server, which policies know as the pods of kube-dns.
func (p *Policies) AllowsNames(from netip.Addr) bool {
	if p == nil || !from.IsValid() || len(p.policies.List("", nil)) == 0 {
		return true
	}
	server := end{namespace: metav1.NamespaceSystem, labels: labels.Set{"k8s-app": "kube-dns"}}
	return p.allows(p.endAt(from), server, 53, corev1.ProtocolUDP)
}

// allows asks the policies of both sides: a side that no policy selects allows everything, one that is selected only what
// one of its policies allows.
func (p *Policies) allows(from, to end, port int32, protocol corev1.Protocol) bool {
	return p.sideAllows(from, networkingv1.PolicyTypeEgress, func(policy *networkingv1.NetworkPolicy) bool {
		for _, rule := range policy.Spec.Egress {
			if portAllowed(rule.Ports, to.pod, port, protocol) && p.peerAllowed(rule.To, policy.Namespace, to) {
				return true
			}
		}
		return false
	}) && p.sideAllows(to, networkingv1.PolicyTypeIngress, func(policy *networkingv1.NetworkPolicy) bool {
		for _, rule := range policy.Spec.Ingress {
			if portAllowed(rule.Ports, to.pod, port, protocol) && p.peerAllowed(rule.From, policy.Namespace, from) {
				return true
			}
		}
		return false
	})
}

func (p *Policies) sideAllows(side end, direction networkingv1.PolicyType, rulesAllow func(*networkingv1.NetworkPolicy) bool) bool {
	if side.pod == nil {
		return true
	}
	selected := false
	for _, policy := range p.policies.List(side.namespace, nil) {
		if !hasType(policy, direction) || !selects(&policy.Spec.PodSelector, side.labels) {
			continue
		}
		if rulesAllow(policy) {
			return true
		}
		selected = true
	}
	return !selected
}

func hasType(policy *networkingv1.NetworkPolicy, wanted networkingv1.PolicyType) bool {
	for _, direction := range policy.Spec.PolicyTypes {
		if direction == wanted {
			return true
		}
	}
	return false
}

func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}

// portAllowed: no ports allow all.
func portAllowed(ports []networkingv1.NetworkPolicyPort, target *corev1.Pod, port int32, protocol corev1.Protocol) bool {
	for _, allowed := range ports {
		if deref(allowed.Protocol, corev1.ProtocolTCP) != protocol {
			continue
		}
		switch {
		case allowed.Port == nil:
			return true
		case allowed.Port.Type == intstr.String:
			if target != nil && namedPort(target, allowed.Port.StrVal, protocol) == port {
				return true
			}
		case port >= allowed.Port.IntVal && port <= deref(allowed.EndPort, allowed.Port.IntVal):
			return true
		}
	}
	return len(ports) == 0
}

// namedPort is the number of a pod's port, 0 when it has none of that name.
func namedPort(pod *corev1.Pod, name string, protocol corev1.Protocol) int32 {
	for _, container := range pod.Spec.Containers {
		for _, p := range container.Ports {
			if p.Name == name && p.Protocol == protocol {
				return p.ContainerPort
			}
		}
	}
	return 0
}

// peerAllowed: no peers allow all.
func (p *Policies) peerAllowed(peers []networkingv1.NetworkPolicyPeer, namespace string, other end) bool {
	for _, peer := range peers {
		if p.peerMatches(peer, namespace, other) {
			return true
		}
	}
	return len(peers) == 0
}

func (p *Policies) peerMatches(peer networkingv1.NetworkPolicyPeer, namespace string, other end) bool {
	if peer.IPBlock != nil {
		return blockHolds(peer.IPBlock, other.address)
	}
	if other.namespace == "" {
		return false
	}
	if peer.NamespaceSelector == nil && other.namespace != namespace {
		return false
	}
	if peer.NamespaceSelector != nil {
		object, ok := p.namespaces.Get("", other.namespace)
		if !ok || !selects(peer.NamespaceSelector, object.Labels) {
			return false
		}
	}
	return peer.PodSelector == nil || selects(peer.PodSelector, other.labels)
}

func blockHolds(block *networkingv1.IPBlock, address netip.Addr) bool {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil || !prefix.Contains(address) {
		return false
	}
	for _, text := range block.Except {
		if except, err := netip.ParsePrefix(text); err == nil && except.Contains(address) {
			return false
		}
	}
	return true
}
