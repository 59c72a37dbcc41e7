package apiserver

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver/kinds"
)

// RuleResolver is an Authorizer that can list what a user may do, for SelfSubjectRulesReview (`kubectl auth can-i --list`).
type RuleResolver interface {
	// RulesFor returns what a user may do in a namespace. incomplete says that there may be more; the error says why.
	RulesFor(ctx context.Context, u user.Info, namespace string) (resources []authorizationv1.ResourceRule,
		others []authorizationv1.NonResourceRule, incomplete bool, err error)
}

// createVirtual answers the kinds that are questions: nothing is stored, the answer is in the status.
func (s *Server) createVirtual(ctx context.Context, op *operation, object kinds.Object) (runtime.Object, error) {
	if binding, ok := object.(*corev1.Binding); ok {
		return s.bindByCollection(ctx, op, binding)
	}
	object = op.managers.created(op, object)
	if err := s.admit(ctx, op, "CREATE", object, nil); err != nil {
		return nil, err
	}
	if err := s.validateAdmission(ctx, op, "CREATE", object, nil); err != nil {
		return nil, err
	}
	switch review := object.(type) {
	case *authenticationv1.TokenReview:
		return s.reviewToken(ctx, review)
	case *authenticationv1.SelfSubjectReview:
		review.CreationTimestamp = now()
		review.Status.UserInfo = userInfo(op.User)
		return review, nil
	case *authorizationv1.SubjectAccessReview:
		return s.reviewAccess(ctx, op, review)
	case *authorizationv1.LocalSubjectAccessReview:
		return s.reviewLocalAccess(ctx, op, review)
	case *authorizationv1.SelfSubjectAccessReview:
		return s.reviewOwnAccess(ctx, op, review)
	case *authorizationv1.SelfSubjectRulesReview:
		return s.reviewOwnRules(ctx, op, review)
	}
	return nil, apierrors.NewInternalError(fmt.Errorf("%s are virtual, and nothing answers them", op.Plural))
}

// bindByCollection is the old way to bind a pod: a POST to the namespace's bindings.
func (s *Server) bindByCollection(ctx context.Context, op *operation, binding *corev1.Binding) (runtime.Object, error) {
	pods := s.storedResource("", "pods")
	if pods == nil {
		return nil, errUnknownPath()
	}
	one := *op
	one.resource, one.Name, one.Subresource = pods, binding.Name, "binding"
	one.Resource = pods.Kind.Resource()
	return s.bind(ctx, &one, binding)
}

func (s *Server) reviewToken(ctx context.Context, review *authenticationv1.TokenReview) (runtime.Object, error) {
	if review.Spec.Token == "" {
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	review.Status = authenticationv1.TokenReviewStatus{}
	if s.config.ReviewToken == nil {
		return review, nil
	}
	whose, err := s.config.ReviewToken(ctx, review.Spec.Token, review.Spec.Audiences)
	if err != nil {
		review.Status.Error = err.Error()
		return review, nil
	}
	if whose.User != nil {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: userInfo(whose.User), Audiences: whose.Audiences}
	}
	return review, nil
}

func userInfo(u user.Info) authenticationv1.UserInfo {
	if u == nil {
		return authenticationv1.UserInfo{}
	}
	info := authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	if extra := u.GetExtra(); len(extra) > 0 {
		info.Extra = map[string]authenticationv1.ExtraValue{}
		for key, value := range extra {
			info.Extra[key] = value
		}
	}
	return info
}

func (s *Server) reviewAccess(ctx context.Context, op *operation, review *authorizationv1.SubjectAccessReview) (runtime.Object, error) {
	errs := validateSubjectSpec(&review.Spec)
	errs = append(errs, mustBeEmpty(review.ObjectMeta, false)...)
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(op.groupKind(), "", errs)
	}
	review.Status = s.judge(ctx, attributesOf(subjectOf(&review.Spec), review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes))
	return review, nil
}

func (s *Server) reviewLocalAccess(ctx context.Context, op *operation, review *authorizationv1.LocalSubjectAccessReview) (runtime.Object, error) {
	errs := validateSubjectSpec(&review.Spec)
	errs = append(errs, mustBeEmpty(review.ObjectMeta, true)...)
	path := field.NewPath("spec", "resourceAttributes", "namespace")
	if a := review.Spec.ResourceAttributes; a != nil && a.Namespace != review.Namespace {
		errs = append(errs, field.Invalid(path, a.Namespace, "must match metadata.namespace"))
	}
	if review.Spec.NonResourceAttributes != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec", "nonResourceAttributes"), review.Spec.NonResourceAttributes, "disallowed on this kind of request"))
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(op.groupKind(), "", errs)
	}
	review.Status = s.judge(ctx, attributesOf(subjectOf(&review.Spec), review.Spec.ResourceAttributes, nil))
	return review, nil
}

func (s *Server) reviewOwnAccess(ctx context.Context, op *operation, review *authorizationv1.SelfSubjectAccessReview) (runtime.Object, error) {
	errs := validateAttributes(review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	errs = append(errs, mustBeEmpty(review.ObjectMeta, false)...)
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(op.groupKind(), "", errs)
	}
	review.Status = s.judge(ctx, attributesOf(op.User, review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes))
	return review, nil
}

func (s *Server) reviewOwnRules(ctx context.Context, op *operation, review *authorizationv1.SelfSubjectRulesReview) (runtime.Object, error) {
	if review.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	review.Status = authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	resolver, ok := s.config.Authorizer.(RuleResolver)
	if !ok {
		all := []string{"*"}
		review.Status.ResourceRules = append(review.Status.ResourceRules, authorizationv1.ResourceRule{Verbs: all, APIGroups: all, Resources: all})
		review.Status.NonResourceRules = append(review.Status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: all, NonResourceURLs: all})
		review.Status.Incomplete = s.config.Authorizer != nil
		return review, nil
	}
	resources, others, incomplete, err := resolver.RulesFor(ctx, op.User, review.Spec.Namespace)
	review.Status.ResourceRules = append(review.Status.ResourceRules, resources...)
	review.Status.NonResourceRules = append(review.Status.NonResourceRules, others...)
	review.Status.Incomplete = incomplete
	if err != nil {
		review.Status.EvaluationError = err.Error()
	}
	return review, nil
}

func subjectOf(spec *authorizationv1.SubjectAccessReviewSpec) user.Info {
	extra := map[string][]string{}
	for key, value := range spec.Extra {
		extra[key] = value
	}
	return &user.DefaultInfo{Name: spec.User, Groups: spec.Groups, UID: spec.UID, Extra: extra}
}

func attributesOf(u user.Info, r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) Attributes {
	if r != nil {
		return Attributes{User: u, Verb: r.Verb, Group: r.Group, Version: r.Version, Resource: r.Resource, Subresource: r.Subresource,
			Namespace: r.Namespace, Name: r.Name, ResourceRequest: true}
	}
	return Attributes{User: u, Verb: n.Verb, Path: n.Path}
}

// judge asks the authorizer.
func (s *Server) judge(ctx context.Context, attributes Attributes) authorizationv1.SubjectAccessReviewStatus {
	if s.config.Authorizer == nil {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: true}
	}
	allowed, reason, err := s.config.Authorizer.Authorize(ctx, attributes)
	status := authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Reason: reason}
	if err != nil {
		status.EvaluationError = err.Error()
	}
	return status
}

func validateSubjectSpec(spec *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateAttributes(spec.ResourceAttributes, spec.NonResourceAttributes)
	if spec.User == "" && len(spec.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "user"), spec.User, "at least one of user or group must be specified"))
	}
	return errs
}

func validateAttributes(r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) field.ErrorList {
	path := field.NewPath("spec")
	switch {
	case r != nil && n != nil:
		return field.ErrorList{field.Invalid(path.Child("nonResourceAttributes"), n, "cannot be specified in combination with resourceAttributes")}
	case r == nil && n == nil:
		return field.ErrorList{field.Invalid(path.Child("resourceAttributes"), r, "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

// mustBeEmpty refuses metadata on a question, but for the namespace it is asked in.
func mustBeEmpty(meta metav1.ObjectMeta, namespaced bool) field.ErrorList {
	meta.ManagedFields = nil
	text := "must be empty"
	if namespaced {
		meta.Namespace, text = "", "must be empty except for namespace"
	}
	if apiequality.Semantic.DeepEqual(metav1.ObjectMeta{}, meta) {
		return nil
	}
	return field.ErrorList{field.Invalid(metadataPath, meta, text)}
}
