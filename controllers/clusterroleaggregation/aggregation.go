package clusterroleaggregation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Name is the controller's, in traces and as its service account.
const Name = "clusterrole-aggregation-controller"

// Controller keeps aggregated cluster roles up to date.
type Controller struct {
	controllers.Base
	roles client.Informer[*rbacv1.ClusterRole]
	loop  *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base) *Controller {
	c := &Controller{Base: base, roles: client.InformerFor[*rbacv1.ClusterRole](base.Informers)}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	c.roles.Handle(client.Handler[*rbacv1.ClusterRole]{
		Add:    func(r *rbacv1.ClusterRole) { c.askAll(r, "added") },
		Update: func(_, r *rbacv1.ClusterRole) { c.askAll(r, "changed") },
		Delete: func(r *rbacv1.ClusterRole) { c.askAll(r, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

func (c *Controller) askAll(changed *rbacv1.ClusterRole, what string) {
	for _, role := range c.roles.List("", labels.Everything()) {
		if role.AggregationRule != nil {
			c.loop.Add(role.Name, controllers.Cause("clusterroles", changed, what))
		}
	}
}

// Reconcile gives an aggregated role the rules of all roles that its selectors match.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	role, ok := c.roles.Get("", name)
	if !ok || role.AggregationRule == nil || role.DeletionTimestamp != nil {
		return 0, nil
	}
	rules, err := c.aggregate(role)
	if err != nil {
		return 0, err
	}
	if equality.Semantic.DeepEqual(rules, role.Rules) {
		return 0, nil
	}
	loop.Say(ctx, "AggregateRules", "role", name, "rules", len(rules))
	return 0, c.apply(ctx, name, rules)
}

// apply makes the rules of a role the controller's own, by server-side apply: what users wrote of the role stays theirs, and
// nothing is lost when the role has changed meanwhile. As in Kubernetes it does so under its own name.
func (c *Controller) apply(ctx context.Context, name string, rules []rbacv1.PolicyRule) error {
	wanted, err := json.Marshal(map[string]any{
		"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": "ClusterRole", "metadata": map[string]any{"name": name}, "rules": rules,
	})
	if err != nil {
		return fmt.Errorf("rules of cluster role %s: %w", name, err)
	}
	_, err = c.Client.Patch(ctx, client.ResourceOf[*rbacv1.ClusterRole](), "", name, types.ApplyPatchType, wanted,
		metav1.PatchOptions{FieldManager: Name, Force: ptr.To(true)})
	return err
}

// aggregate collects the rules, selector by selector and role by role in the order of their names, each once.
func (c *Controller) aggregate(role *rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	all := c.roles.List("", labels.Everything())
	slices.SortFunc(all, func(a, b *rbacv1.ClusterRole) int { return strings.Compare(a.Name, b.Name) })
	rules := []rbacv1.PolicyRule{}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, fmt.Errorf("selector %d of cluster role %s: %w", i, role.Name, err)
		}
		for _, other := range all {
			if other.Name == role.Name || !selector.Matches(labels.Set(other.Labels)) {
				continue
			}
			for _, rule := range other.Rules {
				if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(r, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules, nil
}
