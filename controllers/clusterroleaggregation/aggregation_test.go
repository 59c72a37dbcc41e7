package clusterroleaggregation_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/auth"
	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/clusterroleaggregation"
	"kubette/controllers/controllertest"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{clusterroleaggregation.New(base)}
	})
}

func TestALabelledRoleAddsItsRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		roles := client.Of[*rbacv1.ClusterRole](c.Client)
		label := map[string]string{"for": "sum"}
		pods := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}
		crons := rbacv1.PolicyRule{APIGroups: []string{"x.example.org"}, Resources: []string{"crons"}, Verbs: []string{"get"}}
		controllertest.Create(c, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "sum"},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: label}}}})
		controllertest.Create(c, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "b", Labels: label}, Rules: []rbacv1.PolicyRule{crons, pods}})
		controllertest.Create(c, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: label}, Rules: []rbacv1.PolicyRule{pods}})
		controllertest.Create(c, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Rules: []rbacv1.PolicyRule{crons}})
		c.Settle()
		want := func(rules ...rbacv1.PolicyRule) {
			t.Helper()
			sum, err := roles.Get(t.Context(), "", "sum")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rules, sum.Rules); diff != "" {
				t.Error(diff)
			}
		}
		want(pods, crons)
		if err := roles.Delete(t.Context(), "", "b", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.Settle()
		want(pods)
		sum, err := roles.Get(t.Context(), "", "sum")
		if err != nil {
			t.Fatal(err)
		}
		for _, owner := range sum.ManagedFields {
			if owner.Operation == metav1.ManagedFieldsOperationApply && owner.Manager == "clusterrole-aggregation-controller" &&
				string(owner.FieldsV1.GetRawBytes()) == `{"f:rules":{}}` {
				return
			}
		}
		t.Errorf("nobody has applied the rules: %+v", sum.ManagedFields)
	})
}

// The recorded default roles are what their parts amount to.
func TestDefaultRolesAreSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		if err := auth.Bootstrap(t.Context(), c.Server); err != nil {
			t.Fatal(err)
		}
		c.Settle()
		for _, name := range []string{"admin", "edit", "view"} {
			role, err := client.Of[*rbacv1.ClusterRole](c.Client).Get(t.Context(), "", name)
			if err != nil {
				t.Fatal(err)
			}
			if len(role.Rules) < 5 {
				t.Errorf("%s has %d rules", name, len(role.Rules))
			}
		}
	})
}
