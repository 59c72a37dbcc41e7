package serviceaccount_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/serviceaccount"
)

func TestEveryNamespaceHasADefaultAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
			return []controllers.Controller{serviceaccount.New(base)}
		})
		c.Settle()
		first := controllertest.Get[*corev1.ServiceAccount](c, "default", "default")
		failures := 0
		c.Faults.Set(func(verb, _, _ string) error {
			if failures++; failures <= 3 {
				return errors.New("lost")
			}
			return nil
		})
		controllertest.Delete[*corev1.ServiceAccount](c, "default", "default")
		controllertest.Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "school"}})
		c.Pass(time.Second)
		if again := controllertest.Get[*corev1.ServiceAccount](c, "default", "default"); again.UID == first.UID {
			t.Error("the account is the deleted one")
		}
		controllertest.Get[*corev1.ServiceAccount](c, "school", "default")
		controllertest.Create(c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "school"}})
		controllertest.Delete[*corev1.ServiceAccount](c, "school", "other")
		c.Settle()
		if n := len(controllertest.List[*corev1.ServiceAccount](c, "school")); n != 1 {
			t.Errorf("school has %d accounts: one that is not named default comes back", n)
		}
	})
}
