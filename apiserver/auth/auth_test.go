package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/apiserver/auth"
	"kubette/apiserver/kinds"
	"kubette/client"
	"kubette/store"
)

// cluster is an API server with the default roles and RBAC.
type cluster struct {
	*apiserver.Server
	authorizer *auth.Authorizer
	tokens     *auth.Tokens
	admin      client.Interface
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	ca, err := auth.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	state := func() kinds.Cluster { return c.Cluster() }
	c.authorizer = &auth.Authorizer{Cluster: state}
	c.tokens = &auth.Tokens{Key: ca.Key, Issuer: auth.DefaultIssuer("cluster.local"), Cluster: state}
	c.Server, err = apiserver.New(apiserver.Config{
		Store: store.NewMemory(), Authorizer: c.authorizer, Admission: []apiserver.Admission{auth.Escalation{Authorizer: c.authorizer}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Bootstrap(t.Context(), c.Server); err != nil {
		t.Fatal(err)
	}
	c.admin = client.InProcess(c.Server, auth.Admin())
	return c
}

func create[T client.Object](t testing.TB, c client.Interface, object T) T {
	t.Helper()
	made, err := client.Of[T](c).Create(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func person(name string, groups ...string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: append(groups, user.AllAuthenticated)}
}

// can parses "verb group/resource[/sub] namespace [name]"; a group of "-" is the core group.
func (c *cluster) can(t *testing.T, u user.Info, what string) (bool, string) {
	t.Helper()
	words := strings.Fields(what)
	a := apiserver.Attributes{User: u, Verb: words[0]}
	if strings.HasPrefix(words[1], "/") {
		a.Path = words[1]
	} else {
		parts := strings.Split(words[1], "/")
		a.ResourceRequest, a.Version, a.Group, a.Resource = true, "v1", strings.TrimPrefix(parts[0], "-"), parts[1]
		if len(parts) > 2 {
			a.Subresource = parts[2]
		}
		if len(words) > 2 {
			a.Namespace = strings.TrimPrefix(words[2], "-")
		}
		if len(words) > 3 {
			a.Name = words[3]
		}
	}
	allowed, reason, err := c.authorizer.Authorize(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return allowed, reason
}

func TestDefaultRights(t *testing.T) {
	c := newCluster(t)
	bind := func(name, role, who string) {
		create(t, c.admin, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: who}}})
	}
	bind("v", "view", "viewer")
	bind("e", "edit", "editor")
	bind("a", "admin", "boss")
	account := &user.DefaultInfo{Name: "system:serviceaccount:kube-system:replicaset-controller",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", user.AllAuthenticated}}
	for _, test := range []struct {
		u    user.Info
		what string
		want bool
	}{
		{auth.Server(), "delete -/nodes - n", true},
		{auth.Admin(), "delete -/nodes - n", true},
		{auth.Admin(), "get /metrics", true},
		{person("somebody"), "get /version", true},
		{person("somebody"), "get /apis/apps", true},
		{person("somebody"), "create authorization.k8s.io/selfsubjectaccessreviews", true},
		{person("somebody"), "get -/pods default", false},
		{apiserver.Anonymous(), "get /healthz", true},
		{apiserver.Anonymous(), "get /api", false},
		{person("viewer"), "list -/pods default", true},
		{person("viewer"), "list -/pods kube-system", false},
		{person("viewer"), "get -/secrets default s", false},
		{person("viewer"), "create -/pods default", false},
		{person("editor"), "create apps/deployments default", true},
		{person("editor"), "create -/pods/exec default p", true},
		{person("editor"), "create rbac.authorization.k8s.io/rolebindings default", false},
		{person("boss"), "create rbac.authorization.k8s.io/rolebindings default", true},
		{account, "create -/pods anywhere", true},
		{account, "create apps/deployments anywhere", false},
		{person("system:kube-scheduler"), "create -/pods/binding anywhere p", true},
		{person("system:kube-scheduler"), "delete -/namespaces - default", false},
	} {
		if got, _ := c.can(t, test.u, test.what); got != test.want {
			t.Errorf("%s may %s: %v", test.u.GetName(), test.what, got)
		}
	}
}

func TestRulesForASingleObject(t *testing.T) {
	c := newCluster(t)
	create(t, c.admin, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "default"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"mine"}, Verbs: []string{"get"}},
		{APIGroups: []string{"*"}, Resources: []string{"*/scale"}, Verbs: []string{"patch"}},
	}})
	create(t, c.admin, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "default"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "one"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "sa", Namespace: "default"}}})
	u := person("system:serviceaccount:default:sa")
	for what, want := range map[string]bool{
		"get -/configmaps default mine": true, "get -/configmaps default other": false, "list -/configmaps default": false,
		"patch apps/deployments/scale default d": true, "patch apps/deployments default d": false,
	} {
		if got, _ := c.can(t, u, what); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestABindingToAMissingRoleIsNamed(t *testing.T) {
	c := newCluster(t)
	create(t, c.admin, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "none"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jane"}}})
	allowed, reason := c.can(t, person("jane"), "get -/pods default")
	if want := `RBAC: role.rbac.authorization.k8s.io "none" not found`; allowed || reason != want {
		t.Errorf("%v %q", allowed, reason)
	}
}

func TestANodeMayReadWhatItsPodsUse(t *testing.T) {
	c := newCluster(t)
	optional := true
	create(t, c.admin, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}, Spec: corev1.PodSpec{
		NodeName: "n", ServiceAccountName: "sa",
		Containers: []corev1.Container{{Name: "c", Image: "i", EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "env"}, Optional: &optional}}}}},
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "files"}}}}},
	}})
	own, other := person("system:node:n", user.NodesGroup), person("system:node:m", user.NodesGroup)
	for _, what := range []string{"get -/secrets default env", "watch -/configmaps default files", "create -/serviceaccounts/token default sa"} {
		if allowed, reason := c.can(t, own, what); !allowed {
			t.Errorf("the pod's node may not %s: %s", what, reason)
		}
		if allowed, reason := c.can(t, other, what); allowed || !strings.Contains(reason, "no relationship found between node 'm' and this object") {
			t.Errorf("another node may %s (%q)", what, reason)
		}
	}
	for what, want := range map[string]bool{
		"list -/secrets default": false, "update -/secrets default env": false, "get -/secrets default other": false,
		"patch -/pods/status default p": true, "update coordination.k8s.io/leases kube-node-lease n": true, "delete -/services default s": false,
	} {
		if got, _ := c.can(t, own, what); got != want {
			t.Errorf("a node may %s: %v", what, got)
		}
	}
	if allowed, _ := c.can(t, person("system:node:n"), "list -/pods -"); allowed {
		t.Error("a name alone makes a node")
	}
}

func TestNobodyGivesRightsTheyLack(t *testing.T) {
	c := newCluster(t)
	create(t, c.admin, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "boss"}}})
	boss := client.InProcess(c.Server, person("boss"))
	role := func(name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Rules: rules}
	}
	nodes := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "delete"}}
	create(t, boss, role("ok", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}))
	_, err := client.Of[*rbacv1.Role](boss).Create(t.Context(), role("more", nodes))
	want := `roles.rbac.authorization.k8s.io "more" is forbidden: user "boss" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["nodes"], Verbs:["get" "delete"]}`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "boss"}}}
	if _, err := client.Of[*rbacv1.RoleBinding](boss).Create(t.Context(), binding); !apierrors.IsForbidden(err) {
		t.Errorf("bound cluster-admin: %v", err)
	}
	binding.RoleRef.Name = "view"
	create(t, boss, binding)
}

func TestServiceAccountTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		account := create(t, c.admin, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa", Namespace: "default"}})
		pod := create(t, c.admin, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
			Spec: corev1.PodSpec{ServiceAccountName: "sa", Containers: []corev1.Container{{Name: "c", Image: "i"}}}})
		hour := int64(3600)
		spec := authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}
		issue := func(spec authenticationv1.TokenRequestSpec, bound kinds.Object) string {
			token, _, err := c.tokens.Issue(t.Context(), account, spec, bound)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		fails := func(token, why string, audiences ...string) {
			t.Helper()
			if _, err := c.tokens.Verify(token, audiences); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("want %q: %v", why, err)
			}
		}
		bound := issue(spec, pod)
		known, err := c.tokens.Verify(bound, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := known.User; got.GetName() != "system:serviceaccount:default:sa" || got.GetUID() != string(account.UID) ||
			strings.Join(got.GetGroups(), " ") != "system:serviceaccounts system:serviceaccounts:default" ||
			got.GetExtra()["authentication.kubernetes.io/pod-name"][0] != "p" {
			t.Errorf("%+v", got)
		}
		spec.Audiences = []string{"vault"}
		vault := issue(spec, nil)
		fails(vault, "audiences")
		if known, err := c.tokens.Verify(vault, []string{"vault", "other"}); err != nil || strings.Join(known.Audiences, " ") != "vault" {
			t.Errorf("%v %v", known, err)
		}
		fails(bound[:len(bound)-8]+"AAAAAAAA", "signature")
		fails("a.b", "form of a JWT")

		if err := client.Of[*corev1.Pod](c.admin).Delete(t.Context(), "default", "p", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		fails(bound, "pod p is gone")
		time.Sleep(time.Hour)
		fails(vault, "expired", "vault")
		spec.Audiences = nil
		fresh := issue(spec, nil)
		if err := client.Of[*corev1.ServiceAccount](c.admin).Delete(t.Context(), "default", "sa", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		create(t, c.admin, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa", Namespace: "default"}})
		fails(fresh, "is another one now")
	})
}

// The tokens that pods get ask for 3607 seconds and live a year, because old clients never read them again.
func TestPodTokensLiveLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		account := create(t, c.admin, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "sa", Namespace: "default"}})
		pod := create(t, c.admin, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: types.UID("x")},
			Spec: corev1.PodSpec{ServiceAccountName: "sa", Containers: []corev1.Container{{Name: "c", Image: "i"}}}})
		seconds := int64(3607)
		token, expires, err := c.tokens.Issue(t.Context(), account, authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}, pod)
		if err != nil || expires.Sub(time.Now()) != 3607*time.Second {
			t.Fatalf("%v %v", err, expires)
		}
		time.Sleep(300 * 24 * time.Hour)
		if _, err := c.tokens.Verify(token, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestAuthenticate(t *testing.T) {
	ca, err := auth.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := auth.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	a := &auth.Authenticator{CA: ca}
	a.Static.Add("secret", auth.Admin())
	request := func(token string, from *auth.CA) *http.Request {
		r := &http.Request{Header: http.Header{}}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if from != nil {
			certificate, key, err := from.ClientCertificate("jane", "dev", "ops")
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.X509KeyPair(certificate, key)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(pair.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
		}
		return r
	}
	for _, c := range []struct {
		name, token string
		from        *auth.CA
		who         string // "" for nobody, "!" for an error
	}{
		{"nothing", "", nil, ""}, {"a token", "secret", nil, "kubernetes-admin"}, {"a wrong token", "guess", nil, "!"},
		{"a certificate", "", ca, "jane"}, {"a stranger's certificate", "", stranger, "!"},
		{"a stranger's certificate and a token", "secret", stranger, "kubernetes-admin"},
	} {
		u, known, err := a.Authenticate(request(c.token, c.from))
		got := ""
		switch {
		case err != nil:
			got = "!"
		case known:
			got = u.GetName()
		}
		if got != c.who {
			t.Errorf("%s: %q, want %q (%v)", c.name, got, c.who, err)
		}
	}
}

func TestTheCAIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := auth.LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := auth.LoadCA(dir)
	if err != nil || string(again.PEM()) != string(first.PEM()) || !again.Key.Equal(first.Key) {
		t.Errorf("another CA: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.LoadCA(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
	config, err := first.ServerTLS(auth.ServerNames("cluster.local"), []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "10.96.0.1", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: first.Pool(), DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	c := newCluster(b)
	a := apiserver.Attributes{User: person("system:serviceaccount:kube-system:replicaset-controller", "system:serviceaccounts"), Verb: "create", Version: "v1",
		Resource: "pods", Namespace: "default", ResourceRequest: true}
	for b.Loop() {
		if allowed, _, _ := c.authorizer.Authorize(b.Context(), a); !allowed {
			b.Fatal("refused")
		}
	}
}

func BenchmarkBootstrap(b *testing.B) {
	for b.Loop() {
		newCluster(b)
	}
}
