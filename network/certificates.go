package network

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// certificates remembers what was made: parsed secrets by their version, and certificates of the cluster's CA by host.
type certificates struct {
	mu      sync.Mutex
	secrets map[string]*tls.Certificate // by namespace/name@resourceVersion
	made    map[string]*tls.Certificate // by host
}

// maxMade bounds how many certificates are kept for hosts that clients name.
const maxMade = 1000

// GetCertificate chooses the certificate for a TLS connection by the host that the client names (SNI): that of the
// ingress' secret, or else one of the cluster's CA. It fits tls.Config.
func (i *Ingress) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if secret := i.secretFor(hostOf(name)); secret != nil {
		certificate, err := i.certs.fromSecret(secret)
		if err == nil {
			return certificate, nil
		}
		// A secret that holds no certificate must not take the host down: ingress-nginx falls back, too.
	}
	if i.config.Certificate == nil {
		return nil, fmt.Errorf("no certificate for host %q", name)
	}
	if name == "" {
		name = "localhost"
	}
	return i.certs.make(name, i.config.Certificate)
}

// secretFor finds the TLS secret of the ingress that names a host, or nil.
func (i *Ingress) secretFor(host string) *corev1.Secret {
	matched, _ := i.router.Load().find(host, "/")
	if matched == nil {
		return nil
	}
	for _, entry := range matched.ingress.Spec.TLS {
		if entry.SecretName == "" || !coversHost(entry, host) {
			continue
		}
		if secret, ok := i.secrets.Get(matched.ingress.Namespace, entry.SecretName); ok {
			return secret
		}
	}
	return nil
}

func coversHost(entry networkingv1.IngressTLS, host string) bool {
	if len(entry.Hosts) == 0 {
		return true
	}
	_, domain, _ := strings.Cut(host, ".")
	for _, name := range entry.Hosts {
		if name == host || name == "*."+domain {
			return true
		}
	}
	return false
}

func (c *certificates) fromSecret(secret *corev1.Secret) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := secret.Namespace + "/" + secret.Name + "@" + secret.ResourceVersion
	if known, ok := c.secrets[key]; ok {
		return known, nil
	}
	certificate, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	if c.secrets == nil || len(c.secrets) >= maxMade {
		c.secrets = map[string]*tls.Certificate{}
	}
	c.secrets[key] = &certificate
	return &certificate, nil
}

func (c *certificates) make(host string, issue func(host string) (*tls.Certificate, error)) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.made[host]; ok {
		return known, nil
	}
	certificate, err := issue(host)
	if err != nil {
		return nil, fmt.Errorf("certificate for host %q: %w", host, err)
	}
	if c.made == nil || len(c.made) >= maxMade {
		c.made = map[string]*tls.Certificate{}
	}
	c.made[host] = certificate
	return certificate, nil
}
