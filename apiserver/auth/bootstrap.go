package auth

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// bootstrapJSON are the roles and bindings that every Kubernetes v1.37 cluster begins with, without the label and the
// annotation that all of them have.
//
//go:embed bootstrap.json
var bootstrapJSON []byte

const (
	bootstrapLabel      = "kubernetes.io/bootstrapping"
	bootstrapLabelValue = "rbac-defaults"
	// ClusterAdmins is the group of the people who run the cluster, as kubeadm names it.
	ClusterAdmins = "kubeadm:cluster-admins"
)

// Server is the API server's own identity: it may everything.
func Server() user.Info {
	return &user.DefaultInfo{Name: "system:apiserver", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}
}

// Admin is the user to whom a cluster belongs.
func Admin() user.Info {
	return &user.DefaultInfo{Name: "kubernetes-admin", Groups: []string{ClusterAdmins, user.AllAuthenticated}}
}

// bootstrapConcurrency is how many objects are written at a time: a durable store commits them together.
const bootstrapConcurrency = 32

// Bootstrap makes the default roles and bindings that are not there, and the namespaces and priority classes that every
// cluster has. What is
// there stays as it is, so that a user's changes last.
func Bootstrap(ctx context.Context, server *apiserver.Server) error {
	objects, err := bootstrapObjects()
	if err != nil {
		return err
	}
	cluster := server.Cluster()
	if err := ensure(ctx, server, cluster, namespaces()); err != nil {
		return err
	}
	return ensure(ctx, server, cluster, append(objects, priorityClasses()...))
}

// priorityClasses are those of the pods that a cluster itself is made of.
func priorityClasses() []bootstrapObject {
	class := func(name string, value int32, description string) bootstrapObject {
		return bootstrapObject{schedulingv1.GroupName, "priorityclasses", &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: description,
		}}
	}
	return []bootstrapObject{
		class("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
		class("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
	}
}

func namespaces() []bootstrapObject {
	var all []bootstrapObject
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		all = append(all, bootstrapObject{"", "namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}})
	}
	return all
}

func ensure(ctx context.Context, server *apiserver.Server, cluster kinds.Cluster, objects []bootstrapObject) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(bootstrapConcurrency)
	for _, o := range objects {
		resource := schema.GroupVersionResource{Group: o.group, Version: "v1", Resource: o.plural}
		if !server.Serves(resource) {
			continue
		}
		if _, there := cluster.Get(o.group, o.plural, o.object.GetNamespace(), o.object.GetName()); there {
			continue
		}
		group.Go(func() error {
			request := apiserver.Request{
				User: Server(), Resource: resource, Namespace: o.object.GetNamespace(), Owned: true, Manager: "kube-apiserver",
			}
			_, err := server.Create(ctx, request, o.object, metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("make the default %s %s: %w", o.plural, o.object.GetName(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

type bootstrapObject struct {
	group, plural string
	object        kinds.Object
}

// rbacTypes are the kinds in bootstrap.json.
var rbacTypes = map[string]struct {
	plural string
	make   func() kinds.Object
}{
	"ClusterRole":        {"clusterroles", func() kinds.Object { return &rbacv1.ClusterRole{} }},
	"ClusterRoleBinding": {"clusterrolebindings", func() kinds.Object { return &rbacv1.ClusterRoleBinding{} }},
	"Role":               {"roles", func() kinds.Object { return &rbacv1.Role{} }},
	"RoleBinding":        {"rolebindings", func() kinds.Object { return &rbacv1.RoleBinding{} }},
}

// bootstrapObjects reads the default roles and bindings, and adds kubeadm's for the administrators.
func bootstrapObjects() ([]bootstrapObject, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(bootstrapJSON, &raw); err != nil {
		return nil, fmt.Errorf("read the default roles: %w", err)
	}
	objects := make([]bootstrapObject, 0, len(raw)+1)
	for _, data := range raw {
		var meta metav1.TypeMeta
		if err := json.Unmarshal(data, &meta); err != nil {
			return nil, fmt.Errorf("read the default roles: %w", err)
		}
		typ, known := rbacTypes[meta.Kind]
		if !known {
			return nil, fmt.Errorf("the default roles hold a %q", meta.Kind)
		}
		object := typ.make()
		if err := json.Unmarshal(data, object); err != nil {
			return nil, fmt.Errorf("read the default %s: %w", typ.plural, err)
		}
		object.GetObjectKind().SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind(meta.Kind))
		markDefault(object)
		objects = append(objects, bootstrapObject{rbacv1.GroupName, typ.plural, object})
	}
	return append(objects, bootstrapObject{rbacv1.GroupName, "clusterrolebindings", &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: ClusterAdmins},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: ClusterAdmins}},
	}}), nil
}

func markDefault(object metav1.Object) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[bootstrapLabel] = bootstrapLabelValue
	object.SetLabels(labels)
	object.SetAnnotations(map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"})
}
