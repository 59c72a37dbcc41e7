package kinds

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func ingressClass() *Kind {
	return Row[*networkingv1.IngressClass]{
		Base: Kind{
			Group: "networking.k8s.io", Version: "v1", Kind: "IngressClass", Plural: "ingressclasses", Singular: "ingressclass",
			UnconditionalUpdate: true,
		},
		New:     func() *networkingv1.IngressClass { return &networkingv1.IngressClass{} },
		NewList: func() runtime.Object { return &networkingv1.IngressClassList{} },
		Default: func(c *networkingv1.IngressClass) {
			if c.Spec.Parameters != nil {
				setDefaultPointer(&c.Spec.Parameters.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
			}
		},
		PrepareForCreate: func(c *networkingv1.IngressClass) { c.Generation = 1 },
		PrepareForUpdate: func(c, old *networkingv1.IngressClass) { raiseGeneration(c, old, c.Spec, old.Spec) },
		Validate:         validateIngressClass,
		ValidateUpdate: func(c, old *networkingv1.IngressClass) field.ErrorList {
			return append(immutable(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller")), validateIngressClass(c)...)
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Controller", "string", "Controller that is responsible for handling this class"),
			column("Parameters", "string", "A reference to a resource with additional parameters"),
			ageColumn(),
		},
		Cells: func(c *networkingv1.IngressClass) []any {
			parameters := "<none>"
			if p := c.Spec.Parameters; p != nil {
				parameters = p.Kind
				if p.APIGroup != nil {
					parameters += "." + *p.APIGroup
				}
				parameters += "/" + p.Name
			}
			return []any{c.Name, c.Spec.Controller, parameters, age(c.CreationTimestamp)}
		},
	}.Kind()
}

func validateIngressClass(c *networkingv1.IngressClass) (errs field.ErrorList) {
	const longest = 250
	path := field.NewPath("spec")
	if controller := path.Child("controller"); c.Spec.Controller == "" {
		errs = append(errs, field.Required(controller, ""))
	} else {
		if len(c.Spec.Controller) > longest {
			errs = append(errs, field.TooLong(controller, "", longest))
		}
		errs = append(errs, validation.IsDomainPrefixedPath(controller, c.Spec.Controller)...)
	}
	if c.Spec.Parameters != nil {
		errs = append(errs, validateIngressClassParameters(c.Spec.Parameters, path.Child("parameters"))...)
	}
	return errs
}

// validateIngressClassParameters checks a reference to what the class's controller reads. That it has a kind and a name is
// declared in the API's types, and such checks come last.
func validateIngressClassParameters(p *networkingv1.IngressClassParametersReference, at *field.Path) (errs field.ErrorList) {
	if p.APIGroup != nil {
		errs = append(errs, dnsSubdomain(*p.APIGroup, at.Child("apiGroup"))...)
	}
	if p.Kind != "" {
		errs = append(errs, pathSegment(p.Kind, at.Child("kind"))...)
	}
	if p.Name != "" {
		errs = append(errs, pathSegment(p.Name, at.Child("name"))...)
	}
	errs = append(errs, oneOf(*p.Scope, at.Child("scope"), networkingv1.IngressClassParametersReferenceScopeCluster,
		networkingv1.IngressClassParametersReferenceScopeNamespace)...)
	namespace := at.Child("namespace")
	switch namespaced := *p.Scope == networkingv1.IngressClassParametersReferenceScopeNamespace; {
	case namespaced && p.Namespace == nil:
		errs = append(errs, field.Required(namespace, "`parameters.scope` is set to 'Namespace'"))
	case namespaced:
		errs = append(errs, dnsLabel(*p.Namespace, namespace)...)
	case *p.Scope == networkingv1.IngressClassParametersReferenceScopeCluster && p.Namespace != nil:
		errs = append(errs, field.Forbidden(namespace, "`parameters.scope` is set to 'Cluster'"))
	}
	return append(errs, append(required(p.Kind, at.Child("kind"), ""), required(p.Name, at.Child("name"), "")...)...)
}
