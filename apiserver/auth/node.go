package auth

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// The node authorizer lets a kubelet do its work and no more. What it may do everywhere is a fixed list of rules; secrets,
// config maps, claims and the like it may read only when a pod on its node uses them. In Kubernetes a graph follows the
// pods for that; here the node's pods are looked through, which are few.

const nodePrefix = "system:node:"

// nodeOf returns the node whose kubelet a user is.
func nodeOf(u user.Info) (string, bool) {
	name, ok := strings.CutPrefix(u.GetName(), nodePrefix)
	return name, ok && name != "" && slices.Contains(u.GetGroups(), user.NodesGroup)
}

func rule(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

// nodeRules are what every kubelet may do; NodeRestriction, an admission step, narrows the writes to its own objects.
var nodeRules = []rbacv1.PolicyRule{
	rule("authentication.k8s.io", []string{"tokenreviews"}, "create"),
	rule("authorization.k8s.io", []string{"subjectaccessreviews", "localsubjectaccessreviews"}, "create"),
	rule("", []string{"services"}, "get", "list", "watch"),
	rule("", []string{"nodes"}, "create", "get", "list", "watch", "update", "patch"),
	rule("", []string{"nodes/status"}, "update", "patch"),
	rule("", []string{"events"}, "create", "update", "patch"),
	rule("events.k8s.io", []string{"events"}, "create", "update", "patch"),
	rule("", []string{"pods"}, "get", "list", "watch", "create", "delete"),
	rule("", []string{"pods/status"}, "update", "patch"),
	rule("", []string{"pods/eviction"}, "create"),
	rule("", []string{"persistentvolumeclaims/status"}, "get", "update", "patch"),
	rule("storage.k8s.io", []string{"csidrivers"}, "get", "list", "watch"),
	rule("storage.k8s.io", []string{"csinodes"}, "create", "delete", "get", "patch", "update"),
	rule("certificates.k8s.io", []string{"certificatesigningrequests"}, "create", "get", "list", "watch"),
	rule("coordination.k8s.io", []string{"leases"}, "create", "get", "update", "patch", "delete"),
	rule("node.k8s.io", []string{"runtimeclasses"}, "get", "list", "watch"),
}

// authorizeNode decides for a kubelet. The reason says why not.
func authorizeNode(cluster kinds.Cluster, node string, a apiserver.Attributes) (bool, string) {
	if a.ResourceRequest && a.Group == "" {
		switch a.Resource {
		case "secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts":
			if a.Subresource == "" || a.Resource == "serviceaccounts" {
				return authorizeUsed(cluster, node, a)
			}
		}
	}
	for i := range nodeRules {
		if ruleAllows(&nodeRules[i], &a) {
			return true, ""
		}
	}
	return false, ""
}

// authorizeUsed lets a kubelet read what its pods use, and make tokens for their service accounts.
func authorizeUsed(cluster kinds.Cluster, node string, a apiserver.Attributes) (bool, string) {
	switch {
	case a.Resource == "serviceaccounts" && a.Subresource == "token" && a.Verb == "create":
	case a.Subresource == "" && slices.Contains([]string{"get", "list", "watch"}, a.Verb) && a.Name != "":
	case a.Subresource == "" && slices.Contains([]string{"get", "list", "watch"}, a.Verb):
		return false, "No Object name found"
	default:
		return false, "can only read resources of this type"
	}
	match := func(object kinds.Object) bool {
		pod, ok := object.(*corev1.Pod)
		return ok && pod.Spec.NodeName == node && uses(cluster, pod, a.Resource, a.Name)
	}
	if anyPod(cluster, node, a.Namespace, a.Resource, match) {
		return true, ""
	}
	return false, "no relationship found between node '" + node + "' and this object"
}

// anyPod says whether any pod of a node matches. Whether it uses a secret or a volume is not in the pod alone, so those are
// listed first.
func anyPod(cluster kinds.Cluster, node, namespace, resource string, match func(kinds.Object) bool) bool {
	indexed, ok := cluster.(kinds.Indexed)
	switch {
	case !ok:
		return slices.ContainsFunc(cluster.List("", "pods", namespace), match)
	case resource == "secrets" || resource == "persistentvolumes":
		return slices.ContainsFunc(indexed.ListIndexed("", "pods", namespace, node), match)
	}
	return indexed.AnyIndexed("", "pods", namespace, node, match)
}

// uses says whether a pod refers to an object.
func uses(cluster kinds.Cluster, pod *corev1.Pod, resource, name string) bool {
	switch resource {
	case "serviceaccounts":
		return pod.Spec.ServiceAccountName == name
	case "persistentvolumeclaims":
		return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return claimOf(pod, &v) == name })
	case "persistentvolumes":
		return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			object, _ := cluster.Get("", "persistentvolumeclaims", pod.Namespace, claimOf(pod, &v))
			claim, ok := object.(*corev1.PersistentVolumeClaim)
			return ok && claim.Spec.VolumeName == name
		})
	case "secrets":
		return usesSecret(cluster, pod, name)
	}
	return usesConfigMap(pod, name)
}

func claimOf(pod *corev1.Pod, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return pod.Name + "-" + v.Name
	}
	return ""
}

// eachEnv calls a function for the environment of every container, until it returns true.
func eachEnv(pod *corev1.Pod, match func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if match(list[i].Env, list[i].EnvFrom) {
				return true
			}
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if c := &pod.Spec.EphemeralContainers[i]; match(c.Env, c.EnvFrom) {
			return true
		}
	}
	return false
}

func usesSecret(cluster kinds.Cluster, pod *corev1.Pod, name string) bool {
	named := func(ref corev1.LocalObjectReference) bool { return ref.Name == name }
	if slices.ContainsFunc(pod.Spec.ImagePullSecrets, named) {
		return true
	}
	if object, ok := cluster.Get("", "serviceaccounts", pod.Namespace, pod.Spec.ServiceAccountName); ok {
		if account, ok := object.(*corev1.ServiceAccount); ok && slices.ContainsFunc(account.ImagePullSecrets, named) {
			return true
		}
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Secret != nil && v.Secret.SecretName == name || v.CSI != nil && v.CSI.NodePublishSecretRef != nil && v.CSI.NodePublishSecretRef.Name == name {
			return true
		}
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.Secret != nil && s.Secret.Name == name }) {
			return true
		}
	}
	return eachEnv(pod, func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool {
		return slices.ContainsFunc(env, func(e corev1.EnvVar) bool {
			return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == name
		}) || slices.ContainsFunc(from, func(f corev1.EnvFromSource) bool { return f.SecretRef != nil && f.SecretRef.Name == name })
	})
}

// rootCA is in every namespace, and every pod's token volume has it.
const rootCA = "kube-root-ca.crt"

func usesConfigMap(pod *corev1.Pod, name string) bool {
	if name == rootCA {
		return true
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil && v.ConfigMap.Name == name {
			return true
		}
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ConfigMap != nil && s.ConfigMap.Name == name }) {
			return true
		}
	}
	return eachEnv(pod, func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool {
		return slices.ContainsFunc(env, func(e corev1.EnvVar) bool {
			return e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil && e.ValueFrom.ConfigMapKeyRef.Name == name
		}) || slices.ContainsFunc(from, func(f corev1.EnvFromSource) bool {
			return f.ConfigMapRef != nil && f.ConfigMapRef.Name == name
		})
	})
}
