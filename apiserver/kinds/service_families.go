package kinds

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// Kubernetes can give a service an IPv4 and an IPv6 address. kubette's clusters have IPv4 service addresses only, so what
// follows are the answers of a cluster that is not dual-stack: PreferDualStack gets one address, RequireDualStack is
// refused, and only services without address and selector may name both families.

// inferFamilies fills in spec.ipFamilyPolicy and spec.ipFamilies.
func inferFamilies(s, old *corev1.Service) {
	if !needsClusterIP(s) || old != nil && keepsPreferredFamilies(s, old) {
		return
	}
	if len(validateClusterIPs(s, old)) > 0 {
		return
	}
	setDefaultPointer(&s.Spec.IPFamilyPolicy, impliedPolicy(s, old))
	if old != nil && *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		s.Spec.ClusterIPs = s.Spec.ClusterIPs[:min(len(s.Spec.ClusterIPs), 1)]
		s.Spec.IPFamilies = s.Spec.IPFamilies[:min(len(s.Spec.IPFamilies), 1)]
	}
	if len(familyErrors(s, old)) > 0 {
		return
	}
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if anyFamily(s) && len(s.Spec.IPFamilies) == 1 && *s.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		other := corev1.IPv6Protocol
		if s.Spec.IPFamilies[0] == corev1.IPv6Protocol {
			other = corev1.IPv4Protocol
		}
		s.Spec.IPFamilies = append(s.Spec.IPFamilies, other)
	}
}

// keepsPreferredFamilies: a service that prefers both families is not changed when the cluster's families have changed.
func keepsPreferredFamilies(s, old *corev1.Service) bool {
	prefers := func(s *corev1.Service) bool {
		return s.Spec.IPFamilyPolicy != nil && *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyPreferDualStack
	}
	return old.Spec.Type != corev1.ServiceTypeExternalName && prefers(s) && prefers(old) &&
		len(s.Spec.ClusterIPs) == len(old.Spec.ClusterIPs) && len(s.Spec.IPFamilies) == len(old.Spec.IPFamilies)
}

// impliedPolicy is the policy of a service that names none: what it had, or else a single family. Services without address
// and selector, whose endpoints somebody else writes, may have endpoints of both.
func impliedPolicy(s, old *corev1.Service) corev1.IPFamilyPolicy {
	switch {
	case old != nil && old.Spec.IPFamilyPolicy != nil:
		return *old.Spec.IPFamilyPolicy
	case anyFamily(s):
		return corev1.IPFamilyPolicyRequireDualStack
	}
	return corev1.IPFamilyPolicySingleStack
}

// anyFamily says whether the service may name families that the cluster has no addresses of.
func anyFamily(s *corev1.Service) bool {
	return s.Spec.ClusterIP == corev1.ClusterIPNone && len(s.Spec.Selector) == 0
}

// familyErrors checks addresses and families against each other and against the cluster's. Kubernetes does so before it
// looks at anything else of a service, and reports nothing else when there is something to report.
func familyErrors(s, old *corev1.Service) field.ErrorList {
	if !needsClusterIP(s) || old != nil && keepsPreferredFamilies(s, old) {
		return nil
	}
	if errs := validateClusterIPs(s, old); len(errs) > 0 {
		return errs
	}
	path, spec := field.NewPath("spec"), &s.Spec
	single := spec.IPFamilyPolicy != nil && *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	errs := releasedFamilies(s, old, single)
	if single && len(spec.ClusterIPs) == 2 {
		errs = append(errs, field.Invalid(path.Child("ipFamilyPolicy"), spec.IPFamilyPolicy,
			"must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"))
	}
	if single && len(spec.IPFamilies) == 2 {
		errs = append(errs, field.Invalid(path.Child("ipFamilyPolicy"), spec.IPFamilyPolicy,
			"must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"))
	}
	for i, ip := range spec.ClusterIPs {
		if i >= len(spec.IPFamilies) && netutils.IsIPv6String(ip) {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(i), spec.ClusterIPs,
				fmt.Sprintf("%s is not configured on this cluster", corev1.IPv6Protocol)))
		}
	}
	if len(errs) > 0 || anyFamily(s) {
		return errs
	}
	if spec.IPFamilyPolicy != nil && *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		errs = append(errs, field.Invalid(path.Child("ipFamilyPolicy"), spec.IPFamilyPolicy,
			"this cluster is not configured for dual-stack services"))
	}
	for i, family := range spec.IPFamilies {
		if family != corev1.IPv4Protocol {
			errs = append(errs, field.Invalid(path.Child("ipFamilies").Index(i), family, "not configured on this cluster"))
		}
	}
	return errs
}

// releasedFamilies: giving up an address or a family needs the policy to say so.
func releasedFamilies(s, old *corev1.Service, single bool) (errs field.ErrorList) {
	if old == nil || single {
		return nil
	}
	path := field.NewPath("spec", "ipFamilyPolicy")
	if 0 < len(s.Spec.ClusterIPs) && len(s.Spec.ClusterIPs) < len(old.Spec.ClusterIPs) {
		errs = append(errs, field.Invalid(path, s.Spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"))
	}
	if 0 < len(s.Spec.IPFamilies) && len(s.Spec.IPFamilies) < len(old.Spec.IPFamilies) {
		errs = append(errs, field.Invalid(path, s.Spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"))
	}
	return errs
}

// validateClusterIPs checks the addresses and families of a service for themselves and against each other.
func validateClusterIPs(s, old *corev1.Service) field.ErrorList {
	if !needsClusterIP(s) {
		return nil
	}
	path, spec := field.NewPath("spec"), &s.Spec
	ips := path.Child("clusterIPs")
	var errs field.ErrorList
	switch {
	case spec.ClusterIP != "" && len(spec.ClusterIPs) == 0:
		errs = append(errs, field.Required(ips, ""))
	case spec.ClusterIP != "" && spec.ClusterIPs[0] != spec.ClusterIP:
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "first value must match `clusterIP`"))
	case spec.ClusterIP == "" && len(spec.ClusterIPs) != 0:
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "must be empty when `clusterIP` is not specified"))
	}
	errs = append(errs, validateFamilies(spec, path)...)
	broken := false
	for i, ip := range spec.ClusterIPs {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(spec.ClusterIPs) > 1 {
				broken = true
				errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		bad := legacyIP(ip, ips.Index(i), clusterIPsOf(old)...)
		broken = broken || len(bad) > 0
		errs = append(errs, bad...)
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	if broken {
		return errs
	}
	if len(spec.ClusterIPs) > 1 {
		if dual, err := netutils.IsDualStackIPStrings(spec.ClusterIPs); err != nil {
			errs = append(errs, field.InternalError(ips, fmt.Errorf("failed to check for dual stack with error:%v", err)))
		} else if !dual {
			errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "may specify no more than one IP for each IP family"))
		}
	}
	return append(errs, familiesMatch(s, ips)...)
}

func clusterIPsOf(s *corev1.Service) []string {
	if s == nil {
		return nil
	}
	return s.Spec.ClusterIPs
}

func validateFamilies(spec *corev1.ServiceSpec, path *field.Path) (errs field.ErrorList) {
	seen := map[corev1.IPFamily]bool{}
	for i, family := range spec.IPFamilies {
		at := path.Child("ipFamilies").Index(i)
		errs = append(errs, oneOf(family, at, corev1.IPv4Protocol, corev1.IPv6Protocol)...)
		if seen[family] {
			errs = append(errs, field.Duplicate(at, family))
		}
		seen[family] = true
	}
	if spec.IPFamilyPolicy != nil {
		errs = append(errs, oneOf(*spec.IPFamilyPolicy, path.Child("ipFamilyPolicy"), corev1.IPFamilyPolicyPreferDualStack,
			corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)...)
	}
	return errs
}

func familiesMatch(s *corev1.Service, path *field.Path) (errs field.ErrorList) {
	if headless(s) {
		return nil
	}
	for i, ip := range s.Spec.ClusterIPs {
		if i >= len(s.Spec.IPFamilies) {
			break
		}
		switch family := s.Spec.IPFamilies[i]; {
		case family == corev1.IPv4Protocol && netutils.IsIPv6String(ip):
			errs = append(errs, field.Invalid(path.Index(i), ip, fmt.Sprintf("expected an IPv4 value as indicated by `ipFamilies[%v]`", i)))
		case family == corev1.IPv6Protocol && !netutils.IsIPv6String(ip):
			errs = append(errs, field.Invalid(path.Index(i), ip, fmt.Sprintf("expected an IPv6 value as indicated by `ipFamilies[%v]`", i)))
		}
	}
	return errs
}
