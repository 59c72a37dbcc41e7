package serviceaccounttoken

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Name is the controller's, in traces.
const Name = "serviceaccount-token-controller"

// Issuer makes the token of an account that lies in a secret of that name.
type Issuer interface {
	IssueLegacy(account *corev1.ServiceAccount, secret string) (string, error)
}

// Controller fills in secrets.
type Controller struct {
	controllers.Base
	issuer   Issuer
	ca       []byte
	secrets  client.Informer[*corev1.Secret]
	accounts client.Informer[*corev1.ServiceAccount]
	loop     *loop.Loop[key]
}

type key struct{ namespace, name string }

// New makes the controller; ca is the authority's certificate in PEM, which goes into the secrets as well.
func New(base controllers.Base, issuer Issuer, ca []byte) *Controller {
	c := &Controller{
		Base: base, issuer: issuer, ca: ca,
		secrets:  client.InformerFor[*corev1.Secret](base.Informers),
		accounts: client.InformerFor[*corev1.ServiceAccount](base.Informers),
	}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Machine: base.Machine})
	ask := func(s *corev1.Secret, what string) {
		if s.Type == corev1.SecretTypeServiceAccountToken {
			c.loop.Add(key{s.Namespace, s.Name}, controllers.Cause("secrets", s, what))
		}
	}
	c.secrets.Handle(client.Handler[*corev1.Secret]{
		Add:    func(s *corev1.Secret) { ask(s, "added") },
		Update: func(_, s *corev1.Secret) { ask(s, "changed") },
	})
	askAll := func(a *corev1.ServiceAccount, what string) {
		for _, s := range c.secrets.List(a.Namespace, labels.Everything()) {
			if s.Type == corev1.SecretTypeServiceAccountToken && s.Annotations[corev1.ServiceAccountNameKey] == a.Name {
				c.loop.Add(key{s.Namespace, s.Name}, controllers.Cause("serviceaccounts", a, what))
			}
		}
	}
	c.accounts.Handle(client.Handler[*corev1.ServiceAccount]{
		Add:    func(a *corev1.ServiceAccount) { askAll(a, "added") },
		Delete: func(a *corev1.ServiceAccount) { askAll(a, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile fills in a secret, or deletes it when its account is gone.
func (c *Controller) Reconcile(ctx context.Context, k key) (time.Duration, error) {
	secret, ok := c.secrets.Get(k.namespace, k.name)
	if !ok || secret.DeletionTimestamp != nil {
		return 0, nil
	}
	account, err := c.accountOf(ctx, secret)
	if err != nil {
		return 0, err
	}
	if account == nil {
		loop.Say(ctx, "DeleteToken", "account", secret.Annotations[corev1.ServiceAccountNameKey])
		err := client.Of[*corev1.Secret](c.Client).Delete(ctx, k.namespace, k.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &secret.UID}})
		return 0, controllers.IgnoreNotFound(err)
	}
	changed, err := c.filledIn(secret, account)
	if err != nil || changed == nil {
		return 0, err
	}
	loop.Say(ctx, "FillInToken", "account", account.Name)
	_, err = client.Of[*corev1.Secret](c.Client).Update(ctx, changed)
	return 0, controllers.IgnoreNotFound(err)
}

// accountOf returns the account that a secret names, or nil if there is none. The cache may not show an account yet that
// was made just before its secret, so that it is not believed when it says no.
func (c *Controller) accountOf(ctx context.Context, secret *corev1.Secret) (*corev1.ServiceAccount, error) {
	name, uid := secret.Annotations[corev1.ServiceAccountNameKey], secret.Annotations[corev1.ServiceAccountUIDKey]
	if name == "" {
		return nil, nil
	}
	its := func(account *corev1.ServiceAccount) bool { return uid == "" || uid == string(account.UID) }
	if account, ok := c.accounts.Get(secret.Namespace, name); ok && its(account) {
		return account, nil
	}
	account, err := client.Of[*corev1.ServiceAccount](c.Client).Get(ctx, secret.Namespace, name)
	if err != nil || !its(account) {
		return nil, controllers.IgnoreNotFound(err)
	}
	return account, nil
}

// filledIn returns the secret with all that it should hold; nil when it has it.
func (c *Controller) filledIn(secret *corev1.Secret, account *corev1.ServiceAccount) (*corev1.Secret, error) {
	wanted := map[string][]byte{corev1.ServiceAccountRootCAKey: c.ca, corev1.ServiceAccountNamespaceKey: []byte(secret.Namespace)}
	complete := len(secret.Data[corev1.ServiceAccountTokenKey]) > 0 && secret.Annotations[corev1.ServiceAccountUIDKey] == string(account.UID)
	for name, value := range wanted {
		complete = complete && bytes.Equal(secret.Data[name], value)
	}
	if complete {
		return nil, nil
	}
	if token := secret.Data[corev1.ServiceAccountTokenKey]; len(token) > 0 {
		wanted[corev1.ServiceAccountTokenKey] = token
	} else {
		token, err := c.issuer.IssueLegacy(account, secret.Name)
		if err != nil {
			return nil, fmt.Errorf("make a token of %s: %w", account.Name, err)
		}
		wanted[corev1.ServiceAccountTokenKey] = []byte(token)
	}
	changed := secret.DeepCopy()
	if changed.Data == nil {
		changed.Data = map[string][]byte{}
	}
	maps.Copy(changed.Data, wanted)
	metav1.SetMetaDataAnnotation(&changed.ObjectMeta, corev1.ServiceAccountUIDKey, string(account.UID))
	return changed, nil
}
