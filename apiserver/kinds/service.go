package kinds

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func service() *Kind {
	return Row[*corev1.Service]{
		Base: Kind{
			Version: "v1", Kind: "Service", Plural: "services", Singular: "service", ShortNames: []string{"svc"},
			Categories: []string{"all"}, Namespaced: true, ValidateName: apivalidation.NameIsDNSLabel,
			AllowCreateOnUpdate: true, UnconditionalUpdate: true, ReturnDeleted: true,
			FieldNames: []string{"spec.clusterIP", "spec.type"},
		},
		New:     func() *corev1.Service { return &corev1.Service{} },
		NewList: func() runtime.Object { return &corev1.ServiceList{} },
		Default: defaultService,
		PrepareForCreate: func(s *corev1.Service) {
			s.Status = corev1.ServiceStatus{}
			completeService(s, nil)
		},
		PrepareForUpdate: func(s, old *corev1.Service) {
			s.Status = old.Status
			completeService(s, old)
		},
		Validate:       validateServiceCreate,
		ValidateUpdate: validateServiceUpdate,
		Warnings:       func(s, _ *corev1.Service) []string { return serviceWarnings(s) },
		HasStatus:      true,
		PrepareStatus:  func(s, old *corev1.Service) { s.Spec = old.Spec },
		ValidateStatus: validateServiceStatus,
		Allocate:       allocateService,
		Fields: func(s *corev1.Service) fields.Set {
			return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Type", "string", corev1.ServiceSpec{}.SwaggerDoc()["type"]),
			column("Cluster-IP", "string", corev1.ServiceSpec{}.SwaggerDoc()["clusterIP"]),
			column("External-IP", "string", corev1.ServiceSpec{}.SwaggerDoc()["externalIPs"]),
			column("Port(s)", "string", corev1.ServiceSpec{}.SwaggerDoc()["ports"]),
			ageColumn(),
			wideColumn("Selector", "string", corev1.ServiceSpec{}.SwaggerDoc()["selector"]),
		},
		Cells: serviceCells,
	}.Kind()
}

func defaultService(s *corev1.Service) {
	spec := &s.Spec
	setDefault(&spec.SessionAffinity, corev1.ServiceAffinityNone)
	switch spec.SessionAffinity {
	case corev1.ServiceAffinityNone:
		spec.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		setDefaultPointer(&spec.SessionAffinityConfig, corev1.SessionAffinityConfig{})
		setDefaultPointer(&spec.SessionAffinityConfig.ClientIP, corev1.ClientIPConfig{})
		setDefaultPointer(&spec.SessionAffinityConfig.ClientIP.TimeoutSeconds, corev1.DefaultClientIPServiceAffinitySeconds)
	}
	setDefault(&spec.Type, corev1.ServiceTypeClusterIP)
	for i := range spec.Ports {
		port := &spec.Ports[i]
		setDefault(&port.Protocol, corev1.ProtocolTCP)
		if port.TargetPort == intstr.FromInt32(0) || port.TargetPort == intstr.FromString("") {
			port.TargetPort = intstr.FromInt32(port.Port)
		}
	}
	if externallyAccessible(s) {
		setDefault(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if spec.Type == corev1.ServiceTypeClusterIP || needsNodePort(s) {
		setDefaultPointer(&spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	setDefaultPointer(&spec.AllocateLoadBalancerNodePorts, true)
	for i := range s.Status.LoadBalancer.Ingress {
		if ingress := &s.Status.LoadBalancer.Ingress[i]; ingress.IP != "" {
			setDefaultPointer(&ingress.IPMode, corev1.LoadBalancerIPModeVIP)
		}
	}
}

func serviceCells(s *corev1.Service) []any {
	clusterIP := "<none>"
	if len(s.Spec.ClusterIPs) > 0 {
		clusterIP = s.Spec.ClusterIPs[0]
	}
	var ports []string
	for _, p := range s.Spec.Ports {
		if p.NodePort > 0 {
			ports = append(ports, fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol))
		} else {
			ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
	}
	return []any{s.Name, string(s.Spec.Type), clusterIP, serviceExternalIP(s), orNone(strings.Join(ports, ",")),
		age(s.CreationTimestamp), labelsCell(s.Spec.Selector)}
}

func serviceExternalIP(s *corev1.Service) string {
	external := strings.Join(s.Spec.ExternalIPs, ",")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return orNone(external)
	case corev1.ServiceTypeLoadBalancer:
		var ingress []string
		for _, i := range s.Status.LoadBalancer.Ingress {
			if i.IP != "" {
				ingress = append(ingress, i.IP)
			} else if i.Hostname != "" {
				ingress = append(ingress, i.Hostname)
			}
		}
		slices.Sort(ingress)
		all := append(slices.Compact(ingress), s.Spec.ExternalIPs...)
		if len(all) == 0 {
			return "<pending>"
		}
		return strings.Join(all, ",")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	}
	return "<unknown>"
}

// needsClusterIP: every type but ExternalName has an address ("None" counts as one).
func needsClusterIP(s *corev1.Service) bool { return s.Spec.Type != corev1.ServiceTypeExternalName }

// needsNodePort says whether a service of this type is reachable on a port of the nodes.
func needsNodePort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// needsHealthCheck says whether load balancers must ask each node if it has a pod of the service.
func needsHealthCheck(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func externallyAccessible(s *corev1.Service) bool {
	return needsNodePort(s) || s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0
}

// headless services have no address of their own: their name resolves to the pods.
func headless(s *corev1.Service) bool {
	return len(s.Spec.ClusterIPs) == 1 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}
