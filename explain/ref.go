package explain

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

// Ref names an object.
type Ref struct {
	Group     string `json:"group,omitempty"`
	Resource  string `json:"resource"` // plural, for example deployments
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is the form in which components name what led to a step: pods/default/web-1.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Resource + "/" + r.Name
	}
	return r.Resource + "/" + r.Namespace + "/" + r.Name
}

// Short is how kubectl takes it: pod/web-1.
func (r Ref) Short() string {
	kind := strings.ToLower(r.Kind)
	if kind == "" {
		kind = r.Resource
	}
	return kind + "/" + r.Name
}

// refOf names an object of a type that Kubernetes has.
func refOf(object client.Object) Ref {
	kind, err := client.KindOfObject(object)
	if err != nil {
		kind = object.GetObjectKind().GroupVersionKind()
	}
	return Ref{Group: kind.Group, Resource: plural(kind.Kind), Kind: kind.Kind, Namespace: object.GetNamespace(), Name: object.GetName()}
}

// plural is the resource of a kind that Kubernetes has.
func plural(kind string) string {
	lower := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(lower, "s"):
		if lower == "endpoints" {
			return lower
		}
		return lower + "es" // ingresses, storageclasses
	case strings.HasSuffix(lower, "y"):
		return strings.TrimSuffix(lower, "y") + "ies"
	}
	return lower + "s"
}

// singular is the lower-case kind of a resource: what a user types.
func singular(resource string) string {
	switch {
	case strings.HasSuffix(resource, "sses"):
		return strings.TrimSuffix(resource, "es")
	case strings.HasSuffix(resource, "ies"):
		return strings.TrimSuffix(resource, "ies") + "y"
	case resource == "endpoints":
		return resource
	}
	return strings.TrimSuffix(resource, "s")
}

// controllerOf returns the owner that controls an object.
func controllerOf(object metav1.Object) *metav1.OwnerReference {
	return metav1.GetControllerOfNoCopy(object)
}

// components are the prefixes of components' names, with what is said in their place.
var components = []struct{ prefix, short string }{
	{"system:serviceaccount:kube-system:", ""}, {"system:serviceaccount:", "serviceaccount "}, {"system:node:", "kubelet "}, {"system:", ""},
}

// Who is the short name of an authenticated user: the component's, where it is one.
func Who(actor string) string {
	for _, c := range components {
		if rest, ok := strings.CutPrefix(actor, c.prefix); ok {
			return c.short + rest
		}
	}
	return actor
}

// IsComponent says whether a user is a part of the cluster.
func IsComponent(actor string) bool {
	return strings.HasPrefix(actor, "system:") && (!strings.HasPrefix(actor, "system:serviceaccount:") ||
		strings.HasPrefix(actor, "system:serviceaccount:kube-system:"))
}
