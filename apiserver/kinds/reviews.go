package kinds

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// reviews are questions put as objects: who is this, may they do that. The answer is in the status, and nothing is stored.
func reviews() []*Kind {
	return []*Kind{
		review("authentication.k8s.io", "TokenReview", "tokenreview", false,
			func() *authenticationv1.TokenReview { return &authenticationv1.TokenReview{} }, nil),
		review("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreview", false,
			func() *authenticationv1.SelfSubjectReview { return &authenticationv1.SelfSubjectReview{} }, nil),
		review("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreview", false,
			func() *authorizationv1.SubjectAccessReview { return &authorizationv1.SubjectAccessReview{} }, validateAccessReview),
		review("authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreview", true,
			func() *authorizationv1.LocalSubjectAccessReview { return &authorizationv1.LocalSubjectAccessReview{} },
			validateLocalAccessReview),
		review("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreview", false,
			func() *authorizationv1.SelfSubjectAccessReview { return &authorizationv1.SelfSubjectAccessReview{} },
			validateSelfAccessReview),
		review("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreview", false,
			func() *authorizationv1.SelfSubjectRulesReview { return &authorizationv1.SelfSubjectRulesReview{} }, nil),
	}
}

// review is the row of a question. Any name will do, and none.
func review[T Object](group, kind, singular string, namespaced bool, empty func() T, validate func(T) field.ErrorList) *Kind {
	return Row[T]{
		Base: Kind{
			Group: group, Version: "v1", Kind: kind, Plural: singular + "s", Singular: singular, Namespaced: namespaced, Virtual: true,
			Verbs: []string{"create"}, ValidateName: func(string, bool) []string { return nil },
		},
		New:      empty,
		NewList:  func() runtime.Object { return &metav1.List{} },
		Validate: validate,
	}.Kind()
}

func validateAccessReview(r *authorizationv1.SubjectAccessReview) field.ErrorList {
	return append(validateAccessSpec(&r.Spec), emptyMetadata(r.ObjectMeta, "must be empty")...)
}

func validateAccessSpec(spec *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateAccess(spec.ResourceAttributes, spec.NonResourceAttributes, path)
	if spec.User == "" && len(spec.Groups) == 0 {
		errs = append(errs, field.Invalid(path.Child("user"), spec.User, "at least one of user or group must be specified"))
	}
	return append(errs, validateResourceAccess(spec.ResourceAttributes, path.Child("resourceAttributes"))...)
}

func validateSelfAccessReview(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateAccess(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, path)
	errs = append(errs, validateResourceAccess(r.Spec.ResourceAttributes, path.Child("resourceAttributes"))...)
	return append(errs, emptyMetadata(r.ObjectMeta, "must be empty")...)
}

func validateLocalAccessReview(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	meta := r.ObjectMeta
	meta.Namespace = ""
	errs := append(validateAccessSpec(&r.Spec), emptyMetadata(meta, "must be empty except for namespace")...)
	if resources := r.Spec.ResourceAttributes; resources != nil && resources.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("spec.resourceAttributes.namespace"), resources.Namespace, "must match metadata.namespace"))
	}
	if r.Spec.NonResourceAttributes != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec.nonResourceAttributes"), internalForm(r.Spec.NonResourceAttributes),
			"disallowed on this kind of request"))
	}
	return errs
}

// emptyMetadata refuses metadata, which means nothing here. What the server itself has filled in does not count.
func emptyMetadata(meta metav1.ObjectMeta, message string) field.ErrorList {
	shown := meta
	meta.ManagedFields, meta.UID, meta.CreationTimestamp = nil, "", metav1.Time{}
	if equality.Semantic.DeepEqual(meta, metav1.ObjectMeta{}) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), shown, message)}
}

func validateAccess(resources *authorizationv1.ResourceAttributes, paths *authorizationv1.NonResourceAttributes, path *field.Path) (errs field.ErrorList) {
	switch {
	case resources != nil && paths != nil:
		errs = append(errs, field.Invalid(path.Child("nonResourceAttributes"), internalForm(paths), "cannot be specified in combination with resourceAttributes"))
	case resources == nil && paths == nil:
		errs = append(errs, field.Invalid(path.Child("resourceAttributes"), internalForm(paths),
			"exactly one of nonResourceAttributes or resourceAttributes must be specified"))
	}
	return errs
}

// validateResourceAccess checks the selectors that narrow a list or watch down.
func validateResourceAccess(r *authorizationv1.ResourceAttributes, path *field.Path) (errs field.ErrorList) {
	if r == nil {
		return nil
	}
	if s, at := r.FieldSelector, path.Child("fieldSelector"); s != nil {
		errs = append(errs, validateSelectorAttributes(s.RawSelector, len(s.Requirements), at)...)
		for i, requirement := range s.Requirements {
			errs = append(errs, metavalidation.ValidateFieldSelectorRequirement(requirement,
				metavalidation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, at.Child("requirements").Index(i))...)
		}
	}
	if s, at := r.LabelSelector, path.Child("labelSelector"); s != nil {
		errs = append(errs, validateSelectorAttributes(s.RawSelector, len(s.Requirements), at)...)
		for i, requirement := range s.Requirements {
			errs = append(errs, metavalidation.ValidateLabelSelectorRequirement(requirement,
				metavalidation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, at.Child("requirements").Index(i))...)
		}
	}
	return errs
}

func validateSelectorAttributes(raw string, requirements int, path *field.Path) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(path.Child("rawSelector"), raw, "may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(path.Child("requirements"), "when "+path.String()+" is specified, requirements or rawSelector is required")}
	}
	return nil
}
