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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ana", Organization: []string{"students"}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "ana"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
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
