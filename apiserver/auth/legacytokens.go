package auth

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"kubette/apiserver"
)

// Before tokens ended with their pod, every service account had one in a secret, for ever. They are made no more by
// themselves, but still for a secret of the type kubernetes.io/service-account-token that somebody creates.

const legacyIssuer = "kubernetes/serviceaccount"

// legacyClaims are what such a token says beside its issuer and subject.
type legacyClaims struct {
	Namespace  string `json:"kubernetes.io/serviceaccount/namespace,omitempty"`
	SecretName string `json:"kubernetes.io/serviceaccount/secret.name,omitempty"`
	Name       string `json:"kubernetes.io/serviceaccount/service-account.name,omitempty"`
	UID        string `json:"kubernetes.io/serviceaccount/service-account.uid,omitempty"`
}

// IssueLegacy makes the token of an account that lies in a secret and never ends.
func (t *Tokens) IssueLegacy(account *corev1.ServiceAccount, secret string) (string, error) {
	return t.sign(struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
		legacyClaims
	}{
		Issuer: legacyIssuer, Subject: serviceaccount.MakeUsername(account.Namespace, account.Name),
		legacyClaims: legacyClaims{Namespace: account.Namespace, SecretName: secret, Name: account.Name, UID: string(account.UID)},
	})
}

// verifyLegacy returns the account of a token in a secret: as long as the secret is there and holds it. It is for the API
// server only.
func (t *Tokens) verifyLegacy(token string, c *claims, audiences []string) (apiserver.TokenUser, error) {
	if !slices.Contains(audiences, t.Issuer) {
		return apiserver.TokenUser{}, fmt.Errorf("a token in a secret is not for the audiences %q", audiences)
	}
	object, found := t.Cluster().Get("", "secrets", c.legacyClaims.Namespace, c.SecretName)
	secret, ok := object.(*corev1.Secret)
	switch {
	case !found || !ok || secret.DeletionTimestamp != nil:
		return apiserver.TokenUser{}, errors.New("token has been invalidated")
	case string(secret.Data[corev1.ServiceAccountTokenKey]) != token:
		return apiserver.TokenUser{}, errors.New("token does not match server's copy")
	}
	of := binding{Namespace: c.legacyClaims.Namespace, ServiceAccount: reference{c.Name, c.UID}}
	if err := t.alive(of); err != nil {
		return apiserver.TokenUser{}, err
	}
	info := serviceaccount.ServiceAccountInfo{Namespace: of.Namespace, Name: c.Name, UID: c.UID}
	return apiserver.TokenUser{User: info.UserInfo(), Audiences: []string{t.Issuer}}, nil
}
