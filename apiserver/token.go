package apiserver

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
)

const (
	defaultTokenSeconds = 3600
	minTokenSeconds     = 600
	maxTokenSeconds     = 1 << 32
)

// issueToken answers serviceaccounts/token: a token with which a program is the service account, for some time.
func (s *Server) issueToken(ctx context.Context, op *operation, request *authenticationv1.TokenRequest) (runtime.Object, error) {
	if s.config.Tokens == nil {
		return nil, apierrors.NewServiceUnavailable("this cluster issues no service account tokens")
	}
	current, err := s.present(op)
	if err != nil {
		return nil, err
	}
	account, ok := current.object.(*corev1.ServiceAccount)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%s is no service account", op.Name))
	}
	if err := s.prepareToken(op, request); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, op, "CREATE", request, nil); err != nil {
		return nil, err
	}
	bound, err := s.boundObject(op, request.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	if err := s.validateAdmission(ctx, op, "CREATE", request, nil); err != nil {
		return nil, err
	}
	if op.dryRun {
		return request, nil
	}
	token, expires, err := s.config.Tokens.Issue(ctx, account, request.Spec, bound)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("issue a token for %s: %w", account.Name, err))
	}
	request.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.Unix(expires.Unix(), 0)}
	return request, nil
}

// prepareToken fills in defaults and checks the wish.
func (s *Server) prepareToken(op *operation, request *authenticationv1.TokenRequest) error {
	if err := placeIn(op.Namespace, request); err != nil {
		return err
	}
	if request.Name == "" {
		request.Name = op.Name
	}
	if request.Name != op.Name {
		return apierrors.NewBadRequest(fmt.Sprintf("metadata.name: Invalid value: %q: must match the service account name if specified: %s", request.Name, op.Name))
	}
	request.CreationTimestamp = now()
	request.Status = authenticationv1.TokenRequestStatus{}
	if request.Spec.ExpirationSeconds == nil {
		request.Spec.ExpirationSeconds = new(int64(defaultTokenSeconds))
	}
	path := field.NewPath("spec", "expirationSeconds")
	var errs field.ErrorList
	switch seconds := *request.Spec.ExpirationSeconds; {
	case seconds < minTokenSeconds:
		errs = append(errs, field.Invalid(path, seconds, "may not specify a duration less than 10 minutes"))
	case seconds > maxTokenSeconds:
		errs = append(errs, field.Invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: authenticationv1.GroupName, Kind: "TokenRequest"}, "", errs)
	}
	return nil
}

// boundObject finds the object with which a token is to end.
func (s *Server) boundObject(op *operation, ref *authenticationv1.BoundObjectReference) (kinds.Object, error) {
	if ref == nil {
		return nil, nil
	}
	plural, namespace := "", op.Namespace
	switch (schema.GroupVersionKind{Group: "", Version: "v1", Kind: ref.Kind}) {
	case corev1.SchemeGroupVersion.WithKind("Pod"):
		plural = "pods"
	case corev1.SchemeGroupVersion.WithKind("Secret"):
		plural = "secrets"
	case corev1.SchemeGroupVersion.WithKind("Node"):
		plural, namespace = "nodes", ""
	}
	if plural == "" || ref.APIVersion != "v1" && ref.APIVersion != "" {
		gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
		return nil, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to object type %s", op.Name, gvk.String()))
	}
	object, found := s.cluster().Get("", plural, namespace, ref.Name)
	if !found {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: plural}, ref.Name)
	}
	if ref.UID != "" && ref.UID != object.GetUID() {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: ref.Kind}, ref.Name, fmt.Errorf("the UID in the bound object "+
			"reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	return object, nil
}
