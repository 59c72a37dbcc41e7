package ttl_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/ttl"
)

func TestNodesMayKeepLongerWhatTheyHaveReadTheMoreThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller { return []controllers.Controller{ttl.New(base)} })
		nodes := client.Of[*corev1.Node](c.Client)
		add := func(from, to int) {
			for i := from; i <= to; i++ {
				controllertest.Create(c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i)}})
			}
			c.Settle()
		}
		remove := func(from, to int) {
			for i := from; i <= to; i++ {
				if err := nodes.Delete(t.Context(), "", fmt.Sprintf("node-%d", i), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			c.Settle()
		}
		// A node reports now and then; that is when it gets a new annotation.
		reported := 0
		report := func(name string) {
			reported++
			patch := fmt.Sprintf(`{"metadata":{"labels":{"reported":"%d"}}}`, reported)
			if _, err := nodes.Patch(t.Context(), "", name, types.MergePatchType, []byte(patch)); err != nil {
				t.Fatal(err)
			}
			c.Settle()
		}
		want := func(name, seconds string) {
			t.Helper()
			node := controllertest.Get[*corev1.Node](c, "", name)
			if got := node.Annotations["node.alpha.kubernetes.io/ttl"]; got != seconds {
				t.Errorf("%s has %q, wanted %q", name, got, seconds)
			}
		}
		add(1, 100)
		want("node-1", "0")
		want("node-100", "0")
		add(101, 101)
		want("node-101", "15")
		want("node-1", "0")
		report("node-1")
		want("node-1", "15")
		// It takes more than one node less to go back.
		remove(90, 100)
		report("node-1")
		want("node-1", "15")
		remove(89, 89)
		report("node-1")
		want("node-1", "0")
		// What somebody else writes there is put right.
		if _, err := nodes.Patch(t.Context(), "", "node-2", types.MergePatchType, []byte(`{"metadata":{"annotations":{"node.alpha.kubernetes.io/ttl":"soon"}}}`)); err != nil {
			t.Fatal(err)
		}
		c.Settle()
		want("node-2", "0")
	})
}
