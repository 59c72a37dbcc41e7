package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// signingRequest is what `openssl req -new` makes.
func signingRequest(t *testing.T, name string, groups ...string) (key, request []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name, Organization: groups}}, private)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// TestCertificateOfOnesOwn goes the way of a new user: a request, its approval by who may approve for that signer, and the
// certificate in use.
func TestCertificateOfOnesOwn(t *testing.T) {
	u := admin(t)
	requests := u.CertificatesV1().CertificateSigningRequests()
	key, pemRequest := signingRequest(t, "jane", "devs")
	request := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "jane"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: pemRequest, SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		ExpirationSeconds: new(int32(3600))}}
	request.Spec.Username = "somebody else"
	made, err := requests.Create(t.Context(), request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Spec.Username != "kubernetes-admin" || len(made.Spec.Groups) != 2 {
		t.Errorf("the request is of %q, in %q", made.Spec.Username, made.Spec.Groups)
	}

	_, root := signingRequest(t, "eve", "system:masters")
	greedy := request.DeepCopy()
	greedy.Name, greedy.Spec.Request = "eve", root
	_, err = requests.Create(t.Context(), greedy, metav1.CreateOptions{})
	wantMessage(t, err, `certificatesigningrequests.certificates.k8s.io "eve" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed`)

	// Writing the approval takes two rights: on the request, and on its signer.
	u.apply(t, "clusterroles", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: half}, rules: [
		{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests, certificatesigningrequests/approval], verbs: [get, update]}]}`)
	u.apply(t, "clusterrolebindings", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: half},
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: half}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: clerk}]}`)
	approve := func(by *user) error {
		csr, err := by.CertificatesV1().CertificateSigningRequests().Get(t.Context(), "jane", metav1.GetOptions{})
		if err != nil {
			return err
		}
		csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
		_, err = by.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), "jane", csr, metav1.UpdateOptions{})
		return err
	}
	wantMessage(t, approve(u.posing(t, "clerk")), `certificatesigningrequests.certificates.k8s.io "jane" is forbidden: user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"`)
	u.apply(t, "clusterroles", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: half}, rules: [
		{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests, certificatesigningrequests/approval], verbs: [get, update]},
		{apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: ["kubernetes.io/*"], verbs: [approve]}]}`)
	if err := approve(u.posing(t, "clerk")); err != nil {
		t.Fatal(err)
	}

	var certificate []byte
	eventually(t, "the certificate", func() bool {
		csr, err := requests.Get(t.Context(), "jane", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		certificate = csr.Status.Certificate
		return len(certificate) > 0
	})
	jane := u.as(t, func(c *rest.Config) { c.CertData, c.KeyData = certificate, key })
	who, err := jane.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(who.Status.UserInfo.Username, who.Status.UserInfo.Groups); got != "jane[devs system:authenticated]" {
		t.Errorf("the certificate is for %s", got)
	}
	_, err = jane.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	wantMessage(t, err, `pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"`)
	u.apply(t, "rolebindings", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: devs},
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: devs}]}`)
	if _, err := jane.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// TestNobodyGivesMoreThanTheyHave tries what RBAC's guard is there for, as a user who may write roles and bindings.
func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	u := admin(t)
	u.apply(t, "rolebindings", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: chief},
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: chief}]}`)
	chief := u.posing(t, "chief", "system:authenticated")
	role := func(name string, rules ...rbacv1.PolicyRule) error {
		_, err := chief.RbacV1().Roles("default").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
		return err
	}
	bind := func(name, kind, to string) error {
		_, err := chief.RbacV1().RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: to},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "friend"}}}, metav1.CreateOptions{})
		return err
	}
	if err := role("reader", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}}); err != nil {
		t.Errorf("a role with less than one's own rights: %v", err)
	}
	if err := bind("reader", "Role", "reader"); err != nil {
		t.Errorf("a binding of it: %v", err)
	}
	wantMessage(t, role("nodes", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "delete"}}),
		`roles.rbac.authorization.k8s.io "nodes" is forbidden: user "chief" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["nodes"], Verbs:["get" "delete"]}`)
	if err := bind("everything", "ClusterRole", "cluster-admin"); !apierrors.IsForbidden(err) {
		t.Errorf("a binding to cluster-admin: %v", err)
	}
	_, err := chief.RbacV1().Roles("default").Patch(t.Context(), "reader", types.MergePatchType,
		[]byte(`{"rules":[{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}]}`), metav1.PatchOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("more rights for a role that is there: %v", err)
	}
	// The verbs escalate and bind are the permission to do so.
	u.apply(t, "roles", `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: beyond}, rules: [
		{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]},
		{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], resourceNames: [edit, system:node], verbs: [bind]}]}`)
	u.apply(t, "rolebindings", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: beyond},
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: beyond}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: chief}]}`)
	if err := role("nodes", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}}); err != nil {
		t.Errorf("with escalate: %v", err)
	}
	if err := bind("node", "ClusterRole", "system:node"); err != nil {
		t.Errorf("with bind: %v", err)
	}
	if err := bind("everything", "ClusterRole", "cluster-admin"); !apierrors.IsForbidden(err) {
		t.Errorf("a role that bind does not name: %v", err)
	}
}

// TestBoundTokens: a token lives as long as what it is bound to, and is for its audience only.
func TestBoundTokens(t *testing.T) {
	u := admin(t)
	u.apply(t, "pods", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeSelector: {no: such}, containers: [{name: c, image: nginx}]}}")
	u.apply(t, "secrets", "{apiVersion: v1, kind: Secret, metadata: {name: s}}")
	token := func(bound *authenticationv1.BoundObjectReference, audiences ...string) string {
		t.Helper()
		made, err := u.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default",
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: bound, Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made.Status.Token
	}
	who := func(token string) (string, error) {
		account := u.as(t, func(c *rest.Config) { c.BearerToken = token })
		review, err := account.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		return review.Status.UserInfo.Username, nil
	}
	review := func(token string, audiences ...string) authenticationv1.TokenReviewStatus {
		t.Helper()
		answer, err := u.AuthenticationV1().TokenReviews().Create(t.Context(),
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status
	}
	const account = "system:serviceaccount:default:default"
	for kind, remove := range map[string]func(context.Context, string, metav1.DeleteOptions) error{
		"Pod": u.CoreV1().Pods("default").Delete, "Secret": u.CoreV1().Secrets("default").Delete,
	} {
		name := map[string]string{"Pod": "p", "Secret": "s"}[kind]
		bound := token(&authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kind, Name: name})
		if got, err := who(bound); got != account || err != nil {
			t.Errorf("a token bound to a %s: %s, %v", kind, got, err)
		}
		status := review(bound)
		if key := "authentication.kubernetes.io/pod-name"; kind == "Pod" && (len(status.User.Extra[key]) != 1 || status.User.Extra[key][0] != "p") {
			t.Errorf("the review does not say of which pod: %v", status.User.Extra)
		}
		if err := remove(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of the token of a "+kind, func() bool { _, err := who(bound); return apierrors.IsUnauthorized(err) })
		if status := review(bound); status.Authenticated {
			t.Errorf("the review of a token whose %s is gone: %+v", kind, status)
		}
	}
	elsewhere := token(nil, "vault")
	if _, err := who(elsewhere); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token for another audience: %v", err)
	}
	if status := review(elsewhere, "vault"); !status.Authenticated || status.User.Username != account || len(status.Audiences) != 1 {
		t.Errorf("its review for that audience: %+v", status)
	}
	if status := review(elsewhere); status.Authenticated {
		t.Errorf("its review for the API server: %+v", status)
	}
	unbound := token(nil)
	if err := u.CoreV1().ServiceAccounts("default").Delete(t.Context(), "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := who(unbound); !apierrors.IsUnauthorized(err) {
		t.Errorf("the token of an account that is gone: %v", err)
	}
}
