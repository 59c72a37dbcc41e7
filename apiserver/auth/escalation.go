package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/component-helpers/auth/rbac/validation"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// Escalation keeps users from giving rights that they do not have: who writes a role must hold all that it allows, and
// who binds one as well, unless they have the verb escalate on the role, or bind on the role bound. Kubernetes checks
// this where the objects are stored; here it is an admission step, which sees the same.
type Escalation struct{ Authorizer *Authorizer }

var _ apiserver.Admission = Escalation{}

func (Escalation) Name() string { return "RBACEscalation" }

func (Escalation) Admit(context.Context, *apiserver.AdmissionRequest) error { return nil }

// Validate judges roles and bindings that are written.
func (e Escalation) Validate(ctx context.Context, r *apiserver.AdmissionRequest) error {
	u := r.Attributes.User
	if r.Attributes.Group != rbacv1.GroupName || r.Operation != "CREATE" && r.Operation != "UPDATE" ||
		u == nil || slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return nil
	}
	var err error
	switch object := r.Object.(type) {
	case *rbacv1.Role:
		old, _ := r.Old.(*rbacv1.Role)
		if old != nil && equality.Semantic.DeepEqual(old.Rules, object.Rules) {
			return nil
		}
		err = e.mayWrite(ctx, r, object.Name, object.Rules)
	case *rbacv1.ClusterRole:
		old, _ := r.Old.(*rbacv1.ClusterRole)
		if old != nil && equality.Semantic.DeepEqual(old.Rules, object.Rules) && equality.Semantic.DeepEqual(old.AggregationRule, object.AggregationRule) {
			return nil
		}
		err = e.mayWrite(ctx, r, object.Name, object.Rules)
		if err == nil && object.AggregationRule != nil && (old == nil || !equality.Semantic.DeepEqual(old.AggregationRule, object.AggregationRule)) {
			// Nobody knows what an aggregated role will hold.
			err = e.mayWrite(ctx, r, object.Name, everything)
			if err != nil {
				err = errors.New("must have cluster-admin privileges to use an aggregationRule")
			}
		}
	case *rbacv1.RoleBinding:
		old, _ := r.Old.(*rbacv1.RoleBinding)
		if old != nil && equality.Semantic.DeepEqual(old.Subjects, object.Subjects) && old.RoleRef == object.RoleRef {
			return nil
		}
		err = e.mayBind(ctx, r, object.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		old, _ := r.Old.(*rbacv1.ClusterRoleBinding)
		if old != nil && equality.Semantic.DeepEqual(old.Subjects, object.Subjects) && old.RoleRef == object.RoleRef {
			return nil
		}
		err = e.mayBind(ctx, r, object.RoleRef)
	}
	var known apierrors.APIStatus
	if err == nil || errors.As(err, &known) {
		return err
	}
	return refused(r, err)
}

// refused is the answer to a write that an admission step does not allow.
func refused(r *apiserver.AdmissionRequest, err error) error {
	name := r.Attributes.Name
	if object, ok := r.Object.(kinds.Object); ok && name == "" {
		name = object.GetName()
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: r.Attributes.Group, Resource: r.Attributes.Resource}, name, err)
}

var everything = []rbacv1.PolicyRule{
	{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
	{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
}

func (e Escalation) mayWrite(ctx context.Context, r *apiserver.AdmissionRequest, name string, rules []rbacv1.PolicyRule) error {
	attributes := r.Attributes
	attributes.Verb, attributes.Name = "escalate", name
	if allowed, _, err := e.Authorizer.Authorize(ctx, attributes); allowed || err != nil {
		return err
	}
	return e.holds(r.Attributes.User, r.Attributes.Namespace, rules)
}

func (e Escalation) mayBind(ctx context.Context, r *apiserver.AdmissionRequest, ref rbacv1.RoleRef) error {
	attributes := r.Attributes
	attributes.Verb, attributes.Name, attributes.Resource = "bind", ref.Name, "clusterroles"
	if ref.Kind == "Role" {
		attributes.Resource = "roles"
	}
	if allowed, _, err := e.Authorizer.Authorize(ctx, attributes); allowed || err != nil {
		return err
	}
	rules, err := rulesOf(r.Cluster, ref, r.Attributes.Namespace)
	if err != nil {
		resource := schema.GroupResource{Group: rbacv1.GroupName, Resource: attributes.Resource}
		return apierrors.NewNotFound(resource, ref.Name)
	}
	return e.holds(r.Attributes.User, r.Attributes.Namespace, rules)
}

// holds checks that a user has all the rights of some rules.
func (e Escalation) holds(u user.Info, namespace string, rules []rbacv1.PolicyRule) error {
	own, resolution := e.Authorizer.rules(u, namespace)
	covered, missing := validation.Covers(own, rules)
	if covered {
		return nil
	}
	var lines []string
	for _, rule := range compact(missing) {
		lines = append(lines, describe(&rule))
	}
	slices.Sort(lines)
	message := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		u.GetName(), u.GetGroups(), strings.Join(slices.Compact(lines), "\n"))
	if resolution != nil {
		message += fmt.Sprintf("; resolution errors: %v", []error{resolution})
	}
	return errors.New(message)
}

// compact joins rules for the same single resource, so that the message is short: verbs together.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var joined []rbacv1.PolicyRule
	at := map[string]int{}
	for _, r := range rules {
		if len(r.APIGroups) != 1 || len(r.Resources) != 1 || len(r.ResourceNames) > 1 || len(r.NonResourceURLs) > 0 {
			joined = append(joined, r)
			continue
		}
		key := r.APIGroups[0] + "\x00" + r.Resources[0] + "\x00" + strings.Join(r.ResourceNames, "")
		i, seen := at[key]
		if !seen {
			at[key] = len(joined)
			joined = append(joined, *r.DeepCopy())
			continue
		}
		joined[i].Verbs = append(joined[i].Verbs, r.Verbs...)
	}
	return joined
}

func describe(r *rbacv1.PolicyRule) string {
	var parts []string
	for _, part := range []struct {
		name string
		list []string
	}{{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs}, {"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs}} {
		if len(part.list) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", part.name, part.list))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
