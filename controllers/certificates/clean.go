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

// lifetime is how long a request is still kept: a day while nothing is decided, a day after an approval until it is signed,
// an hour after the end, and no longer than its certificate is valid.
func lifetime(request *certificatesv1.CertificateSigningRequest) time.Duration {
	signed := len(request.Status.Certificate) > 0
	var until time.Time
	end := func(at time.Time) {
		if until.IsZero() || at.Before(until) {
			until = at
		}
	}
	for _, condition := range request.Status.Conditions {
		since := condition.LastUpdateTime.Time
		if since.IsZero() {
			since = condition.LastTransitionTime.Time
		}
		if condition.Type == certificatesv1.CertificateApproved && !signed {
			end(since.Add(keepPending))
		} else {
			end(since.Add(keepDecided))
		}
	}
	if len(request.Status.Conditions) == 0 {
		end(request.CreationTimestamp.Add(keepPending))
	}
	if at, ok := expiry(request.Status.Certificate); ok {
		end(at)
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
