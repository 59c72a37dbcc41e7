package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

// subresourceBodies are the subresources that carry something else than the object itself.
var subresourceBodies = map[string]body{
	"scale":    {kind: autoscalingv1.SchemeGroupVersion.WithKind("Scale"), new: func() runtime.Object { return &autoscalingv1.Scale{} }},
	"binding":  {kind: corev1.SchemeGroupVersion.WithKind("Binding"), new: func() runtime.Object { return &corev1.Binding{} }},
	"eviction": {kind: policyv1.SchemeGroupVersion.WithKind("Eviction"), new: func() runtime.Object { return &policyv1.Eviction{} }},
	"token":    {kind: authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"), new: func() runtime.Object { return &authenticationv1.TokenRequest{} }},
}

// subresource is a part of an object with a path and verbs of its own.
type subresource struct {
	name  string
	kind  schema.GroupVersionKind // what a request to it carries
	verbs []string
}

var (
	partVerbs   = []string{"get", "patch", "update"}
	createVerbs = []string{"create"}
)

// ownSubresources are those that only one resource has, beyond status and scale. Those that are streams (log, exec, …)
// are the HTTP side's.
var ownSubresources = map[schema.GroupResource][]subresource{
	{Resource: "pods"}: {
		{name: "binding", verbs: createVerbs}, {name: "eviction", verbs: createVerbs},
		{name: "ephemeralcontainers", verbs: partVerbs}, {name: "resize", verbs: partVerbs},
	},
	{Resource: "namespaces"}:      {{name: "finalize", verbs: []string{"update"}}},
	{Resource: "serviceaccounts"}: {{name: "token", verbs: createVerbs}},
	{Group: certificatesv1.GroupName, Resource: "certificatesigningrequests"}: {{name: "approval", verbs: partVerbs}},
}

// subresources returns the subresources of a resource that this side serves, by name.
func (res *resource) subresources() []subresource {
	var all []subresource
	if res.Status != nil {
		all = append(all, subresource{name: "status", verbs: partVerbs})
	}
	if res.Scale != nil {
		all = append(all, subresource{name: "scale", verbs: partVerbs})
	}
	all = append(all, ownSubresources[res.groupResource()]...)
	for i := range all {
		all[i].kind = res.body(all[i].name).kind
	}
	slices.SortFunc(all, func(a, b subresource) int { return strings.Compare(a.name, b.name) })
	return all
}

// servesSubresource returns 404 for a subresource that there is not, and 405 for a verb that it does not have.
func (res *resource) servesSubresource(name, verb string) error {
	verbs := res.verbsOf(name)
	switch {
	case verbs == nil:
		return errUnknownPath()
	case !slices.Contains(verbs, verb):
		return apierrors.NewMethodNotSupported(schema.GroupResource{Group: res.Group, Resource: res.Plural + "/" + name}, verb)
	}
	return nil
}

// verbsOf are those of a subresource; nil when there is none of the name.
func (res *resource) verbsOf(name string) []string {
	if name == "status" && res.Status != nil || name == "scale" && res.Scale != nil {
		return partVerbs
	}
	own := ownSubresources[res.groupResource()]
	if i := slices.IndexFunc(own, func(sub subresource) bool { return sub.name == name }); i >= 0 {
		return own[i].verbs
	}
	return nil
}

// createSubresource posts to a subresource of an object.
func (s *Server) createSubresource(ctx context.Context, op *operation, object runtime.Object) (runtime.Object, error) {
	switch posted := object.(type) {
	case *corev1.Binding:
		if op.Subresource == "binding" {
			return s.bind(ctx, op, posted.DeepCopy())
		}
	case *policyv1.Eviction:
		if op.Subresource == "eviction" {
			return s.evict(ctx, op, posted.DeepCopy())
		}
	case *authenticationv1.TokenRequest:
		if op.Subresource == "token" {
			return s.issueToken(ctx, op, posted.DeepCopy())
		}
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("%s/%s takes a %s, not a %T", op.Plural, op.Subresource, op.bodyKind().Kind, object))
}

// subresourceRules are how a change of such a part is prepared and checked.
func (op *operation) subresourceRules() (updateRules, bool) {
	switch {
	case op.Subresource == "status":
		rules := updateRules{prepare: op.storage.Status.Prepare, validate: op.storage.Status.Validate}
		if rules.prepare == nil {
			rules.prepare = keepSpec
		}
		return rules, true
	case op.Subresource == "ephemeralcontainers":
		return updateRules{prepare: kinds.PrepareEphemeralContainers, validate: kinds.ValidateEphemeralContainers}, true
	case op.Subresource == "resize":
		return updateRules{prepare: kinds.PrepareResize, validate: kinds.ValidateResize}, true
	case op.Subresource == "finalize":
		return updateRules{prepare: prepareFinalize}, true
	case op.Subresource == "approval":
		return updateRules{prepare: prepareApproval}, true
	}
	return updateRules{}, false
}

// prepareFinalize lets the namespace controller take away its hold on a namespace, and nothing else change.
func prepareFinalize(object, old kinds.Object) {
	namespace, ok := object.(*corev1.Namespace)
	if ok {
		namespace.Status = old.(*corev1.Namespace).Status
	}
}

// prepareApproval lets the conditions of a certificate request change: who approves does not sign.
func prepareApproval(object, old kinds.Object) {
	csr, ok := object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return
	}
	before := old.(*certificatesv1.CertificateSigningRequest)
	conditions := csr.Status.Conditions
	csr.Spec, csr.Status = before.Spec, *before.Status.DeepCopy()
	csr.Status.Conditions = conditions
	for i := range csr.Status.Conditions {
		c := &csr.Status.Conditions[i]
		if c.LastUpdateTime.IsZero() {
			c.LastUpdateTime = now()
		}
		if c.LastTransitionTime.IsZero() {
			c.LastTransitionTime = now()
		}
	}
}
