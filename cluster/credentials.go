package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// UserRoles are the roles that a user can be given in a namespace: the default ClusterRoles that Kubernetes has for people.
var UserRoles = []string{"view", "edit", "admin"}

// User is somebody who may use one namespace of a cluster, such as a student on a shared one.
type User struct{ Name, Namespace, Role string }

// credentialsTime bounds how long the cluster may take to sign a certificate.
const credentialsTime = 30 * time.Second

func (u User) check() error {
	switch {
	case u.Name == "" || len(path.IsValidPathSegmentName(u.Name)) > 0:
		return fmt.Errorf("%q cannot name a user (--user): use a name such as ana", u.Name)
	case strings.HasPrefix(u.Name, "system:"):
		return fmt.Errorf("user %s: names that begin with system: are the cluster's own (--user)", u.Name)
	case !slices.Contains(UserRoles, u.Role):
		return fmt.Errorf("%q is no role for a user: take one of %s (--role)", u.Role, strings.Join(UserRoles, ", "))
	}
	return nil
}

// UserCredentials lets a user into the running cluster, and returns the kubeconfig to give them. It does what an
// administrator does by hand: it has a certificate signed for the user's name through the certificates API, and binds the
// role to that name, in that namespace only. The namespace is made when it is not there.
func (s *State) UserCredentials(ctx context.Context, u User) (*clientcmdapi.Config, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	if _, err := s.Connect(); err != nil { // says how to start it when it does not run
		return nil, err
	}
	admin, err := clientcmd.LoadFromFile(s.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the cluster's credentials: %w", err)
	}
	config, err := clientcmd.NewDefaultClientConfig(*admin, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the cluster's credentials: %w", err)
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reach cluster %s: %w", s.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTime)
	defer cancel()
	if err := bindUser(ctx, api, u); err != nil {
		return nil, err
	}
	key, certificate, err := certify(ctx, api, u.Name)
	if err != nil {
		return nil, fmt.Errorf("a certificate for %s: %w", u.Name, err)
	}
	return userKubeconfig(UserContextName(s.Name, u.Name), admin.Clusters[ContextName(s.Name)], u, key, certificate), nil
}

// UserContextName is the name of a user's context in kubeconfig files.
func UserContextName(cluster, user string) string { return ContextName(cluster) + "-" + user }

func userKubeconfig(id string, server *clientcmdapi.Cluster, u User, key, certificate []byte) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters[id] = server
	config.AuthInfos[id] = &clientcmdapi.AuthInfo{ClientKeyData: key, ClientCertificateData: certificate}
	config.Contexts[id] = &clientcmdapi.Context{Cluster: id, AuthInfo: id, Namespace: u.Namespace}
	config.CurrentContext = id
	return config
}

// bindUser gives a user a role in a namespace, in place of the one that they had there from us.
func bindUser(ctx context.Context, api kubernetes.Interface, u User) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: u.Namespace}}
	if _, err := api.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make namespace %s: %w", u.Namespace, err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: u.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: u.Role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: u.Name}},
	}
	bindings := api.RbacV1().RoleBindings(u.Namespace)
	// A binding's role cannot be changed, so an old one goes first.
	if err := bindings.Delete(ctx, u.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("replace the role of %s: %w", u.Name, err)
	}
	if _, err := bindings.Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("give %s the role %s in namespace %s: %w", u.Name, u.Role, u.Namespace, err)
	}
	return nil
}

// certify makes a key, and has the cluster sign a certificate for it and a name. Both are returned in PEM.
func certify(ctx context.Context, api kubernetes.Interface, name string) (key, certificate []byte, err error) {
	key, request, err := newRequest(name)
	if err != nil {
		return nil, nil, err
	}
	requests := api.CertificatesV1().CertificateSigningRequests()
	made, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "kubette-user-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		err = errors.Join(err, requests.Delete(context.WithoutCancel(ctx), made.Name, metav1.DeleteOptions{}))
	}()
	made.Status.Conditions = append(made.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "KubetteUser", Message: "asked for with kubette kubeconfig --user",
	})
	approved, err := requests.UpdateApproval(ctx, made.Name, made, metav1.UpdateOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("approve it: %w", err)
	}
	certificate, err = signed(ctx, api, approved)
	return key, certificate, err
}

// signed waits until an approved request has its certificate.
func signed(ctx context.Context, api kubernetes.Interface, request *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	changes, err := api.CertificatesV1().CertificateSigningRequests().Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + request.Name, ResourceVersion: request.ResourceVersion,
	})
	if err != nil {
		return nil, err
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		now, ok := change.Object.(*certificatesv1.CertificateSigningRequest)
		if !ok {
			return nil, apierrors.FromObject(change.Object)
		}
		if len(now.Status.Certificate) > 0 {
			return now.Status.Certificate, nil
		}
		for _, c := range now.Status.Conditions {
			if c.Type == certificatesv1.CertificateFailed || c.Type == certificatesv1.CertificateDenied {
				return nil, fmt.Errorf("the cluster does not sign it: %s", c.Message)
			}
		}
	}
	return nil, errors.New("the cluster did not sign it in time; is certificate-controller paused?")
}

// newRequest makes a key and a request to sign a certificate for a name, both in PEM.
func newRequest(name string) (key, request []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, private)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	key = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}
