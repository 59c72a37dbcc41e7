package certificates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// Name is the controller's, in traces and events.
const Name = "certificate-controller"

// Signer signs a request with the cluster's authority: for the usages given, until the time given. It returns the
// certificate in PEM.
type Signer func(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage, until time.Time) ([]byte, error)

// maxDuration is how long a certificate is valid at most; Kubernetes' --cluster-signing-duration.
const maxDuration = 365 * 24 * time.Hour

// Controller approves, signs and cleans up requests.
type Controller struct {
	controllers.Base
	sign     Signer
	requests client.Informer[*certificatesv1.CertificateSigningRequest]
	loop     *loop.Loop[string]
}

// New makes the controller.
func New(base controllers.Base, sign Signer) *Controller {
	c := &Controller{Base: base, sign: sign, requests: client.InformerFor[*certificatesv1.CertificateSigningRequest](base.Informers)}
	c.loop = loop.New(Name, c.Reconcile, loop.Options{Workers: 5, MinBackoff: 200 * time.Millisecond, Machine: base.Machine})
	c.requests.Handle(client.Handler[*certificatesv1.CertificateSigningRequest]{
		Add: func(r *certificatesv1.CertificateSigningRequest) {
			c.loop.Add(r.Name, controllers.Cause("certificatesigningrequests", r, "added"))
		},
		Update: func(old, r *certificatesv1.CertificateSigningRequest) {
			if old.ResourceVersion != r.ResourceVersion {
				c.loop.Add(r.Name, controllers.Cause("certificatesigningrequests", r, "changed"))
			}
		},
	})
	return c
}

// Run works until the context ends.
func (c *Controller) Run(ctx context.Context) { c.loop.Run(ctx) }

// Reconcile takes a request one step further: approve, sign, or, when it is old, delete.
func (c *Controller) Reconcile(ctx context.Context, name string) (time.Duration, error) {
	request, ok := c.requests.Get("", name)
	if !ok {
		return 0, nil
	}
	left := lifetime(request)
	if left <= 0 {
		loop.Say(ctx, "TooOld")
		err := client.Of[*certificatesv1.CertificateSigningRequest](c.Client).Delete(ctx, "", name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &request.UID}})
		return 0, controllers.IgnoreNotFound(err)
	}
	var err error
	switch {
	case len(request.Status.Certificate) > 0 || has(request, certificatesv1.CertificateDenied) || has(request, certificatesv1.CertificateFailed):
	case !has(request, certificatesv1.CertificateApproved):
		err = c.approve(ctx, request)
	default:
		err = c.issue(ctx, request)
	}
	return left, controllers.IgnoreNotFound(err)
}

func has(request *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) bool {
	return conditionOf(request, kind) != nil
}

func conditionOf(request *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequestCondition {
	for i := range request.Status.Conditions {
		if request.Status.Conditions[i].Type == kind {
			return &request.Status.Conditions[i]
		}
	}
	return nil
}

// issue signs an approved request of a signer of ours.
func (c *Controller) issue(ctx context.Context, request *certificatesv1.CertificateSigningRequest) error {
	check, ours := signers[request.Spec.SignerName]
	if !ours {
		loop.Say(ctx, "OtherSigner", "signer", request.Spec.SignerName)
		return nil
	}
	parsed, err := parse(request.Spec.Request)
	if err == nil {
		err = check(parsed, request.Spec.Usages)
	}
	changed := request.DeepCopy()
	if err != nil {
		loop.Say(ctx, "SignerRefuses", "error", err.Error())
		changed.Status.Conditions = append(changed.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure", Message: err.Error(), LastUpdateTime: metav1.Now(),
			LastTransitionTime: metav1.Now(),
		})
	} else {
		certificate, err := c.sign(parsed, request.Spec.Usages, time.Now().Add(validity(request)))
		if err != nil {
			return fmt.Errorf("error auto signing csr: %w", err)
		}
		loop.Say(ctx, "Sign", "signer", request.Spec.SignerName)
		changed.Status.Certificate = certificate
	}
	_, err = client.Of[*certificatesv1.CertificateSigningRequest](c.Client).UpdateStatus(ctx, changed)
	return err
}

// validity is what the request asks for, between 10 minutes and the most that the cluster gives.
func validity(request *certificatesv1.CertificateSigningRequest) time.Duration {
	if request.Spec.ExpirationSeconds == nil {
		return maxDuration
	}
	return min(max(time.Duration(*request.Spec.ExpirationSeconds)*time.Second, 10*time.Minute), maxDuration)
}

func parse(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("unable to parse csr: %w", err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, fmt.Errorf("unable to check csr signature: %w", err)
	}
	return parsed, nil
}
