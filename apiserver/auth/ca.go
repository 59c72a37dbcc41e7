package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA is the cluster's certificate authority. It signs the server's certificate and those of clients, and its key signs
// the tokens of service accounts as well. Keys are ECDSA on P-256: made in a fraction of a millisecond.
type CA struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
	pem         []byte
}

const (
	caLifetime = 10 * 365 * 24 * time.Hour
	// certificateLifetime is that of certificates that are made anew at each start.
	certificateLifetime = 365 * 24 * time.Hour
	// clockSkew lets clients in whose clock is a little behind.
	clockSkew = 5 * time.Minute
)

const (
	caCertificateFile = "ca.crt"
	caKeyFile         = "ca.key"
)

// NewCA makes a certificate authority in memory.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the cluster's CA: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, DNSNames: []string{"kubernetes"},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(caLifetime), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of the cluster's CA: %w", err)
	}
	return newCA(der, key)
}

func newCA(der []byte, key *ecdsa.PrivateKey) (*CA, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the cluster's CA: %w", err)
	}
	return &CA{Certificate: certificate, Key: key, pem: encodePEM("CERTIFICATE", der)}, nil
}

// LoadCA reads the certificate authority of a data directory, and makes it when there is none.
func LoadCA(dir string) (*CA, error) {
	certificate, err := os.ReadFile(filepath.Join(dir, caCertificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return createCA(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read the key of the cluster's CA: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("the cluster's CA in %s is damaged (without both files a new one is made, and credentials handed out before are worth nothing): %w", dir, err)
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key of the cluster's CA in %s is a %T, not an ECDSA key", dir, pair.PrivateKey)
	}
	return newCA(pair.Certificate[0], private)
}

// createCA writes the key before the certificate: with a certificate there, both are.
func createCA(dir string) (*CA, error) {
	ca, err := NewCA()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the cluster's CA: %w", err)
	}
	key, err := encodeKey(ca.Key)
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, caKeyFile), key, 0o600); err != nil {
		return nil, fmt.Errorf("keep the key of the cluster's CA: %w", err)
	}
	if err := writeFile(filepath.Join(dir, caCertificateFile), ca.pem, 0o644); err != nil {
		return nil, fmt.Errorf("keep the certificate of the cluster's CA: %w", err)
	}
	return ca, nil
}

// writeFile puts a whole file in place at once, so that a crash leaves none or a good one.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// PEM is the CA's certificate, as kubeconfig files and pods carry it.
func (ca *CA) PEM() []byte { return bytes.Clone(ca.pem) }

// Pool holds the CA alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// ServerNames are the names under which clients know the API server: from this machine, and from inside the cluster.
func ServerNames(domain string) []string {
	return []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain}
}

// ServerTLS makes the server's certificate for names and addresses, and returns the configuration of its listener:
// clients may show a certificate, and need not.
func (ca *CA) ServerTLS(names []string, addresses []net.IP) (*tls.Config, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: names, IPAddresses: addresses,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, key, err := ca.issue(template)
	if err != nil {
		return nil, fmt.Errorf("make the API server's certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("use the API server's certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: ca.Pool(), ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
	}, nil
}

// ClientCertificate makes a certificate for a user and their groups. It returns the certificate and its key as PEM.
func (ca *CA) ClientCertificate(name string, groups ...string) (certificate, key []byte, err error) {
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: name, Organization: groups},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	certificate, key, err = ca.issue(template)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate for %s: %w", name, err)
	}
	return certificate, key, nil
}

func (ca *CA) issue(template *x509.Certificate) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-clockSkew), now.Add(certificateLifetime)
	der, err := ca.sign(template, private.Public())
	if err != nil {
		return nil, nil, err
	}
	key, err = encodeKey(private)
	return encodePEM("CERTIFICATE", der), key, err
}

func (ca *CA) sign(template *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, ca.Certificate, public, ca.Key)
}

// SignRequest signs a certificate signing request (PEM) with the usages that were asked for and approved, for at most a
// lifetime. It returns the certificate as PEM.
func (ca *CA) SignRequest(request []byte, usages x509.KeyUsage, extended []x509.ExtKeyUsage, lifetime time.Duration) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("the request is no PEM block of type CERTIFICATE REQUEST")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the certificate request: %w", err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate request is not signed with its own key: %w", err)
	}
	now := time.Now()
	ends := now.Add(lifetime)
	if ends.After(ca.Certificate.NotAfter) {
		ends = ca.Certificate.NotAfter
	}
	der, err := ca.sign(&x509.Certificate{
		Subject: parsed.Subject, DNSNames: parsed.DNSNames, IPAddresses: parsed.IPAddresses, URIs: parsed.URIs,
		EmailAddresses: parsed.EmailAddresses, NotBefore: now.Add(-clockSkew), NotAfter: ends, KeyUsage: usages, ExtKeyUsage: extended,
		BasicConstraintsValid: true,
	}, parsed.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	return encodePEM("CERTIFICATE", der), nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, data []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
}
