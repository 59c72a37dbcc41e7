package certificates_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/certificates"
	"kubette/controllers/controllertest"
)

func request(t *testing.T, signer string) *certificatesv1.CertificateSigningRequest {
	return requestOf(t, signer, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ana", Organization: []string{"students"}}}, certificatesv1.UsageClientAuth)
}

func requestOf(t *testing.T, signer string, asks *x509.CertificateRequest, usages ...certificatesv1.KeyUsage) *certificatesv1.CertificateSigningRequest {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, asks, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "ana"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		Usages: usages,
	}}
}

func start(t *testing.T) *controllertest.Cluster {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(r *x509.CertificateRequest, _ []certificatesv1.KeyUsage, until time.Time) ([]byte, error) {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: r.Subject, NotBefore: time.Now(), NotAfter: until}
		der, err := x509.CreateCertificate(rand.Reader, template, template, r.PublicKey, key)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
	}
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{certificates.New(base, sign)}
	})
}

func get(c *controllertest.Cluster) *certificatesv1.CertificateSigningRequest {
	return controllertest.Get[*certificatesv1.CertificateSigningRequest](c, "", "ana")
}

func approve(c *controllertest.Cluster) {
	changed := get(c).DeepCopy()
	changed.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "KubectlApprove"}}
	if _, err := c.Client.Update(context.Background(), client.ResourceOf[*certificatesv1.CertificateSigningRequest](), "", "ana", changed, metav1.UpdateOptions{}, "approval"); err != nil {
		c.T.Fatal(err)
	}
	c.Settle()
}

func TestSignAfterApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, request(t, certificatesv1.KubeAPIServerClientSignerName))
		c.Settle()
		if len(get(c).Status.Certificate) > 0 {
			t.Error("signed without approval")
		}
		approve(c)
		if len(get(c).Status.Certificate) == 0 {
			t.Errorf("not signed: %+v", get(c).Status.Conditions)
		}
		c.Pass(time.Hour + time.Minute)
		if left := controllertest.List[*certificatesv1.CertificateSigningRequest](c, ""); len(left) != 0 {
			t.Error("an old request is still there")
		}
	})
}

func TestSignerRefusesWhatItDoesNotGive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, request(t, certificatesv1.KubeletServingSignerName))
		c.Settle()
		approve(c)
		conditions := get(c).Status.Conditions
		if len(conditions) != 2 || conditions[1].Type != certificatesv1.CertificateFailed || conditions[1].Reason != "SignerValidationFailure" {
			t.Errorf("conditions are %+v", conditions)
		}
	})
}

// What a signer says of a request that it refuses.
func TestWhyASignerRefuses(t *testing.T) {
	node := pkix.Name{CommonName: "system:node:worker-1", Organization: []string{"system:nodes"}}
	names := []string{"worker-1"}
	const client, kubelet, serving = certificatesv1.KubeAPIServerClientSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	const clientAuth, serverAuth, signature = certificatesv1.UsageClientAuth, certificatesv1.UsageServerAuth, certificatesv1.UsageDigitalSignature
	for name, test := range map[string]struct {
		signer string
		asks   x509.CertificateRequest
		usages []certificatesv1.KeyUsage
		want   string // "" for a certificate
	}{
		"a client":                  {client, x509.CertificateRequest{}, []certificatesv1.KeyUsage{clientAuth}, ""},
		"a client that is a server": {client, x509.CertificateRequest{}, []certificatesv1.KeyUsage{clientAuth, serverAuth}, "invalid usage for client certificate: server auth"},
		"a client that is none":     {client, x509.CertificateRequest{}, []certificatesv1.KeyUsage{signature}, "missing required usage for client certificate: client auth"},
		"a kubelet's client":        {kubelet, x509.CertificateRequest{Subject: node}, []certificatesv1.KeyUsage{clientAuth, signature}, ""},
		"a kubelet that is none":    {kubelet, x509.CertificateRequest{}, []certificatesv1.KeyUsage{clientAuth, signature}, "subject organization is not system:nodes"},
		"a kubelet without a name": {kubelet, x509.CertificateRequest{Subject: pkix.Name{CommonName: "worker-1", Organization: node.Organization}},
			[]certificatesv1.KeyUsage{clientAuth, signature}, "subject common name does not begin with system:node:"},
		"a kubelet's client of other names": {kubelet, x509.CertificateRequest{Subject: node, DNSNames: names}, []certificatesv1.KeyUsage{clientAuth, signature}, "DNS subjectAltNames are not allowed"},
		"a kubelet's client for less":       {kubelet, x509.CertificateRequest{Subject: node}, []certificatesv1.KeyUsage{clientAuth}, "usages did not match [client auth digital signature key encipherment]"},
		"a kubelet's server":                {serving, x509.CertificateRequest{Subject: node, DNSNames: names}, []certificatesv1.KeyUsage{serverAuth, signature}, ""},
		"a kubelet's server without names":  {serving, x509.CertificateRequest{Subject: node}, []certificatesv1.KeyUsage{serverAuth, signature}, "DNS or IP subjectAltName is required"},
		"a kubelet's server with mail": {serving, x509.CertificateRequest{Subject: node, DNSNames: names, EmailAddresses: []string{"a@example.org"}},
			[]certificatesv1.KeyUsage{serverAuth, signature}, "Email subjectAltNames are not allowed"},
		"a kubelet's server for less": {serving, x509.CertificateRequest{Subject: node, DNSNames: names}, []certificatesv1.KeyUsage{serverAuth},
			"usages did not match [digital signature key encipherment server auth]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				controllertest.Create(c, requestOf(t, test.signer, &test.asks, test.usages...))
				c.Settle()
				approve(c)
				status := get(c).Status
				switch {
				case test.want == "" && len(status.Certificate) == 0:
					t.Errorf("not signed: %+v", status.Conditions)
				case test.want != "" && (len(status.Conditions) != 2 || status.Conditions[1].Message != test.want):
					t.Errorf("conditions %+v, wanted %q", status.Conditions, test.want)
				}
			})
		})
	}
}

// A request that is approved late, and that nobody signs, is kept for a day from then on.
func TestHowLongAnApprovedRequestIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		controllertest.Create(c, request(t, "example.org/other"))
		c.Pass(23 * time.Hour)
		approve(c)
		c.Pass(23 * time.Hour)
		get(c)
		c.Pass(2 * time.Hour)
		if left := controllertest.List[*certificatesv1.CertificateSigningRequest](c, ""); len(left) != 0 {
			t.Error("an old request is still there")
		}
	})
}
