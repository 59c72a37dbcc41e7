package auth

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
)

// Signers guards the requests for certificates, each of which names its signer: who approves one must have the verb approve
// on that signer, and who signs one the verb sign, beside the right to write the request; and nobody gets a certificate of
// the group system:masters, which no rule can ever take back. In Kubernetes these are the admission plugins
// CertificateApproval, CertificateSigning and CertificateSubjectRestriction.
type Signers struct{ Authorizer apiserver.Authorizer }

var _ apiserver.Admission = Signers{}

func (Signers) Name() string { return "CertificateSigners" }

func (Signers) Admit(context.Context, *apiserver.AdmissionRequest) error { return nil }

// Validate judges certificate requests that are made, approved or signed.
func (s Signers) Validate(ctx context.Context, r *apiserver.AdmissionRequest) error {
	request, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil
	}
	old, _ := r.Old.(*certificatesv1.CertificateSigningRequest)
	switch r.Attributes.Subresource {
	case "":
		if r.Operation == "CREATE" {
			return restrictSubject(r, request)
		}
	case "approval":
		return s.may(ctx, r, "approve", old)
	case "status":
		if old == nil || !slices.Equal(old.Status.Certificate, request.Status.Certificate) ||
			!equality.Semantic.DeepEqual(old.Status.Conditions, request.Status.Conditions) {
			return s.may(ctx, r, "sign", old)
		}
	}
	return nil
}

// may asks whether the user has a verb on the request's signer: by its name, or on all of its domain.
func (s Signers) may(ctx context.Context, r *apiserver.AdmissionRequest, verb string, request *certificatesv1.CertificateSigningRequest) error {
	if request == nil {
		return nil
	}
	name := request.Spec.SignerName
	domain, _, _ := strings.Cut(name, "/")
	for _, asked := range []string{name, domain + "/*"} {
		allowed, _, err := s.Authorizer.Authorize(ctx, apiserver.Attributes{User: r.Attributes.User, Verb: verb, ResourceRequest: true,
			Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: asked})
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("authorization: %w", err))
		}
		if allowed {
			return nil
		}
	}
	return refused(r, fmt.Errorf("user not permitted to %s requests with signerName %q", verb, name))
}

func restrictSubject(r *apiserver.AdmissionRequest, request *certificatesv1.CertificateSigningRequest) error {
	if request.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	block, _ := pem.Decode(request.Spec.Request)
	if block == nil {
		return nil // validation says what is wrong
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return refused(r, fmt.Errorf("failed to parse CSR: %w", err))
	}
	if slices.Contains(parsed.Subject.Organization, user.SystemPrivilegedGroup) {
		return refused(r, fmt.Errorf("use of %s signer with %s group is not allowed", request.Spec.SignerName, user.SystemPrivilegedGroup))
	}
	return nil
}
