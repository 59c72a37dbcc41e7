package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
)

// Authenticator tells who sends a request, by the first of these that knows: the client certificate, the static bearer
// tokens, the service account tokens.
type Authenticator struct {
	CA     *CA
	Static StaticTokens
	Tokens *Tokens
}

var _ apiserver.Authenticator = (*Authenticator)(nil)

// errUnknownToken does not say more, so that nobody learns by trying.
var errUnknownToken = errors.New("invalid bearer token")

// Authenticate returns false for a request without credentials, and an error when none of those shown is good.
func (a *Authenticator) Authenticate(r *http.Request) (user.Info, bool, error) {
	u, shown, certificateErr := a.certificate(r)
	if shown && certificateErr == nil {
		return u, true, nil
	}
	token := bearerToken(r)
	if token == "" {
		return nil, false, certificateErr
	}
	known, err := a.ReviewToken(r.Context(), token, nil)
	if err != nil {
		return nil, false, errors.Join(certificateErr, err)
	}
	return known.User, true, nil
}

// ReviewToken says whose token one is. It is what a TokenReview asks.
func (a *Authenticator) ReviewToken(_ context.Context, token string, audiences []string) (apiserver.TokenUser, error) {
	if u, known := a.Static.lookup(token); known {
		return apiserver.TokenUser{User: u, Audiences: audiences}, nil
	}
	if a.Tokens != nil && a.Tokens.Owns(token) {
		return a.Tokens.Verify(token, audiences)
	}
	return apiserver.TokenUser{}, errUnknownToken
}

// certificate checks the client certificate of the connection: its common name is the user, its organizations are the
// groups.
func (a *Authenticator) certificate(r *http.Request) (user.Info, bool, error) {
	if a.CA == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	leaf := r.TLS.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.CA.Pool(), Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, true, fmt.Errorf("the client certificate of %q is not accepted: %w", leaf.Subject.CommonName, err)
	}
	if leaf.Subject.CommonName == "" {
		return nil, true, errors.New("the client certificate has no common name")
	}
	sum := sha256.Sum256(leaf.Raw)
	return &user.DefaultInfo{
		Name: leaf.Subject.CommonName, Groups: leaf.Subject.Organization,
		Extra: map[string][]string{user.CredentialIDKey: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}, true, nil
}

// tokenProtocol is how a browser, which cannot set headers on a WebSocket, shows its token: as one of the protocols.
const tokenProtocol = "base64url.bearer.authorization.k8s.io."

// bearerToken finds the token of a request.
func bearerToken(r *http.Request) string {
	kind, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if strings.EqualFold(kind, "bearer") {
		return strings.TrimSpace(token)
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return ""
	}
	var found string
	var kept []string
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for _, protocol := range strings.Split(header, ",") {
			protocol = strings.TrimSpace(protocol)
			encoded, is := strings.CutPrefix(protocol, tokenProtocol)
			if !is {
				kept = append(kept, protocol)
				continue
			}
			if decoded, err := base64.RawURLEncoding.DecodeString(encoded); err == nil && utf8.Valid(decoded) {
				found = string(decoded)
			}
		}
	}
	if found != "" {
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(kept, ", "))
	}
	return found
}

// StaticTokens are bearer tokens that are known from the start, kept only as their hashes.
type StaticTokens struct {
	users map[[sha256.Size]byte]user.Info
}

// Add makes a token known. It is not safe to call while requests are served.
func (s *StaticTokens) Add(token string, u user.Info) {
	if s.users == nil {
		s.users = map[[sha256.Size]byte]user.Info{}
	}
	s.users[sha256.Sum256([]byte(token))] = u
}

func (s *StaticTokens) lookup(token string) (user.Info, bool) {
	u, known := s.users[sha256.Sum256([]byte(token))]
	return u, known
}
