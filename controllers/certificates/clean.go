package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// How long requests are kept, as by Kubernetes' csrcleaner.
const (
	keepDecided = time.Hour
	keepPending = 24 * time.Hour
)

// lifetime is how long a request is still kept.
func lifetime(request *certificatesv1.CertificateSigningRequest) time.Duration {
	until := request.CreationTimestamp.Add(keepPending)
	for _, kind := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		condition := conditionOf(request, kind)
		if condition == nil || kind == certificatesv1.CertificateApproved && len(request.Status.Certificate) == 0 {
			continue // approved and not signed counts as pending
		}
		since := condition.LastUpdateTime.Time
		if since.IsZero() {
			since = condition.LastTransitionTime.Time
		}
		if at := since.Add(keepDecided); at.Before(until) {
			until = at
		}
	}
	if end, ok := expiry(request.Status.Certificate); ok && end.Before(until) {
		until = end
	}
	return time.Until(until)
}

func expiry(certificate []byte) (time.Time, bool) {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return time.Time{}, false
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, false
	}
	return parsed.NotAfter, true
}
