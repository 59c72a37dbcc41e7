package kinds

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

func ingress() *Kind {
	return Row[*networkingv1.Ingress]{
		Base: Kind{
			Group: "networking.k8s.io", Version: "v1", Kind: "Ingress", Plural: "ingresses", Singular: "ingress",
			ShortNames: []string{"ing"}, Namespaced: true, UnconditionalUpdate: true,
		},
		New:     func() *networkingv1.Ingress { return &networkingv1.Ingress{} },
		NewList: func() runtime.Object { return &networkingv1.IngressList{} },
		PrepareForCreate: func(i *networkingv1.Ingress) {
			i.Generation, i.Status = 1, networkingv1.IngressStatus{}
		},
		PrepareForUpdate: func(i, old *networkingv1.Ingress) {
			i.Status = old.Status
			raiseGeneration(i, old, i.Spec, old.Spec)
		},
		Validate:       validateIngressCreate,
		ValidateUpdate: validateIngress,
		Warnings:       ingressWarnings,
		HasStatus:      true,
		PrepareStatus:  func(i, old *networkingv1.Ingress) { i.Spec = old.Spec },
		ValidateStatus: validateIngressStatus,
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Class", "string", "The name of the IngressClass resource that should be used for additional configuration"),
			column("Hosts", "string", "Hosts that incoming requests are matched against before the ingress rule"),
			column("Address", "string", "Address is a list containing ingress points for the load-balancer"),
			column("Ports", "string", "Ports of TLS configurations that open"),
			ageColumn(),
		},
		Cells: ingressCells,
	}.Kind()
}

const ingressClassAnnotation = "kubernetes.io/ingress.class"

func validateIngressCreate(i *networkingv1.Ingress) field.ErrorList {
	errs := validateIngress(i, nil)
	if class, ok := i.Annotations[ingressClassAnnotation]; ok && i.Spec.IngressClassName != nil && class != *i.Spec.IngressClassName {
		errs = append(errs, field.Invalid(field.NewPath("annotations").Child(ingressClassAnnotation), class,
			"must match `ingressClassName` when both are specified"))
	}
	return errs
}

func validateIngress(i, _ *networkingv1.Ingress) (errs field.ErrorList) {
	path, spec := field.NewPath("spec"), &i.Spec
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(path, spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if spec.DefaultBackend != nil {
		errs = append(errs, validateIngressBackend(spec.DefaultBackend, path.Child("defaultBackend"))...)
	}
	for i := range spec.Rules {
		errs = append(errs, validateIngressRule(&spec.Rules[i], path.Child("rules").Index(i))...)
	}
	for i, tls := range spec.TLS {
		at := path.Child("tls").Index(i)
		for j, host := range tls.Hosts {
			errs = append(errs, hostOrWildcard(host, at.Child("hosts").Index(j))...)
		}
		if tls.SecretName != "" {
			errs = append(errs, dnsSubdomain(tls.SecretName, at.Child("secretName"))...)
		}
	}
	if spec.IngressClassName != nil {
		errs = append(errs, dnsSubdomain(*spec.IngressClassName, path.Child("ingressClassName"))...)
	}
	return errs
}

func hostOrWildcard(host string, path *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return invalid(path, host, validation.IsWildcardDNS1123Subdomain(host))
	}
	return dnsSubdomain(host, path)
}

func validateIngressRule(rule *networkingv1.IngressRule, path *field.Path) (errs field.ErrorList) {
	if rule.Host != "" {
		if netutils.ParseIPSloppy(rule.Host) != nil {
			errs = append(errs, field.Invalid(path.Child("host"), rule.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, hostOrWildcard(rule.Host, path.Child("host"))...)
	}
	if rule.HTTP == nil {
		return errs
	}
	paths := path.Child("http", "paths")
	if len(rule.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(paths, ""))
	}
	for i := range rule.HTTP.Paths {
		errs = append(errs, validateIngressPath(&rule.HTTP.Paths[i], paths.Index(i))...)
	}
	return errs
}

func validateIngressPath(p *networkingv1.HTTPIngressPath, path *field.Path) (errs field.ErrorList) {
	if p.PathType == nil {
		return field.ErrorList{field.Required(path.Child("pathType"), "pathType must be specified")}
	}
	at := path.Child("path")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
		for _, part := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, part) {
				errs = append(errs, field.Invalid(at, p.Path, fmt.Sprintf("must not contain '%s'", part)))
			}
		}
		for _, end := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, end) {
				errs = append(errs, field.Invalid(at, p.Path, fmt.Sprintf("cannot end with '%s'", end)))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
			errs = append(errs, field.Invalid(at, p.Path, "must be an absolute path"))
		}
	default:
		errs = append(errs, oneOf(*p.PathType, path.Child("pathType"), networkingv1.PathTypeExact,
			networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix)...)
	}
	return append(errs, validateIngressBackend(&p.Backend, path.Child("backend"))...)
}

func validateIngressBackend(b *networkingv1.IngressBackend, path *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(path, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateTypedReference(b.Resource, path.Child("resource"))
	case b.Service != nil:
		return validateIngressService(b.Service, path)
	}
	return field.ErrorList{field.Invalid(path, "", "resource or service backend is required")}
}

func validateIngressService(s *networkingv1.IngressServiceBackend, path *field.Path) (errs field.ErrorList) {
	service := path.Child("service")
	if s.Name == "" {
		errs = append(errs, field.Required(service.Child("name"), ""))
	} else {
		errs = append(errs, invalid(service.Child("name"), s.Name, apivalidation.NameIsDNSLabel(s.Name, false))...)
	}
	switch port := s.Port; {
	case port.Name != "" && port.Number != 0:
		errs = append(errs, field.Invalid(path, "", "cannot set both port name & port number"))
	case port.Name != "":
		errs = append(errs, invalid(service.Child("port", "name"), port.Name, validation.IsValidPortName(port.Name))...)
	case port.Number != 0:
		errs = append(errs, portNumber(port.Number, service.Child("port", "number"))...)
	default:
		errs = append(errs, field.Required(path, "port name or number is required"))
	}
	return errs
}

// validateTypedReference checks a reference to an object of any kind in the same namespace.
func validateTypedReference(r *corev1.TypedLocalObjectReference, at *field.Path) (errs field.ErrorList) {
	if r.APIGroup != nil {
		errs = append(errs, dnsSubdomain(*r.APIGroup, at.Child("apiGroup"))...)
	}
	errs = append(errs, pathSegment(r.Kind, at.Child("kind"))...)
	return append(errs, pathSegment(r.Name, at.Child("name"))...)
}

// pathSegment checks a required name that may stand in a URL's path.
func pathSegment(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return invalid(at, name, path.IsValidPathSegmentName(name))
}

func validateIngressStatus(i, old *networkingv1.Ingress) (errs field.ErrorList) {
	var before []string
	for _, ingress := range old.Status.LoadBalancer.Ingress {
		before = append(before, ingress.IP)
	}
	for i, ingress := range i.Status.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(i)
		errs = append(errs, balancerAddress(ingress.IP, ingress.Hostname, at, before, func() field.ErrorList { return nil })...)
	}
	return errs
}

func ingressWarnings(i, old *networkingv1.Ingress) []string {
	if _, ok := i.Annotations[ingressClassAnnotation]; ok && i.Spec.IngressClassName == nil && old == nil {
		return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", ingressClassAnnotation)}
	}
	return nil
}

func ingressCells(i *networkingv1.Ingress) []any {
	class, ports := "<none>", "80"
	if i.Spec.IngressClassName != nil {
		class = *i.Spec.IngressClassName
	}
	if len(i.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	var addresses []string
	for _, ingress := range i.Status.LoadBalancer.Ingress {
		if ingress.IP != "" {
			addresses = append(addresses, ingress.IP)
		} else if ingress.Hostname != "" {
			addresses = append(addresses, ingress.Hostname)
		}
	}
	slices.Sort(addresses)
	return []any{i.Name, class, ingressHosts(i), strings.Join(slices.Compact(addresses), ","), ports, age(i.CreationTimestamp)}
}

// ingressHosts lists three hosts; Kubernetes counts the others by the rules, not by the hosts.
func ingressHosts(i *networkingv1.Ingress) string {
	var hosts []string
	more := false
	for _, rule := range i.Spec.Rules {
		more = more || len(hosts) == 3
		if !more && rule.Host != "" {
			hosts = append(hosts, rule.Host)
		}
	}
	switch {
	case len(hosts) == 0:
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", strings.Join(hosts, ","), len(i.Spec.Rules)-3)
	}
	return strings.Join(hosts, ",")
}
