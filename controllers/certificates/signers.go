package certificates

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// signers are what the cluster's authority signs for, each with its conditions (Kubernetes: "Certificate Signing
// Requests", table of built-in signers).
var signers = map[string]func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error{
	certificatesv1.KubeAPIServerClientSignerName:        checkClient,
	certificatesv1.KubeAPIServerClientKubeletSignerName: checkKubeletClient,
	certificatesv1.KubeletServingSignerName:             checkKubeletServing,
	"kubernetes.io/legacy-unknown":                      func(*x509.CertificateRequest, []certificatesv1.KeyUsage) error { return nil },
}

func checkClient(_ *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return errors.New("invalid usages: [client auth] is required")
	}
	return onlyUsages(usages, certificatesv1.UsageClientAuth)
}

func checkKubeletClient(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := checkNodeSubject(request); err != nil {
		return err
	}
	if len(request.DNSNames)+len(request.IPAddresses)+len(request.EmailAddresses)+len(request.URIs) > 0 {
		return errors.New("DNS, email, IP and URI subjectAltNames are not allowed")
	}
	return checkClient(request, usages)
}

func checkKubeletServing(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if err := checkNodeSubject(request); err != nil {
		return err
	}
	switch {
	case len(request.DNSNames)+len(request.IPAddresses) == 0:
		return errors.New("at least one of DNS or IP subjectAltName is required")
	case len(request.EmailAddresses)+len(request.URIs) > 0:
		return errors.New("email and URI subjectAltNames are not allowed")
	case !slices.Contains(usages, certificatesv1.UsageServerAuth):
		return errors.New("invalid usages: [server auth] is required")
	}
	return onlyUsages(usages, certificatesv1.UsageServerAuth)
}

func checkNodeSubject(request *x509.CertificateRequest) error {
	switch {
	case !slices.Equal(request.Subject.Organization, []string{"system:nodes"}):
		return errors.New("subject organization is not system:nodes")
	case !strings.HasPrefix(request.Subject.CommonName, "system:node:"):
		return errors.New("subject common name does not begin with system:node:")
	}
	return nil
}

func onlyUsages(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	for _, usage := range usages {
		if usage != purpose && usage != certificatesv1.UsageDigitalSignature && usage != certificatesv1.UsageKeyEncipherment {
			return fmt.Errorf("invalid usages: %q is not allowed", usage)
		}
	}
	return nil
}
