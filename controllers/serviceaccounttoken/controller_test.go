package serviceaccounttoken_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/serviceaccounttoken"
)

type issuer struct{}

func (issuer) IssueLegacy(account *corev1.ServiceAccount, secret string) (string, error) {
	return account.Name + "/" + secret, nil
}

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{serviceaccounttoken.New(base, issuer{}, []byte("ca"))}
	})
}

func tokenOf(account, name string) *corev1.Secret {
	return &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "default", Annotations: map[string]string{corev1.ServiceAccountNameKey: account},
	}}
}

func TestSecretIsFilledIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		account := controllertest.Create(c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot", Namespace: "default"}})
		controllertest.Create(c, tokenOf("robot", "t"))
		controllertest.Create(c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "default"}})
		c.Settle()
		secrets := client.Of[*corev1.Secret](c.Client)
		got, err := secrets.Get(t.Context(), "default", "t")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{"token": []byte("robot/t"), "ca.crt": []byte("ca"), "namespace": []byte("default")}
		if diff := cmp.Diff(want, got.Data); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if got.Annotations[corev1.ServiceAccountUIDKey] != string(account.UID) {
			t.Errorf("annotations %v", got.Annotations)
		}
		if other, err := secrets.Get(t.Context(), "default", "other"); err != nil || len(other.Data) > 0 {
			t.Errorf("another secret: %v %v", other.Data, err)
		}
	})
}

func TestSecretGoesWithItsAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot", Namespace: "default"}})
		controllertest.Create(c, tokenOf("robot", "t"))
		controllertest.Create(c, tokenOf("nobody", "lost"))
		c.Settle()
		if err := client.Of[*corev1.ServiceAccount](c.Client).Delete(t.Context(), "default", "robot", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.Settle()
		left, err := client.Of[*corev1.Secret](c.Client).List(t.Context(), "default", metav1.ListOptions{})
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v %v", left, err)
		}
	})
}
