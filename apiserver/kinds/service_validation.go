package kinds

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateServiceCreate(s *corev1.Service) field.ErrorList {
	if errs := familyErrors(s, nil); len(errs) > 0 {
		return errs
	}
	if errs := nodePortsTakenTwice(s); len(errs) > 0 {
		return errs
	}
	return validateService(s, nil)
}

func validateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	if errs := familyErrors(s, old); len(errs) > 0 {
		return errs
	}
	errs := validateClusterIPChange(s, old)
	errs = append(errs, validateFamilyChange(s, old)...)
	errs = append(errs, validateLoadBalancerClass(s, old)...)
	if needsHealthCheck(s) && needsHealthCheck(old) && s.Spec.HealthCheckNodePort != old.Spec.HealthCheckNodePort {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "healthCheckNodePort"), "field is immutable"))
	}
	return append(errs, validateService(s, old)...)
}

func validateService(s, old *corev1.Service) field.ErrorList {
	path, spec := field.NewPath("spec"), &s.Spec
	errs := validateTopologyAnnotations(s)
	if len(spec.Ports) == 0 && !headless(s) && spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(path.Child("ports"), ""))
	}
	errs = append(errs, validateServiceType(s, path)...)
	names := map[string]bool{}
	for i := range spec.Ports {
		errs = append(errs, validateServicePort(&spec.Ports[i], len(spec.Ports) > 1, names, path.Child("ports").Index(i))...)
	}
	errs = append(errs, metavalidation.ValidateLabels(spec.Selector, path.Child("selector"))...)
	errs = append(errs, validateSessionAffinity(spec, path)...)
	errs = append(errs, validateClusterIPs(s, old)...)
	errs = append(errs, validateExternalIPs(s, old, path.Child("externalIPs"))...)
	if errs2 := required(string(spec.Type), path.Child("type"), ""); errs2 != nil {
		errs = append(errs, errs2...)
	} else {
		errs = append(errs, oneOf(spec.Type, path.Child("type"), corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
			corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)...)
	}
	errs = append(errs, validateServicePorts(spec, path.Child("ports"))...)
	errs = append(errs, validateSourceRanges(s, old, path)...)
	if spec.AllocateLoadBalancerNodePorts != nil && spec.Type != corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Forbidden(path.Child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'"))
	}
	errs = append(errs, validateLoadBalancerClass(s, nil)...)
	errs = append(errs, validateExternalTraffic(s, path)...)
	if policy := spec.InternalTrafficPolicy; policy != nil {
		errs = append(errs, oneOf(*policy, path.Child("internalTrafficPolicy"), corev1.ServiceInternalTrafficPolicyCluster,
			corev1.ServiceInternalTrafficPolicyLocal)...)
	}
	if spec.TrafficDistribution != nil {
		errs = append(errs, oneOf(*spec.TrafficDistribution, path.Child("trafficDistribution"), corev1.ServiceTrafficDistributionPreferClose,
			corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode)...)
	}
	return errs
}

func validateTopologyAnnotations(s *corev1.Service) field.ErrorList {
	hints, hintsSet := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	mode, modeSet := s.Annotations[corev1.AnnotationTopologyMode]
	if !hintsSet || !modeSet || hints == mode {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key(corev1.AnnotationTopologyMode), mode,
		fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints))}
}

func validateServiceType(s *corev1.Service, path *field.Path) (errs field.ErrorList) {
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if headless(s) {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), corev1.ClusterIPNone,
				fmt.Sprintf("may not be set to 'None' for %s services", s.Spec.Type)))
		}
	case corev1.ServiceTypeExternalName:
		if len(s.Spec.ClusterIPs) > 0 {
			errs = append(errs, field.Forbidden(path.Child("clusterIPs"), "may not be set for ExternalName services"))
		}
		if len(s.Spec.IPFamilies) > 0 {
			errs = append(errs, field.Forbidden(path.Child("ipFamilies"), "may not be set for ExternalName services"))
		}
		if s.Spec.IPFamilyPolicy != nil {
			errs = append(errs, field.Forbidden(path.Child("ipFamilyPolicy"), "may not be set for ExternalName services"))
		}
		// A trailing dot says that the name is complete.
		errs = append(errs, objectName(strings.TrimSuffix(s.Spec.ExternalName, "."), path.Child("externalName"))...)
	}
	return errs
}

func validateServicePort(p *corev1.ServicePort, named bool, names map[string]bool, path *field.Path) (errs field.ErrorList) {
	switch {
	case p.Name != "":
		errs = dnsLabel(p.Name, path.Child("name"))
		if names[p.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), p.Name))
		}
		names[p.Name] = true
	case named:
		errs = field.ErrorList{field.Required(path.Child("name"), "")}
	}
	errs = append(errs, portNumber(p.Port, path.Child("port"))...)
	errs = append(errs, protocol(p.Protocol, path.Child("protocol"))...)
	errs = append(errs, portNumberOrName(p.TargetPort, path.Child("targetPort"))...)
	if p.AppProtocol != nil {
		errs = append(errs, qualifiedName(*p.AppProtocol, path.Child("appProtocol"))...)
	}
	return errs
}

// protocol checks a transport protocol, which defaults have filled in.
func protocol(p corev1.Protocol, path *field.Path) field.ErrorList {
	if p == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return oneOf(p, path, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}

// validateServicePorts checks the ports against the type and against each other.
func validateServicePorts(spec *corev1.ServiceSpec, path *field.Path) (errs field.ErrorList) {
	if spec.Type == corev1.ServiceTypeClusterIP {
		for i, p := range spec.Ports {
			if p.NodePort != 0 {
				errs = append(errs, field.Forbidden(path.Index(i).Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
			}
		}
	}
	seen := map[corev1.ServicePort]bool{}
	for i, p := range spec.Ports {
		key := corev1.ServicePort{Protocol: p.Protocol, NodePort: p.NodePort}
		if p.NodePort != 0 && seen[key] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("nodePort"), p.NodePort))
		}
		seen[key] = true
	}
	clear(seen)
	for i, p := range spec.Ports {
		key := corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}
		if seen[key] {
			errs = append(errs, field.Duplicate(path.Index(i), internalForm(key)))
		}
		seen[key] = true
	}
	return errs
}

// nodePortsTakenTwice finds node ports that two ports of one service ask for. Kubernetes takes node ports from its
// allocator before it validates, so the second port gets the allocator's answer.
func nodePortsTakenTwice(s *corev1.Service) field.ErrorList {
	if !needsNodePort(s) {
		return nil
	}
	owner := map[int32]int32{}
	for i, p := range s.Spec.Ports {
		if port, taken := owner[p.NodePort]; p.NodePort != 0 && taken && port != p.Port {
			return field.ErrorList{field.Invalid(field.NewPath("spec", "ports").Index(i).Child("nodePort"), p.NodePort,
				"provided port is already allocated")}
		}
		owner[p.NodePort] = p.Port
	}
	return nil
}

func validateSessionAffinity(spec *corev1.ServiceSpec, path *field.Path) (errs field.ErrorList) {
	errs = oneOf(spec.SessionAffinity, path.Child("sessionAffinity"), corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	if spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return errs
	}
	timeout := *spec.SessionAffinityConfig.ClientIP.TimeoutSeconds
	if timeout <= 0 || timeout > 86400 {
		errs = append(errs, field.Invalid(path.Child("sessionAffinityConfig", "clientIP", "timeoutSeconds"), timeout,
			fmt.Sprintf("must be greater than 0 and less than %d", 86400)))
	}
	return errs
}

func validateExternalIPs(s, old *corev1.Service, path *field.Path) (errs field.ErrorList) {
	var before []string
	if old != nil {
		before = old.Spec.ExternalIPs
	}
	for i, ip := range s.Spec.ExternalIPs {
		bad := legacyIP(ip, path.Index(i), before...)
		if len(bad) == 0 {
			bad = ordinaryIP(ip, path.Index(i))
		}
		errs = append(errs, bad...)
	}
	return errs
}

// validateSourceRanges checks who may use a load balancer. The field's name in the messages is Kubernetes' own mistake.
func validateSourceRanges(s, old *corev1.Service, path *field.Path) (errs field.ErrorList) {
	path = path.Child("LoadBalancerSourceRanges")
	ranges := s.Spec.LoadBalancerSourceRanges
	annotation, annotated := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	if len(ranges) == 0 && !annotated {
		return nil
	}
	at := path.Index
	if len(ranges) == 0 {
		path = field.NewPath("metadata", "annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
		at = func(int) *field.Path { return path }
		if annotation = strings.TrimSpace(annotation); annotation != "" {
			ranges = strings.Split(annotation, ",")
		}
	}
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Forbidden(path, "may only be used when `type` is 'LoadBalancer'"))
	}
	var before []string
	if old != nil {
		before = old.Spec.LoadBalancerSourceRanges
	}
	for i, r := range ranges {
		errs = append(errs, legacyCIDR(strings.TrimSpace(r), at(i), before...)...)
	}
	return errs
}

func validateLoadBalancerClass(s, old *corev1.Service) (errs field.ErrorList) {
	path, class := field.NewPath("spec", "loadBalancerClass"), s.Spec.LoadBalancerClass
	balanced := s.Spec.Type == corev1.ServiceTypeLoadBalancer
	if old != nil && balanced && old.Spec.Type == s.Spec.Type && !equality.Semantic.DeepEqual(class, old.Spec.LoadBalancerClass) {
		errs = append(errs, field.Invalid(path, class, "may not change once set"))
	}
	switch {
	case class != nil && balanced:
		errs = append(errs, qualifiedName(*class, path)...)
	case class != nil:
		errs = append(errs, field.Forbidden(path, "may only be used when `type` is 'LoadBalancer'"))
	}
	return errs
}

// validateExternalTraffic checks what concerns traffic from outside. The health check's port may be missing: unlike
// Kubernetes, kubette validates before it allocates one.
func validateExternalTraffic(s *corev1.Service, path *field.Path) (errs field.ErrorList) {
	policy, at := s.Spec.ExternalTrafficPolicy, path.Child("externalTrafficPolicy")
	switch {
	case externallyAccessible(s):
		errs = oneOf(policy, at, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	case policy != "":
		errs = field.ErrorList{field.Invalid(at, policy, "may only be set for externally-accessible services")}
	}
	port, at := s.Spec.HealthCheckNodePort, path.Child("healthCheckNodePort")
	switch {
	case port != 0 && needsHealthCheck(s):
		errs = append(errs, portNumber(port, at)...)
	case port != 0:
		errs = append(errs, field.Invalid(at, port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	return errs
}

// validateClusterIPChange: an address stays for the life of a service, until it becomes an ExternalName.
func validateClusterIPChange(s, old *corev1.Service) (errs field.ErrorList) {
	if !needsClusterIP(s) || !needsClusterIP(old) || headless(s) && headless(old) {
		return nil
	}
	now, before, path := s.Spec.ClusterIPs, old.Spec.ClusterIPs, field.NewPath("spec", "clusterIPs")
	changed := func(i int) {
		if now[i] != before[i] {
			errs = append(errs, field.Invalid(path.Index(i), now, "may not change once set"))
		}
	}
	switch {
	case len(now) == len(before):
		for i := range now {
			changed(i)
		}
	case len(now) == 0:
		errs = append(errs, field.Invalid(path.Index(0), now, "primary clusterIP can not be unset"))
	case len(before) > 0:
		changed(0)
		if len(now) == 1 && !singleStack(s) {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), s.Spec.IPFamilyPolicy,
				"must be set to 'SingleStack' when releasing the secondary clusterIP"))
		}
	}
	return errs
}

func validateFamilyChange(s, old *corev1.Service) (errs field.ErrorList) {
	if !needsClusterIP(s) || !needsClusterIP(old) || headless(s) || headless(old) {
		return nil
	}
	now, before, path := s.Spec.IPFamilies, old.Spec.IPFamilies, field.NewPath("spec", "ipFamilies").Index(0)
	changed := func(i int) {
		if now[i] != before[i] {
			errs = append(errs, field.Invalid(path, now, "may not change once set"))
		}
	}
	switch {
	case len(now) == len(before):
		for i := range now {
			changed(i)
		}
	case len(now) == 0:
		errs = append(errs, field.Invalid(path, now, "primary ipFamily can not be unset"))
	case len(before) > 0:
		changed(0)
		if len(now) == 1 && !singleStack(s) {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), s.Spec.IPFamilyPolicy,
				"must be set to 'SingleStack' when releasing the secondary ipFamily"))
		}
	}
	return errs
}

func singleStack(s *corev1.Service) bool {
	return s.Spec.IPFamilyPolicy != nil && *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
}

func validateServiceStatus(s, old *corev1.Service) field.ErrorList {
	path := field.NewPath("status", "loadBalancer", "ingress")
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) > 0 {
		return field.ErrorList{field.Forbidden(path, "may only be used when `spec.type` is LoadBalancer")}
	}
	var before []string
	for _, i := range old.Status.LoadBalancer.Ingress {
		before = append(before, i.IP)
	}
	var errs field.ErrorList
	for i, ingress := range s.Status.LoadBalancer.Ingress {
		at := path.Index(i)
		errs = append(errs, balancerAddress(ingress.IP, ingress.Hostname, at, before, func() field.ErrorList {
			return validateIPMode(ingress.IP, ingress.IPMode, at.Child("ipMode"))
		})...)
	}
	return errs
}

func validateIPMode(ip string, mode *corev1.LoadBalancerIPMode, path *field.Path) field.ErrorList {
	switch {
	case mode == nil && ip != "":
		return field.ErrorList{field.Required(path, "must be specified when `ip` is set")}
	case mode == nil:
		return nil
	case ip == "":
		return field.ErrorList{field.Forbidden(path, "may not be specified when `ip` is not set")}
	}
	return oneOf(*mode, path, corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP)
}

func serviceWarnings(s *corev1.Service) (warnings []string) {
	path, spec := field.NewPath("spec"), &s.Spec
	if _, ok := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; ok {
		warnings = append(warnings, fmt.Sprintf("annotation %s is deprecated, please use %s instead",
			corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode))
	}
	if !headless(s) {
		for i, ip := range spec.ClusterIPs {
			warnings = append(warnings, validation.GetWarningsForIP(path.Child("clusterIPs").Index(i), ip)...)
		}
	} else if spec.Type == corev1.ServiceTypeClusterIP {
		if spec.LoadBalancerIP != "" {
			warnings = append(warnings, "spec.loadBalancerIP is ignored for headless services")
		}
		if len(spec.ExternalIPs) > 0 {
			warnings = append(warnings, "spec.externalIPs is ignored for headless services")
		}
		if spec.SessionAffinity != corev1.ServiceAffinityNone {
			warnings = append(warnings, "spec.SessionAffinity is ignored for headless services")
		}
	}
	for i, ip := range spec.ExternalIPs {
		warnings = append(warnings, validation.GetWarningsForIP(path.Child("externalIPs").Index(i), ip)...)
	}
	if len(spec.ExternalIPs) > 0 && !headless(s) && spec.Type != corev1.ServiceTypeExternalName {
		warnings = append(warnings, "spec.externalIPs is deprecated and may no longer be implemented in some clusters")
	}
	if spec.LoadBalancerIP != "" {
		warnings = append(warnings, validation.GetWarningsForIP(path.Child("loadBalancerIP"), spec.LoadBalancerIP)...)
	}
	for i, cidr := range spec.LoadBalancerSourceRanges {
		warnings = append(warnings, validation.GetWarningsForCIDR(path.Child("loadBalancerSourceRanges").Index(i), cidr)...)
	}
	if spec.Type == corev1.ServiceTypeExternalName && len(spec.ExternalIPs) > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.externalIPs is ignored when spec.type is %q", corev1.ServiceTypeExternalName))
	}
	if spec.Type != corev1.ServiceTypeExternalName && spec.ExternalName != "" {
		warnings = append(warnings, fmt.Sprintf("spec.externalName is ignored when spec.type is not %q", corev1.ServiceTypeExternalName))
	}
	if spec.TrafficDistribution != nil && *spec.TrafficDistribution == corev1.ServiceTrafficDistributionPreferClose {
		warnings = append(warnings, fmt.Sprintf("spec.trafficDistribution: %q is deprecated; use %q",
			corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone))
	}
	return warnings
}
