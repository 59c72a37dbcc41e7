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
	for _, usage := range usages {
		switch usage {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth:
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", usage)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

func checkKubeletClient(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case !ofNodes(request):
		return errNotOfNodes
	case len(request.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(request.EmailAddresses) > 0:
		return errEmail
	case len(request.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	case len(request.URIs) > 0:
		return errURI
	case !namesNode(request):
		return errNotANode
	}
	return exactly(usages, certificatesv1.UsageClientAuth)
}

func checkKubeletServing(request *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case !ofNodes(request):
		return errNotOfNodes
	case len(request.DNSNames)+len(request.IPAddresses) == 0:
		return errors.New("DNS or IP subjectAltName is required")
	case len(request.EmailAddresses) > 0:
		return errEmail
	case len(request.URIs) > 0:
		return errURI
	}
	if err := exactly(usages, certificatesv1.UsageServerAuth); err != nil {
		return err
	}
	if !namesNode(request) {
		return errNotANode
	}
	return nil
}

var (
	errNotOfNodes = errors.New("subject organization is not system:nodes")
	errNotANode   = errors.New("subject common name does not begin with system:node:")
	errEmail      = errors.New("Email subjectAltNames are not allowed")
	errURI        = errors.New("URI subjectAltNames are not allowed")
)

func ofNodes(request *x509.CertificateRequest) bool {
	return slices.Equal(request.Subject.Organization, []string{"system:nodes"})
}

func namesNode(request *x509.CertificateRequest) bool {
	return strings.HasPrefix(request.Subject.CommonName, "system:node:")
}

// exactly wants the usages of a kubelet's certificate for a purpose; key encipherment is for RSA keys and may be left out.
func exactly(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	wanted := []certificatesv1.KeyUsage{purpose, certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment}
	slices.Sort(wanted)
	got := slices.Compact(slices.Sorted(slices.Values(usages)))
	without := slices.DeleteFunc(slices.Clone(wanted), func(usage certificatesv1.KeyUsage) bool { return usage == certificatesv1.UsageKeyEncipherment })
	if slices.Equal(got, wanted) || slices.Equal(got, without) {
		return nil
	}
	return fmt.Errorf("usages did not match %v", wanted)
}
