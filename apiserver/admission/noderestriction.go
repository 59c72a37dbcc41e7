package admission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
)

// NodeRestriction keeps a kubelet to its own node: its node object and lease, the status of its own pods, and tokens for
// its own pods.
type NodeRestriction struct{ mutates }

func (NodeRestriction) Name() string { return "NodeRestriction" }

func (n NodeRestriction) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	node, is := kubeletNode(r.Attributes.User)
	if !is {
		return nil
	}
	var err error
	switch a := r.Attributes; {
	case a.Group == "" && a.Resource == "pods":
		err = n.pods(r, node)
	case a.Group == "" && a.Resource == "nodes":
		err = n.nodes(r, node)
	case a.Group == "" && a.Resource == "serviceaccounts" && a.Subresource == "token":
		err = n.tokens(r, node)
	case a.Group == coordinationv1.GroupName && a.Resource == "leases":
		err = n.leases(r, node)
	}
	if err != nil {
		return forbidden(r, err)
	}
	return nil
}

func kubeletNode(u user.Info) (string, bool) {
	if u == nil {
		return "", false
	}
	name, ok := strings.CutPrefix(u.GetName(), "system:node:")
	return name, ok && slices.Contains(u.GetGroups(), user.NodesGroup)
}

func (NodeRestriction) pods(r *apiserver.AdmissionRequest, node string) error {
	switch r.Attributes.Subresource {
	case "":
		return ownPod(r, node)
	case "status":
		if pod, ok := r.Old.(*corev1.Pod); !ok || pod.Spec.NodeName != node {
			return fmt.Errorf("node %q can only update pod status for pods with spec.nodeName set to itself", node)
		}
		return nil
	case "eviction":
		object, found := r.Cluster.Get("", "pods", r.Attributes.Namespace, r.Attributes.Name)
		if pod, ok := object.(*corev1.Pod); found && ok && pod.Spec.NodeName != node {
			return fmt.Errorf("node %s can only evict pods with spec.nodeName set to itself", node)
		}
		return nil
	}
	return fmt.Errorf("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", r.Attributes.Subresource)
}

func ownPod(r *apiserver.AdmissionRequest, node string) error {
	switch r.Operation {
	case create:
		pod, ok := r.Object.(*corev1.Pod)
		if ok && !isMirror(pod) {
			return fmt.Errorf("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
		}
		if ok && pod.Spec.NodeName != node {
			return fmt.Errorf("node %q can only create pods with spec.nodeName set to itself", node)
		}
	case remove:
		if pod, ok := r.Old.(*corev1.Pod); ok && pod.Spec.NodeName != node {
			return fmt.Errorf("node %q can only delete pods with spec.nodeName set to itself", node)
		}
	default:
		return fmt.Errorf("unexpected operation %q, node %q can only create and delete mirror pods", r.Operation, node)
	}
	return nil
}

func (NodeRestriction) nodes(r *apiserver.AdmissionRequest, node string) error {
	if name := nameOf(r); name != node {
		return fmt.Errorf("node %q is not allowed to modify node %q", node, name)
	}
	object, ok := r.Object.(*corev1.Node)
	if !ok {
		if r.Operation == remove {
			return fmt.Errorf("node %q is not allowed to delete nodes", node)
		}
		return nil
	}
	old, _ := r.Old.(*corev1.Node)
	if r.Operation == create {
		if changed := restrictedLabels(object.Labels, nil); len(changed) > 0 {
			return fmt.Errorf("node %q is not allowed to set the following labels: %s", node, strings.Join(changed, ", "))
		}
		return nil
	}
	if old == nil {
		return nil
	}
	if changed := restrictedLabels(object.Labels, old.Labels); len(changed) > 0 {
		return fmt.Errorf("is not allowed to modify labels: %s", strings.Join(changed, ", "))
	}
	if !equality.Semantic.DeepEqual(object.Spec.Taints, old.Spec.Taints) {
		return fmt.Errorf("node %q is not allowed to modify taints", node)
	}
	return nil
}

// kubeletLabels are those of Kubernetes' own labels that a kubelet may set on its node.
var kubeletLabels = []string{
	corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone,
	corev1.LabelFailureDomainBetaRegion, corev1.LabelInstanceType, corev1.LabelInstanceTypeStable, corev1.LabelOSStable,
	corev1.LabelArchStable, corev1.LabelWindowsBuild, "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
}

// restrictedLabels lists the labels that differ and are not a kubelet's business: nobody who runs a node may so draw pods
// to it that are meant for others.
func restrictedLabels(now, before map[string]string) []string {
	var changed []string
	keys := maps.Clone(now)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, before)
	for key := range keys {
		if a, inA := now[key]; a != before[key] || inA != has(before, key) {
			if isRestricted(key) {
				changed = append(changed, key)
			}
		}
	}
	slices.Sort(changed)
	return changed
}

func has(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}

func isRestricted(key string) bool {
	domain, _, hasDomain := strings.Cut(key, "/")
	if !hasDomain {
		return false
	}
	within := func(parent string) bool { return domain == parent || strings.HasSuffix(domain, "."+parent) }
	if within("node-restriction.kubernetes.io") {
		return true
	}
	if !within("kubernetes.io") && !within("k8s.io") {
		return false
	}
	return !slices.Contains(kubeletLabels, key) && !within("kubelet.kubernetes.io") && !within("node.kubernetes.io")
}

func (NodeRestriction) tokens(r *apiserver.AdmissionRequest, node string) error {
	request, ok := r.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return nil
	}
	ref := request.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return fmt.Errorf("node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return fmt.Errorf("node requested token with a pod binding without a uid")
	}
	object, found := r.Cluster.Get("", "pods", r.Attributes.Namespace, ref.Name)
	pod, ok := object.(*corev1.Pod)
	switch {
	case !found || !ok:
		return fmt.Errorf("pod %q not found", ref.Name)
	case pod.UID != ref.UID:
		return fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != node:
		return fmt.Errorf("node requested token bound to a pod scheduled on a different node")
	case pod.Spec.ServiceAccountName != r.Attributes.Name:
		return fmt.Errorf("node requested token for service account %q, which the pod does not have", r.Attributes.Name)
	}
	return nil
}

func (NodeRestriction) leases(r *apiserver.AdmissionRequest, node string) error {
	if r.Attributes.Namespace != corev1.NamespaceNodeLease {
		return fmt.Errorf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	if nameOf(r) != node {
		return fmt.Errorf("can only access node lease with the same name as the requesting node")
	}
	return nil
}
