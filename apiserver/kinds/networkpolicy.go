package kinds

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

func networkPolicy() *Kind {
	return Row[*networkingv1.NetworkPolicy]{
		Base: Kind{
			Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy", Plural: "networkpolicies", Singular: "networkpolicy",
			ShortNames: []string{"netpol"}, Namespaced: true, UnconditionalUpdate: true,
		},
		New:              func() *networkingv1.NetworkPolicy { return &networkingv1.NetworkPolicy{} },
		NewList:          func() runtime.Object { return &networkingv1.NetworkPolicyList{} },
		Default:          defaultNetworkPolicy,
		PrepareForCreate: func(p *networkingv1.NetworkPolicy) { p.Generation = 1 },
		PrepareForUpdate: func(p, old *networkingv1.NetworkPolicy) { raiseGeneration(p, old, p.Spec, old.Spec) },
		Validate:         func(p *networkingv1.NetworkPolicy) field.ErrorList { return validateNetworkPolicy(p, nil) },
		ValidateUpdate:   validateNetworkPolicy,
		Warnings:         func(p, _ *networkingv1.NetworkPolicy) []string { return networkPolicyWarnings(p) },
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Pod-Selector", "string", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"]),
			ageColumn(),
		},
		Cells: func(p *networkingv1.NetworkPolicy) []any {
			return []any{p.Name, selectorCell(&p.Spec.PodSelector), age(p.CreationTimestamp)}
		},
	}.Kind()
}

func defaultNetworkPolicy(p *networkingv1.NetworkPolicy) {
	for i := range p.Spec.Ingress {
		defaultPolicyPorts(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultPolicyPorts(p.Spec.Egress[i].Ports)
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) != 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		setDefaultPointer(&ports[i].Protocol, corev1.ProtocolTCP)
	}
}

func validateNetworkPolicy(p, old *networkingv1.NetworkPolicy) field.ErrorList {
	path, before := field.NewPath("spec"), policyCIDRs(old)
	errs := labelSelector(&p.Spec.PodSelector, path.Child("podSelector"))
	var missing field.ErrorList
	for i, rule := range p.Spec.Ingress {
		at := path.Child("ingress").Index(i)
		errs = append(errs, validatePolicyPorts(rule.Ports, at.Child("ports"))...)
		errs = append(errs, validatePolicyPeers(rule.From, before, at.Child("from"), &missing)...)
	}
	for i, rule := range p.Spec.Egress {
		at := path.Child("egress").Index(i)
		errs = append(errs, validatePolicyPorts(rule.Ports, at.Child("ports"))...)
		errs = append(errs, validatePolicyPeers(rule.To, before, at.Child("to"), &missing)...)
	}
	errs = append(errs, validatePolicyTypes(p.Spec.PolicyTypes, path.Child("policyTypes"))...)
	return append(errs, missing...)
}

// policyCIDRs are the ranges that a policy has already: they stay valid whatever the rules are now.
func policyCIDRs(p *networkingv1.NetworkPolicy) (cidrs []string) {
	if p == nil {
		return nil
	}
	add := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, peer := range peers {
			if peer.IPBlock != nil {
				cidrs = append(append(cidrs, peer.IPBlock.CIDR), peer.IPBlock.Except...)
			}
		}
	}
	for _, rule := range p.Spec.Ingress {
		add(rule.From)
	}
	for _, rule := range p.Spec.Egress {
		add(rule.To)
	}
	return cidrs
}

func validatePolicyPorts(ports []networkingv1.NetworkPolicyPort, path *field.Path) (errs field.ErrorList) {
	for i, p := range ports {
		at := path.Index(i)
		if p.Protocol != nil {
			errs = append(errs, oneOf(*p.Protocol, at.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)...)
		}
		end := at.Child("endPort")
		switch {
		case p.Port == nil:
			if p.EndPort != nil {
				errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified"))
			}
		case p.Port.Type == intstr.Int:
			errs = append(errs, portNumber(p.Port.IntVal, at.Child("port"))...)
			if p.EndPort != nil && *p.EndPort < p.Port.IntVal {
				errs = append(errs, field.Invalid(end, *p.EndPort, "must be greater than or equal to `port`"))
			}
			if p.EndPort != nil {
				errs = append(errs, portNumber(*p.EndPort, end)...)
			}
		default:
			if p.EndPort != nil {
				errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric"))
			}
			errs = append(errs, invalid(at.Child("port"), p.Port.StrVal, validation.IsValidPortName(p.Port.StrVal))...)
		}
	}
	return errs
}

// validatePolicyPeers checks who traffic may come from or go to. Ranges that are missing altogether go to another list:
// Kubernetes names them last.
func validatePolicyPeers(peers []networkingv1.NetworkPolicyPeer, before []string, path *field.Path, missing *field.ErrorList) (errs field.ErrorList) {
	for i, peer := range peers {
		at := path.Index(i)
		if peer.PodSelector != nil {
			errs = append(errs, labelSelector(peer.PodSelector, at.Child("podSelector"))...)
		}
		if peer.NamespaceSelector != nil {
			errs = append(errs, labelSelector(peer.NamespaceSelector, at.Child("namespaceSelector"))...)
		}
		selected := peer.PodSelector != nil || peer.NamespaceSelector != nil
		switch {
		case peer.IPBlock == nil:
			if !selected {
				errs = append(errs, field.Required(at, "must specify a peer"))
			}
		case peer.IPBlock.CIDR == "":
			*missing = append(*missing, field.Required(at.Child("ipBlock", "cidr"), ""))
		default:
			errs = append(errs, validateIPBlock(peer.IPBlock, before, at.Child("ipBlock"))...)
		}
		if peer.IPBlock != nil && selected {
			errs = append(errs, field.Forbidden(at, "may not specify both ipBlock and another peer"))
		}
	}
	return errs
}

func validateIPBlock(b *networkingv1.IPBlock, before []string, path *field.Path) field.ErrorList {
	errs := legacyCIDR(b.CIDR, path.Child("cidr"), before...)
	_, outer, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	outerBits, _ := outer.Mask.Size()
	for i, except := range b.Except {
		at := path.Child("except").Index(i)
		errs = append(errs, legacyCIDR(except, at, before...)...)
		_, inner, err := netutils.ParseCIDRSloppy(except)
		if err != nil {
			continue
		}
		if bits, _ := inner.Mask.Size(); !outer.Contains(inner.IP) || outerBits >= bits {
			errs = append(errs, field.Invalid(at, except, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

func validatePolicyTypes(types []networkingv1.PolicyType, path *field.Path) (errs field.ErrorList) {
	if len(types) > 2 {
		return field.ErrorList{field.Invalid(path, &types, "may not specify more than two policyTypes")}
	}
	for i, t := range types {
		errs = append(errs, oneOf(t, path.Index(i), networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)...)
	}
	return errs
}

func networkPolicyWarnings(p *networkingv1.NetworkPolicy) (warnings []string) {
	add := func(peers []networkingv1.NetworkPolicyPeer, path *field.Path) {
		for i, peer := range peers {
			if peer.IPBlock == nil {
				continue
			}
			at := path.Index(i).Child("ipBlock")
			warnings = append(warnings, validation.GetWarningsForCIDR(at.Child("cidr"), peer.IPBlock.CIDR)...)
			for j, except := range peer.IPBlock.Except {
				warnings = append(warnings, validation.GetWarningsForCIDR(at.Child("except").Index(j), except)...)
			}
		}
	}
	for i, rule := range p.Spec.Ingress {
		add(rule.From, field.NewPath("spec", "ingress").Index(i).Child("from"))
	}
	for i, rule := range p.Spec.Egress {
		add(rule.To, field.NewPath("spec", "egress").Index(i).Child("to"))
	}
	return warnings
}
