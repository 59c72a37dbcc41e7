package kinds

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// specCheck is the validation of one pod spec: what the checks of its parts need to know of the whole.
type specCheck struct {
	spec *corev1.PodSpec
	// meta is the pod's metadata; nil when the spec is in a template, which is checked less strictly.
	meta      *metav1.ObjectMeta
	hostUsers bool
	claims    resourceClaims
	valid     []*corev1.Volume // the volumes that can be mounted
}

// validatePodSpec checks a pod's spec, or with nil metadata that of a template. The order is Kubernetes'.
func validatePodSpec(spec *corev1.PodSpec, meta *metav1.ObjectMeta, path *field.Path) (errs field.ErrorList) {
	c := &specCheck{spec: spec, meta: meta, hostUsers: spec.HostUsers == nil || *spec.HostUsers, claims: claimNames(spec.ResourceClaims)}
	if spec.TerminationGracePeriodSeconds == nil {
		errs = append(errs, field.Required(path.Child("terminationGracePeriodSeconds"), ""))
	}
	errs = append(errs, c.volumes(path.Child("volumes"))...)
	errs = append(errs, validatePodClaims(spec.ResourceClaims, path.Child("resourceClaims"))...)
	errs = append(errs, c.containers(path.Child("containers"))...)
	errs = append(errs, c.initContainers(path.Child("initContainers"))...)
	errs = append(errs, c.ephemeralContainers(path.Child("ephemeralContainers"))...)
	errs = append(errs, c.podResources(path.Child("resources"))...)
	errs = append(errs, c.hostNetworkPorts(path.Child("containers"))...)
	errs = append(errs, oneOfRequired(spec.RestartPolicy, path.Child("restartPolicy"),
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, oneOfRequired(spec.DNSPolicy, path.Child("dnsPolicy"),
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	errs = append(errs, validLabels(spec.NodeSelector, path.Child("nodeSelector"))...)
	errs = append(errs, c.podSecurity(path.Child("securityContext"))...)
	if share := spec.ShareProcessNamespace; share != nil && *share && spec.HostPID {
		errs = append(errs, field.Invalid(path.Child("shareProcessNamespace"), *share, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, validateAffinity(spec.Affinity, path.Child("affinity"))...)
	errs = append(errs, validateDNSConfig(spec.DNSConfig, spec.DNSPolicy, path.Child("dnsConfig"))...)
	errs = append(errs, validateGates(spec, path)...)
	errs = append(errs, validateTopologySpread(spec.TopologySpreadConstraints, path.Child("topologySpreadConstraints"))...)
	errs = append(errs, c.windowsHostProcess(path)...)
	errs = append(errs, c.userNamespace(path)...)
	errs = append(errs, validateIdentity(spec, path)...)
	errs = append(errs, validateTolerations(spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, validateHostAliases(spec.HostAliases, path.Child("hostAliases"))...)
	errs = append(errs, validateClasses(spec, path)...)
	errs = append(errs, c.operatingSystem(path)...)
	return append(errs, validateHostnameOverride(spec, path)...)
}

// oneOfRequired checks a value that must be given and among those allowed.
func oneOfRequired[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return oneOf(value, path, allowed...)
}

// validateIdentity checks who and where the pod is, and for how long.
func validateIdentity(spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	if spec.ServiceAccountName != "" {
		errs = append(errs, dnsSubdomain(spec.ServiceAccountName, path.Child("serviceAccountName"))...)
	}
	if spec.NodeName != "" {
		errs = append(errs, dnsSubdomain(spec.NodeName, path.Child("nodeName"))...)
	}
	if deadline := spec.ActiveDeadlineSeconds; deadline != nil && (*deadline < 1 || *deadline > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *deadline, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	if spec.Hostname != "" {
		errs = append(errs, dnsLabel(spec.Hostname, path.Child("hostname"))...)
	}
	if spec.Subdomain != "" {
		errs = append(errs, dnsLabel(spec.Subdomain, path.Child("subdomain"))...)
	}
	return errs
}

// validateHostnameOverride checks a host name that the pod alone sees, and that excludes others.
func validateHostnameOverride(spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	const longest = 64
	if spec.HostnameOverride == nil || *spec.HostnameOverride == "" {
		return nil
	}
	name, at := *spec.HostnameOverride, path.Child("hostnameOverride")
	errs = dnsSubdomain(name, at)
	if len(name) > longest {
		errs = append(errs, field.TooLong(at, "", longest))
	}
	if spec.HostNetwork {
		errs = append(errs, field.Forbidden(at, "may not be specified when hostNetwork is true"))
	}
	if spec.SetHostnameAsFQDN != nil && *spec.SetHostnameAsFQDN {
		errs = append(errs, field.Forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
	}
	return errs
}

// validateClasses checks the names of the classes that a pod belongs to, and what they add.
func validateClasses(spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	if spec.PriorityClassName != "" {
		errs = append(errs, dnsSubdomain(spec.PriorityClassName, path.Child("priorityClassName"))...)
	}
	if spec.RuntimeClassName != nil {
		errs = append(errs, dnsSubdomain(*spec.RuntimeClassName, path.Child("runtimeClassName"))...)
	}
	if spec.PreemptionPolicy != nil {
		errs = append(errs, oneOfRequired(*spec.PreemptionPolicy, path.Child("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	if spec.Overhead != nil {
		errs = append(errs, validateResources(&corev1.ResourceRequirements{Limits: spec.Overhead}, nil, path.Child("overhead"))...)
	}
	return errs
}

// hostNetworkPorts: a container on the node's network is reached on its own port, so the two cannot differ. In a template
// the host port may be left out, as its pods get it by default.
func (c *specCheck) hostNetworkPorts(path *field.Path) (errs field.ErrorList) {
	if !c.spec.HostNetwork {
		return nil
	}
	for i, container := range c.spec.Containers {
		for j, port := range container.Ports {
			if (c.meta != nil || port.HostPort != 0) && port.HostPort != port.ContainerPort {
				errs = append(errs, field.Invalid(path.Index(i).Child("ports").Index(j).Child("hostPort"), port.HostPort,
					"must match `containerPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

func validateDNSConfig(config *corev1.PodDNSConfig, policy corev1.DNSPolicy, path *field.Path) (errs field.ErrorList) {
	const maxNameservers, maxSearches, maxSearchChars = 3, 32, 2048
	if policy == corev1.DNSNone {
		if config == nil {
			return field.ErrorList{field.Required(path, "must provide `dnsConfig` when `dnsPolicy` is None")}
		}
		if len(config.Nameservers) == 0 {
			return field.ErrorList{field.Required(path.Child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None")}
		}
	}
	if config == nil {
		return nil
	}
	servers, searches := path.Child("nameservers"), path.Child("searches")
	if len(config.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(servers, config.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, server := range config.Nameservers {
		errs = append(errs, validation.IsValidIPForLegacyField(servers.Index(i), server, true, nil)...)
	}
	if len(config.Searches) > maxSearches {
		errs = append(errs, field.Invalid(searches, config.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearches)))
	}
	if len(strings.Join(config.Searches, " ")) > maxSearchChars {
		errs = append(errs, field.Invalid(searches, config.Searches,
			fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchChars)))
	}
	for i, search := range config.Searches {
		if search != "." {
			search = strings.TrimSuffix(search, ".")
			errs = append(errs, invalid(searches.Index(i), search, validation.IsDNS1123SubdomainWithUnderscore(search))...)
		}
	}
	for i, option := range config.Options {
		errs = append(errs, required(option.Name, path.Child("options").Index(i), "must not be empty")...)
	}
	return errs
}

// validateGates checks what a pod waits for: before it is scheduled, and before it counts as ready.
func validateGates(spec *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	for i, gate := range spec.ReadinessGates {
		errs = append(errs, qualifiedName(string(gate.ConditionType), path.Child("readinessGates").Index(i).Child("conditionType"))...)
	}
	for i, gate := range spec.SchedulingGates {
		at := path.Child("schedulingGates").Index(i)
		errs = append(errs, qualifiedName(gate.Name, at)...)
		for _, before := range spec.SchedulingGates[:i] {
			if before.Name == gate.Name {
				errs = append(errs, field.Duplicate(at, gate.Name))
				break
			}
		}
	}
	return errs
}

func validateHostAliases(aliases []corev1.HostAlias, path *field.Path) (errs field.ErrorList) {
	for i, alias := range aliases {
		at := path.Index(i)
		errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), alias.IP, true, nil)...)
		for j, name := range alias.Hostnames {
			errs = append(errs, dnsSubdomain(name, at.Child("hostnames").Index(j))...)
		}
	}
	return errs
}

func validateTolerations(tolerations []corev1.Toleration, path *field.Path) (errs field.ErrorList) {
	for i, t := range tolerations {
		at := path.Index(i)
		operator, effect := at.Child("operator"), at.Child("effect")
		if t.Key != "" {
			errs = append(errs, invalid(at.Child("key"), t.Key, validation.IsQualifiedName(t.Key))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(operator, t.Operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(effect, t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			if messages := validation.IsValidLabelValue(t.Value); len(messages) > 0 {
				errs = append(errs, field.Invalid(operator, t.Value, strings.Join(messages, ";")))
			}
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(operator, t.Value, "value must be empty when `operator` is 'Exists'"))
			}
		default:
			errs = append(errs, oneOf(t.Operator, operator, corev1.TolerationOpEqual, corev1.TolerationOpExists)...)
		}
		if t.Effect != "" {
			errs = append(errs, validateTaintEffect(t.Effect, effect)...)
		}
	}
	return errs
}

// validateTaintEffect checks what a taint does, in a toleration or on a node.
func validateTaintEffect(effect corev1.TaintEffect, path *field.Path) field.ErrorList {
	return oneOf(effect, path, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
}

// claimNames are the claims that containers may refer to.
func claimNames(claims []corev1.PodResourceClaim) resourceClaims {
	if len(claims) == 0 {
		return nil
	}
	names := resourceClaims{}
	for _, claim := range claims {
		names[claim.Name] = true
	}
	delete(names, "")
	return names
}

func validatePodClaims(claims []corev1.PodResourceClaim, path *field.Path) (errs field.ErrorList) {
	seen := map[string]bool{}
	for i, claim := range claims {
		at := path.Index(i)
		switch {
		case claim.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case seen[claim.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), claim.Name))
		default:
			errs = append(errs, dnsLabel(claim.Name, at.Child("name"))...)
			seen[claim.Name] = true
		}
		if claim.ResourceClaimName != nil && claim.ResourceClaimTemplateName != nil {
			errs = append(errs, field.Invalid(at, internalForm(claim), "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		}
		if claim.ResourceClaimName == nil && claim.ResourceClaimTemplateName == nil {
			errs = append(errs, field.Invalid(at, internalForm(claim), "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
		if claim.ResourceClaimName != nil {
			errs = append(errs, dnsSubdomain(*claim.ResourceClaimName, at.Child("resourceClaimName"))...)
		}
		if claim.ResourceClaimTemplateName != nil {
			errs = append(errs, dnsSubdomain(*claim.ResourceClaimTemplateName, at.Child("resourceClaimTemplateName"))...)
		}
	}
	return errs
}
