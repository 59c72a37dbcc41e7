package cluster

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/apiserver/auth"
	"kubette/client"
	"kubette/controllers/localprovisioner"
	"kubette/network"
)

// apiPort is where the API server is behind the control plane's address, as pods see it.
const apiPort = 6443

// ingressClasses are the classes that kubette's ingress serves: those of the platform that its users deploy to. An
// ingress without a class is served as well.
var ingressClasses = []string{"nginx", "onyxia"}

// bootstrap makes the objects that every cluster begins with, where they are not there: roles and namespaces, the service
// kubernetes, the DNS service, the ingress classes. In Kubernetes the API server and kubeadm do this.
func (c *Cluster) bootstrap(ctx context.Context) error {
	if err := auth.Bootstrap(ctx, c.server); err != nil {
		return err
	}
	api := c.as(auth.Server())
	steps := []func() error{
		func() error { return ensure(ctx, api, priorityClass("system-node-critical", 2000001000, nodeCritical)) },
		func() error {
			return ensure(ctx, api, priorityClass("system-cluster-critical", 2000000000, clusterCritical))
		},
		func() error { return ensure(ctx, api, kubernetesService(c.ranges.API)) },
		func() error { return ensure(ctx, api, dnsService(c.ranges.DNS)) },
		func() error { return ensure(ctx, api, dnsEndpoints(c.ranges.Gateway())) },
		func() error { return c.ensureAPIEndpoints(ctx, api) },
		func() error { return ensure(ctx, api, storageClass()) },
		func() error { return ensure(ctx, api, provisionerBinding()) },
		func() error { return ensure(ctx, api, metricsReader()) },
		func() error { return ensure(ctx, api, ingressRole()) },
		func() error { return ensure(ctx, api, ownBinding(ingressAccount)) },
		func() error { return ensure(ctx, api, policyRole()) },
		func() error { return ensure(ctx, api, ownBinding(network.PolicyComponent)) },
	}
	for _, name := range ingressClasses {
		steps = append(steps, func() error {
			return ensure(ctx, api, &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: networkingv1.IngressClassSpec{Controller: network.ControllerName}})
		})
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// ensure makes an object that is not there. What is there stays as it is, so that a user's changes last.
func ensure[T client.Object](ctx context.Context, api client.Interface, object T) error {
	objects := client.Of[T](api)
	if _, err := objects.Get(ctx, object.GetNamespace(), object.GetName()); !apierrors.IsNotFound(err) {
		return err
	}
	if _, err := objects.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the default %s %s: %w", client.KindOf[T]().Kind, object.GetName(), err)
	}
	return nil
}

const (
	nodeCritical    = "Used for system critical pods that must not be moved from their current node."
	clusterCritical = "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
)

func priorityClass(name string, value int32, description string) *schedulingv1.PriorityClass {
	return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: description}
}

func kubernetesService(address netip.Addr) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: metav1.NamespaceDefault,
			Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{
			ClusterIP: address.String(), ClusterIPs: []string{address.String()},
			Ports: []corev1.ServicePort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(apiPort)}},
		},
	}
}

// ensureAPIEndpoints says where the API server is. It is the only endpoint that no controller makes.
func (c *Cluster) ensureAPIEndpoints(ctx context.Context, api client.Interface) error {
	address, port, name, protocol, ready := c.ranges.ControlPlane().String(), int32(apiPort), "https", corev1.ProtocolTCP, true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: metav1.NamespaceDefault,
			Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	endpoints := &corev1.Endpoints{ //nolint:staticcheck // kubectl describe still shows the old kind
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: metav1.NamespaceDefault,
			Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}},
		Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: address}},
			Ports: []corev1.EndpointPort{{Name: name, Port: port, Protocol: protocol}}}},
	}
	if err := ensure(ctx, api, endpoints); err != nil {
		return err
	}
	return ensure(ctx, api, slice)
}

// dnsService is the address of the cluster's DNS server, under the name and labels that it has in every Kubernetes.
func dnsService(address netip.Addr) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-dns", Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}},
		Spec: corev1.ServiceSpec{
			ClusterIP: address.String(), ClusterIPs: []string{address.String()},
			Ports: []corev1.ServicePort{
				{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53},
				{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: 53},
			},
		},
	}
}

// storageClass is the default one: directories in the cluster's data directory, made when the first pod wants them.
func storageClass() *storagev1.StorageClass {
	wait, reclaim := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "standard",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: localprovisioner.Provisioner, VolumeBindingMode: &wait, ReclaimPolicy: &reclaim,
	}
}

// provisionerBinding lets the local provisioner do what the volume binder may do, which makes and deletes volumes, too.
func provisionerBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "kubette:local-provisioner"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:controller:persistent-volume-binder"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: localprovisioner.Name}}}
}

// metricsReader lets everybody read what their pods use who may see the pods, as metrics-server's manifest does.
func metricsReader() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "system:aggregated-metrics-reader", Labels: map[string]string{
			"k8s-app": "metrics-server",
			"rbac.authorization.k8s.io/aggregate-to-admin": "true",
			"rbac.authorization.k8s.io/aggregate-to-edit":  "true",
			"rbac.authorization.k8s.io/aggregate-to-view":  "true",
		}},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"pods", "nodes"}, Verbs: []string{"get", "list", "watch"}}},
	}
}

// dnsEndpoints says where the DNS server is: in the gateway.
func dnsEndpoints(address netip.Addr) *discoveryv1.EndpointSlice {
	ready, port := true, int32(53)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-dns", Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{discoveryv1.LabelServiceName: "kube-dns"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
	for _, p := range dnsService(address).Spec.Ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &port, Protocol: &p.Protocol})
	}
	return slice
}

const ingressAccount = "ingress"

// ingressRole is what the ingress may do; Kubernetes has no default role for ingress controllers.
func ingressRole() *rbacv1.ClusterRole {
	read := []string{"get", "list", "watch"}
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "kubette:ingress"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses", "ingressclasses"}, Verbs: read},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses/status"}, Verbs: []string{"update", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"secrets", "services"}, Verbs: read},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
		{APIGroups: []string{""}, Resources: []string{"services/status"}, Verbs: []string{"update", "patch"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}},
	}}
}

// policyRole is what acts on network policies may do; in Kubernetes a network plugin brings its own role.
func policyRole() *rbacv1.ClusterRole {
	read := []string{"get", "list", "watch"}
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "kubette:" + network.PolicyComponent}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, Verbs: read},
		{APIGroups: []string{""}, Resources: []string{"pods", "namespaces"}, Verbs: read},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}},
	}}
}

// ownBinding gives one of kubette's own components the role of its name.
func ownBinding(name string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "kubette:" + name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kubette:" + name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: name}}}
}
