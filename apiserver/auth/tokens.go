package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// Tokens issues and verifies the tokens of service accounts: JWTs signed with ECDSA on P-256 (ES256), with the same
// claims as Kubernetes'.
type Tokens struct {
	// Key signs and verifies.
	Key *ecdsa.PrivateKey
	// Issuer is the cluster's name in its tokens, and their audience where none is asked for.
	Issuer string
	// Cluster reads what tokens are bound to.
	Cluster func() kinds.Cluster

	once sync.Once
	head string // of every token, encoded
}

// DefaultIssuer is the issuer of a cluster with a domain, as kubeadm sets it.
func DefaultIssuer(domain string) string { return "https://kubernetes.default.svc." + domain }

const (
	// bootTokenSeconds is the lifetime that the pods' own tokens ask for, and extendedLifetime what they really get: old
	// clients read their token only once. From warnafter on, Kubernetes counts their use.
	bootTokenSeconds = 3607
	extendedLifetime = 365 * 24 * time.Hour
	defaultLifetime  = time.Hour
	// deletedGrace is how long the token of an object that is being deleted still counts.
	deletedGrace = time.Minute
)

// claims are what a token says.
type claims struct {
	Audiences  []string `json:"aud"`
	Expires    int64    `json:"exp"` // seconds since 1970, as all times
	IssuedAt   int64    `json:"iat"`
	Issuer     string   `json:"iss"`
	ID         string   `json:"jti"`
	Kubernetes binding  `json:"kubernetes.io"`
	NotBefore  int64    `json:"nbf"`
	Subject    string   `json:"sub"`

	legacyClaims
}

// binding says which account a token is of, and which object it lives and dies with.
type binding struct {
	Namespace      string     `json:"namespace"`
	Node           *reference `json:"node,omitempty"`
	Pod            *reference `json:"pod,omitempty"`
	Secret         *reference `json:"secret,omitempty"`
	ServiceAccount reference  `json:"serviceaccount"`
	WarnAfter      int64      `json:"warnafter,omitempty"`
}

type reference struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Issue makes a token for a service account. Bound is a pod, a secret or a node, or nil.
func (t *Tokens) Issue(_ context.Context, account *corev1.ServiceAccount, spec authenticationv1.TokenRequestSpec, bound kinds.Object) (string, time.Time, error) {
	now := time.Now()
	lifetime := defaultLifetime
	if spec.ExpirationSeconds != nil {
		lifetime = time.Duration(*spec.ExpirationSeconds) * time.Second
	}
	audiences := spec.Audiences
	if len(audiences) == 0 {
		audiences = []string{t.Issuer}
	}
	expires := now.Add(lifetime)
	c := claims{
		Audiences: audiences, Issuer: t.Issuer, ID: string(uuid.NewUUID()), Subject: serviceaccount.MakeUsername(account.Namespace, account.Name),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(),
		Kubernetes: binding{Namespace: account.Namespace, ServiceAccount: reference{account.Name, string(account.UID)}},
	}
	t.bind(&c.Kubernetes, bound)
	if c.Kubernetes.Pod != nil && lifetime == bootTokenSeconds*time.Second && slices.Equal(audiences, []string{t.Issuer}) {
		c.Kubernetes.WarnAfter, c.Expires = expires.Unix(), now.Add(extendedLifetime).Unix()
	}
	token, err := t.sign(c)
	return token, expires, err
}

// bind names the object that a token is bound to. A pod's token names its node as well.
func (t *Tokens) bind(to *binding, bound kinds.Object) {
	if bound == nil {
		return
	}
	ref := &reference{bound.GetName(), string(bound.GetUID())}
	switch object := bound.(type) {
	case *corev1.Pod:
		to.Pod = ref
		if node := object.Spec.NodeName; node != "" {
			to.Node = &reference{Name: node}
			if found, ok := t.Cluster().Get("", "nodes", "", node); ok {
				to.Node.UID = string(found.GetUID())
			}
		}
	case *corev1.Secret:
		to.Secret = ref
	case *corev1.Node:
		to.Node = ref
	}
}

func (t *Tokens) sign(claims any) (string, error) {
	t.once.Do(func() { t.head = encode(fmt.Appendf(nil, `{"alg":"ES256","kid":%q}`, t.keyID())) + "." })
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	size := len(t.head) + base64.RawURLEncoding.EncodedLen(len(body)) + 1 + base64.RawURLEncoding.EncodedLen(64)
	token := append(make([]byte, 0, size), t.head...)
	token = base64.RawURLEncoding.AppendEncode(token, body)
	digest := sha256.Sum256(token)
	r, s, err := ecdsa.Sign(rand.Reader, t.Key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return string(base64.RawURLEncoding.AppendEncode(append(token, '.'), signature[:])), nil
}

// keyID names the key, as a hash of its public half.
func (t *Tokens) keyID() string {
	der, err := x509.MarshalPKIXPublicKey(t.Key.Public())
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return encode(sum[:])
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// Owns says whether a token claims to be one of this issuer's; only then do its errors count.
func (t *Tokens) Owns(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	return json.Unmarshal(body, &c) == nil && (c.Issuer == t.Issuer || c.Issuer == legacyIssuer)
}

// Verify returns the service account that a token is of, and the audiences that both the token and the caller accept;
// a caller that names none means the API server itself.
func (t *Tokens) Verify(token string, audiences []string) (apiserver.TokenUser, error) {
	if len(audiences) == 0 {
		audiences = []string{t.Issuer}
	}
	c, err := t.open(token)
	if err != nil {
		return apiserver.TokenUser{}, err
	}
	if c.Issuer == legacyIssuer {
		return t.verifyLegacy(token, c, audiences)
	}
	now := time.Now()
	switch {
	case c.Issuer != t.Issuer:
		return apiserver.TokenUser{}, errors.New("the token is of another issuer")
	case now.Unix() >= c.Expires:
		return apiserver.TokenUser{}, errors.New("service account token has expired")
	case now.Unix()+int64(clockSkew/time.Second) < c.NotBefore:
		return apiserver.TokenUser{}, errors.New("service account token is not valid yet")
	}
	var accepted []string
	for _, audience := range audiences {
		if slices.Contains(c.Audiences, audience) {
			accepted = append(accepted, audience)
		}
	}
	if len(accepted) == 0 {
		return apiserver.TokenUser{}, fmt.Errorf("token audiences %q is invalid for the target audiences %q", c.Audiences, audiences)
	}
	if err := t.alive(c.Kubernetes); err != nil {
		return apiserver.TokenUser{}, err
	}
	return apiserver.TokenUser{User: c.user(), Audiences: accepted}, nil
}

// open checks the signature and returns what the token says.
func (t *Tokens) open(token string) (*claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("the token has not the form of a JWT")
	}
	var raw [3][]byte
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil, fmt.Errorf("decode the token: %w", err)
		}
		raw[i] = data
	}
	var head struct {
		Algorithm string `json:"alg"`
	}
	if err := json.Unmarshal(raw[0], &head); err != nil {
		return nil, fmt.Errorf("decode the token: %w", err)
	}
	if head.Algorithm != "ES256" || len(raw[2]) != 64 {
		return nil, fmt.Errorf("the token is signed with %q, not ES256", head.Algorithm)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])
	if !ecdsa.Verify(&t.Key.PublicKey, digest[:], r, s) {
		return nil, errors.New("the token's signature is wrong")
	}
	var c claims
	if err := json.Unmarshal(raw[1], &c); err != nil {
		return nil, fmt.Errorf("decode the token: %w", err)
	}
	return &c, nil
}

// alive checks that the account and the object that a token is bound to are still the ones they were.
func (t *Tokens) alive(b binding) error {
	cluster := t.Cluster()
	check := func(plural, namespace string, ref *reference) error {
		if ref == nil {
			return nil
		}
		object, found := cluster.Get("", plural, namespace, ref.Name)
		switch {
		case !found:
			return fmt.Errorf("the token's %s %s is gone", strings.TrimSuffix(plural, "s"), ref.Name)
		case string(object.GetUID()) != ref.UID:
			return fmt.Errorf("the token's %s %s is another one now: UID %s, not %s", strings.TrimSuffix(plural, "s"), ref.Name, object.GetUID(), ref.UID)
		case object.GetDeletionTimestamp() != nil && time.Since(object.GetDeletionTimestamp().Time) > deletedGrace:
			return fmt.Errorf("the token's %s %s has been deleted", strings.TrimSuffix(plural, "s"), ref.Name)
		}
		return nil
	}
	err := errors.Join(check("serviceaccounts", b.Namespace, &b.ServiceAccount), check("pods", b.Namespace, b.Pod), check("secrets", b.Namespace, b.Secret))
	if b.Pod == nil {
		err = errors.Join(err, check("nodes", "", b.Node))
	}
	return err
}

// user is who a token makes its bearer.
func (c *claims) user() user.Info {
	b := c.Kubernetes
	info := serviceaccount.ServiceAccountInfo{Namespace: b.Namespace, Name: b.ServiceAccount.Name, UID: b.ServiceAccount.UID}
	if c.ID != "" {
		info.CredentialID = "JTI=" + c.ID
	}
	if b.Pod != nil {
		info.PodName, info.PodUID = b.Pod.Name, b.Pod.UID
	}
	if b.Node != nil {
		info.NodeName, info.NodeUID = b.Node.Name, b.Node.UID
	}
	return info.UserInfo()
}

// OpenID returns the documents that let others verify the cluster's tokens: the issuer's configuration and its keys.
func (t *Tokens) OpenID() (configuration, keys []byte, err error) {
	public := t.Key.PublicKey
	point, err := public.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("encode the public key: %w", err)
	}
	x, y := point[1:33], point[33:]
	configuration, err = json.Marshal(map[string]any{
		"issuer": t.Issuer, "jwks_uri": t.Issuer + "/openid/v1/jwks", "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("describe the issuer: %w", err)
	}
	keys, err = json.Marshal(map[string]any{"keys": []map[string]string{{
		"use": "sig", "kty": "EC", "kid": t.keyID(), "crv": "P-256", "alg": "ES256", "x": encode(x), "y": encode(y),
	}}})
	if err != nil {
		return nil, nil, fmt.Errorf("describe the issuer's key: %w", err)
	}
	return configuration, keys, nil
}
