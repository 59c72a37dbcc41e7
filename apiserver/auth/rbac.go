package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// Authorizer decides by, in this order: the group system:masters, the node authorizer, RBAC. The first that allows
// decides; none forbids.
type Authorizer struct {
	// Cluster reads the roles and bindings.
	Cluster func() kinds.Cluster

	known knownRules
}

var (
	_ apiserver.Authorizer   = (*Authorizer)(nil)
	_ apiserver.RuleResolver = (*Authorizer)(nil)
)

// Authorize says whether a user may do what they want, and if not, a reason where there is more to say than that no rule
// allows it.
func (a *Authorizer) Authorize(_ context.Context, attributes apiserver.Attributes) (bool, string, error) {
	u := attributes.User
	if u == nil {
		return false, "", nil
	}
	if slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return true, "", nil
	}
	cluster := a.Cluster()
	var reasons []string
	if node, is := nodeOf(u); is {
		allowed, reason := authorizeNode(cluster, node, attributes)
		if allowed {
			return true, "", nil
		}
		reasons = append(reasons, reason)
	}
	allowed, err := a.allowedByRules(cluster, u, attributes)
	if allowed {
		return true, "", nil
	}
	if err != nil {
		reasons = append(reasons, "RBAC: "+err.Error())
	}
	return false, strings.Join(reasons, "\n"), nil
}

// RulesFor lists what the rules allow a user in a namespace ("" for the cluster's own): what a SelfSubjectRulesReview
// asks. The error tells which bindings name roles that do not exist; what is listed is good all the same. A kubelet may
// more than is listed.
func (a *Authorizer) RulesFor(_ context.Context, u user.Info, namespace string) (
	resources []authorizationv1.ResourceRule, others []authorizationv1.NonResourceRule, incomplete bool, err error) {
	rules, err := a.rules(u, namespace)
	for _, r := range rules {
		if len(r.Resources) > 0 {
			resources = append(resources, authorizationv1.ResourceRule{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
			})
		}
		if len(r.NonResourceURLs) > 0 {
			others = append(others, authorizationv1.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	_, isNode := nodeOf(u)
	return resources, others, isNode || err != nil, err
}

func (a *Authorizer) rules(u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	var rules []rbacv1.PolicyRule
	err := visitRules(a.Cluster(), u, namespace, func(rule *rbacv1.PolicyRule) bool {
		rules = append(rules, *rule)
		return true
	})
	return rules, err
}

func (a *Authorizer) allowedByRules(cluster kinds.Cluster, u user.Info, attributes apiserver.Attributes) (bool, error) {
	namespace := attributes.Namespace
	if !attributes.ResourceRequest {
		namespace = ""
	}
	given := a.known.of(cluster, u, namespace)
	for _, rule := range given.rules {
		if ruleAllows(rule, &attributes) {
			return true, nil
		}
	}
	return false, given.err
}

// visitRules calls a function for the rules that bindings give to a user, those for the whole cluster first, until it
// returns false. A binding whose role does not exist gives nothing, and an error to tell of it.
func visitRules(cluster kinds.Cluster, u user.Info, namespace string, visit func(*rbacv1.PolicyRule) bool) error {
	var missing []error
	give := func(subjects []rbacv1.Subject, in string, ref rbacv1.RoleRef) bool {
		if !slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool { return subjectIs(&s, in, u) }) {
			return true
		}
		rules, err := rulesOf(cluster, ref, in)
		if err != nil {
			missing = append(missing, err)
			return true
		}
		for i := range rules {
			if !visit(&rules[i]) {
				return false
			}
		}
		return true
	}
	for _, object := range cluster.List(rbacv1.GroupName, "clusterrolebindings", "") {
		if b, ok := object.(*rbacv1.ClusterRoleBinding); ok && !give(b.Subjects, "", b.RoleRef) {
			return nil
		}
	}
	if namespace != "" {
		for _, object := range cluster.List(rbacv1.GroupName, "rolebindings", namespace) {
			if b, ok := object.(*rbacv1.RoleBinding); ok && !give(b.Subjects, namespace, b.RoleRef) {
				return nil
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if len(missing) == 1 {
		return missing[0]
	}
	texts := make([]string, len(missing))
	for i, err := range missing {
		texts[i] = err.Error()
	}
	return errors.New("[" + strings.Join(slices.Compact(texts), ", ") + "]")
}

// rulesOf reads the role that a binding refers to. A role of a namespace is looked for in the binding's.
func rulesOf(cluster kinds.Cluster, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch ref.Kind {
	case "ClusterRole":
		if object, ok := cluster.Get(rbacv1.GroupName, "clusterroles", "", ref.Name); ok {
			if role, ok := object.(*rbacv1.ClusterRole); ok {
				return role.Rules, nil
			}
		}
		return nil, fmt.Errorf("clusterrole.rbac.authorization.k8s.io %q not found", ref.Name)
	case "Role":
		if object, ok := cluster.Get(rbacv1.GroupName, "roles", namespace, ref.Name); ok {
			if role, ok := object.(*rbacv1.Role); ok {
				return role.Rules, nil
			}
		}
		return nil, fmt.Errorf("role.rbac.authorization.k8s.io %q not found", ref.Name)
	}
	return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
}

// subjectIs says whether a binding's subject means a user.
func subjectIs(s *rbacv1.Subject, namespace string, u user.Info) bool {
	switch s.Kind {
	case rbacv1.UserKind:
		return s.Name == u.GetName()
	case rbacv1.GroupKind:
		return slices.Contains(u.GetGroups(), s.Name)
	case rbacv1.ServiceAccountKind:
		in := s.Namespace
		if in == "" {
			in = namespace
		}
		return in != "" && serviceaccount.MatchesUsername(in, s.Name, u.GetName())
	}
	return false
}

// ruleAllows says whether a rule allows a request. "*" stands for everything; "*/scale" for a subresource of every
// resource; a path may end in "*".
func ruleAllows(rule *rbacv1.PolicyRule, a *apiserver.Attributes) bool {
	if !hasOrAll(rule.Verbs, a.Verb) {
		return false
	}
	if !a.ResourceRequest {
		return slices.ContainsFunc(rule.NonResourceURLs, func(pattern string) bool { return pathMatches(pattern, a.Path) })
	}
	return hasOrAll(rule.APIGroups, a.Group) && resourceMatches(rule.Resources, a.Resource, a.Subresource) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

func hasOrAll(list []string, value string) bool {
	return slices.Contains(list, value) || slices.Contains(list, "*")
}

func resourceMatches(resources []string, resource, subresource string) bool {
	combined := resource
	if subresource != "" {
		combined += "/" + subresource
	}
	for _, r := range resources {
		if r == "*" || r == combined {
			return true
		}
		if sub, ok := strings.CutPrefix(r, "*/"); ok && subresource != "" && sub == subresource {
			return true
		}
	}
	return false
}

func pathMatches(pattern, path string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return pattern == path
}
