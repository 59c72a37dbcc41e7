package kinds

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePodStatus checks what kubelet and the scheduler report.
func validatePodStatus(pod, old *corev1.Pod) field.ErrorList {
	path, s := field.NewPath("status"), &pod.Status
	errs := validatePodAnnotationUpdate(pod, old)
	errs = append(errs, validatePodConditions(s.Conditions, field.NewPath("metadata", "conditions"))...)
	errs = append(errs, nonNegative(s.ObservedGeneration, path.Child("observedGeneration"))...)
	if name := s.NominatedNodeName; name != "" && name != old.Status.NominatedNodeName {
		errs = append(errs, dnsSubdomain(name, path.Child("nominatedNodeName"))...)
	}
	errs = append(errs, immutable(s.QOSClass, old.Status.QOSClass, path.Child("qosClass"))...)
	if !mayRestartAll(&old.Spec) {
		errs = append(errs, stayTerminated(s.ContainerStatuses, old.Status.ContainerStatuses, old.Spec.Containers, old.Spec.RestartPolicy, path.Child("containerStatuses"))...)
		errs = append(errs, stayTerminated(s.InitContainerStatuses, old.Status.InitContainerStatuses, old.Spec.InitContainers, old.Spec.RestartPolicy, path.Child("initContainerStatuses"))...)
	}
	errs = append(errs, stayTerminated(s.EphemeralContainerStatuses, old.Status.EphemeralContainerStatuses, nil, corev1.RestartPolicyNever, path.Child("ephemeralContainerStatuses"))...)
	errs = append(errs, validateClaimStatuses(s.ResourceClaimStatuses, pod.Spec.ResourceClaims, path.Child("resourceClaimStatuses"))...)
	errs = append(errs, validatePodIPs(s, path)...)
	return append(errs, validateHostIPs(s, path)...)
}

// validatePodConditions checks the types of the conditions that are not Kubernetes' own.
func validatePodConditions(conditions []corev1.PodCondition, path *field.Path) (errs field.ErrorList) {
	for i, c := range conditions {
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized:
		default:
			errs = append(errs, qualifiedName(string(c.Type), path.Index(i).Child("Type"))...)
		}
		if c.ObservedGeneration < 0 {
			errs = append(errs, nonNegative(c.ObservedGeneration, path.Index(i).Child("observedGeneration"))...)
		}
	}
	return errs
}

// stayTerminated: a container that has ended and will not be restarted has ended for good.
func stayTerminated(list, old []corev1.ContainerStatus, containers []corev1.Container, policy corev1.RestartPolicy, path *field.Path) (errs field.ErrorList) {
	for i, before := range old {
		ended := before.State.Terminated
		if ended == nil || mayRestart(before.Name, ended.ExitCode, containers, policy) {
			continue
		}
		for _, now := range list {
			if now.Name == before.Name && now.State.Terminated == nil {
				errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
			}
		}
	}
	return errs
}

// mayRestart says whether a container that ended so may run again, by its own policy and rules or by its pod's.
func mayRestart(name string, code int32, containers []corev1.Container, policy corev1.RestartPolicy) bool {
	if i := slices.IndexFunc(containers, named(name)); i >= 0 {
		c := &containers[i]
		for _, rule := range c.RestartPolicyRules {
			if codes := rule.ExitCodes; codes != nil && slices.Contains(codes.Values, code) == (codes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
				return true
			}
		}
		if c.RestartPolicy != nil {
			policy = corev1.RestartPolicy(*c.RestartPolicy)
		}
	}
	return policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && code != 0
}

// mayRestartAll says whether the end of a container may start all containers of the pod again, whatever their own policies.
func mayRestartAll(spec *corev1.PodSpec) bool {
	for c := range allContainers(spec) {
		for _, rule := range c.RestartPolicyRules {
			if rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
				return true
			}
		}
	}
	return false
}

func validateClaimStatuses(statuses []corev1.PodResourceClaimStatus, claims []corev1.PodResourceClaim, path *field.Path) (errs field.ErrorList) {
	for i, s := range statuses {
		at := path.Index(i).Child("name")
		if !slices.ContainsFunc(claims, func(c corev1.PodResourceClaim) bool { return c.Name == s.Name }) {
			errs = append(errs, field.Invalid(at, s.Name, "must match the name of an entry in `spec.resourceClaims`"))
		}
		if slices.ContainsFunc(statuses[:i], func(o corev1.PodResourceClaimStatus) bool { return o.Name == s.Name }) {
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		if s.ResourceClaimName != nil {
			errs = append(errs, invalid(at, s.ResourceClaimName, validation.IsDNS1123Subdomain(*s.ResourceClaimName))...)
		}
	}
	return errs
}

func validatePodIPs(s *corev1.PodStatus, path *field.Path) field.ErrorList {
	var ips []string
	for _, ip := range s.PodIPs {
		ips = append(ips, ip.IP)
	}
	return validateIPs(ips, s.PodIPs, func(i int) any { return s.PodIPs[i] }, path.Child("podIPs"))
}

func validateHostIPs(s *corev1.PodStatus, path *field.Path) (errs field.ErrorList) {
	path = path.Child("hostIPs")
	if len(s.HostIPs) == 0 {
		return nil
	}
	if first := s.HostIPs[0].IP; s.HostIP != first {
		errs = append(errs, field.Invalid(path.Index(0).Child("ip"), first, "must be equal to `hostIP`"))
	}
	var ips []string
	for _, ip := range s.HostIPs {
		ips = append(ips, ip.IP)
	}
	return append(errs, validateIPs(ips, s.HostIPs, func(i int) any { return s.HostIPs[i] }, path)...)
}

// validateIPs checks a list of addresses: at most one of each family.
func validateIPs(ips []string, all any, shown func(i int) any, path *field.Path) (errs field.ErrorList) {
	for i, ip := range ips {
		errs = append(errs, validation.IsValidIPForLegacyField(path.Index(i), ip, true, nil)...)
	}
	if len(ips) < 2 {
		return errs
	}
	v4, v6, broken := 0, 0, error(nil)
	for _, ip := range ips {
		switch address, err := netip.ParseAddr(ip); {
		case err != nil:
			broken = fmt.Errorf("invalid IP: %q", ip)
		case address.Is4():
			v4++
		default:
			v6++
		}
	}
	if broken != nil {
		errs = append(errs, field.InternalError(path, fmt.Errorf("failed to check for dual stack with error:%v", broken)))
	}
	if v4 != 1 || v6 != 1 {
		errs = append(errs, field.Invalid(path, internalForm(all), "may specify no more than one IP for each IP family"))
	}
	for i, ip := range ips {
		if slices.Contains(ips[:i], ip) {
			errs = append(errs, field.Duplicate(path.Index(i), internalForm(shown(i))))
		}
	}
	return errs
}
