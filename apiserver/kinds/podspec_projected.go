package kinds

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// projection is the check of a volume that puts several sources together: no two may give the same file.
type projection struct {
	path  *field.Path
	files map[string]bool
}

func validateProjectedVolume(s *corev1.ProjectedVolumeSource, path *field.Path) field.ErrorList {
	errs := fileMode(s.DefaultMode, path.Child("defaultMode"))
	p := &projection{path: path, files: map[string]bool{}}
	for i := range s.Sources {
		errs = append(errs, p.source(&s.Sources[i], path.Child("sources").Index(i))...)
	}
	return errs
}

func (p *projection) source(s *corev1.VolumeProjection, at *field.Path) (errs field.ErrorList) {
	n := 0
	if s.Secret != nil {
		n++
		errs = append(errs, p.items(s.Secret.Name, s.Secret.Items, at.Child("secret"))...)
	}
	if s.ConfigMap != nil {
		n++
		errs = append(errs, p.items(s.ConfigMap.Name, s.ConfigMap.Items, at.Child("configMap"))...)
	}
	if s.DownwardAPI != nil {
		n++
		for i := range s.DownwardAPI.Items {
			file := &s.DownwardAPI.Items[i]
			errs = append(errs, validateDownwardFile(file, at.Child("downwardAPI"))...)
			errs = append(errs, p.claim(file.Path, file.Path)...)
		}
	}
	if s.ServiceAccountToken != nil {
		n++
		errs = append(errs, p.token(s.ServiceAccountToken, at.Child("serviceAccountToken"))...)
	}
	if s.ClusterTrustBundle != nil {
		n++
		errs = append(errs, p.trustBundle(s.ClusterTrustBundle, at.Child("clusterTrustBundle"))...)
	}
	if s.PodCertificate != nil {
		n++
		errs = append(errs, p.certificate(s.PodCertificate, at.Child("podCertificate"))...)
	}
	if n > 1 {
		errs = append(errs, field.Forbidden(at, "may not specify more than 1 volume type per source"))
	}
	return errs
}

// claim takes the name of a file, if it is given.
func (p *projection) claim(file, shown string) field.ErrorList {
	if file == "" {
		return nil
	}
	if p.files[file] {
		return field.ErrorList{field.Invalid(p.path, shown, "conflicting duplicate paths")}
	}
	p.files[file] = true
	return nil
}

func (p *projection) items(name string, items []corev1.KeyToPath, at *field.Path) field.ErrorList {
	errs := required(name, at.Child("name"), "")
	for i := range items {
		errs = append(errs, validateKeyToPath(&items[i], at.Child("items").Index(i))...)
		errs = append(errs, p.claim(items[i].Path, name)...)
	}
	return errs
}

func (p *projection) token(t *corev1.ServiceAccountTokenProjection, at *field.Path) (errs field.ErrorList) {
	switch seconds := orZero64(t.ExpirationSeconds); {
	case seconds < 10*60:
		errs = append(errs, field.Invalid(at.Child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes"))
	case seconds > 1<<32:
		errs = append(errs, field.Invalid(at.Child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds"))
	}
	if t.Path == "" {
		return append(errs, field.Required(p.path.Child("path"), ""))
	}
	return append(errs, unreservedPath(t.Path, p.path.Child("path"))...)
}

func (p *projection) trustBundle(b *corev1.ClusterTrustBundleProjection, at *field.Path) (errs field.ErrorList) {
	switch {
	case b.Name != nil && b.SignerName != nil:
		errs = append(errs, field.Invalid(at, internalForm(b), "only one of name and signerName may be used"))
	case b.Name != nil:
		if *b.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), "must be a valid object name"))
		}
		for _, message := range trustBundleName(*b.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), *b.Name, fmt.Sprintf("not a valid clustertrustbundlename: %v", message)))
		}
		if b.LabelSelector != nil {
			errs = append(errs, field.Invalid(at.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified"))
		}
	case b.SignerName != nil:
		if *b.SignerName == "" {
			errs = append(errs, field.Required(at.Child("signerName"), "must be a valid signer name"))
		}
		errs = append(errs, signerName(*b.SignerName, at.Child("signerName"))...)
		errs = append(errs, labelSelector(b.LabelSelector, at.Child("labelSelector"))...)
	default:
		errs = append(errs, field.Required(at, "either name or signerName must be specified"))
	}
	errs = append(errs, required(b.Path, at.Child("path"), "")...)
	errs = append(errs, unreservedPath(b.Path, at.Child("path"))...)
	return append(errs, p.claim(b.Path, b.Path)...)
}

// trustBundleName: a bundle of a signer begins with the signer's name, its slash written as a colon.
func trustBundleName(name string) []string {
	signer := ""
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		signer = name[:i]
		name = name[i+1:]
	}
	if signer == "" && strings.Contains(name, ":") {
		return []string{"ClusterTrustBundle without signer name must not have \":\" in its name"}
	}
	return validation.IsDNS1123Subdomain(name)
}

// signerName checks a name such as example.com/signer, made of a domain and a path of labels.
func signerName(name string, path *field.Path) (errs field.ErrorList) {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	domain, rest, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(rest, "/") {
		return field.ErrorList{field.Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	if len(domain) > 253 {
		errs = append(errs, field.TooLong(path, "", 253))
	}
	errs = append(errs, invalid(path, domain, validation.IsDNS1123Subdomain(domain))...)
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(path, domain, "should be a domain with at least two segments separated by dots"))
	}
	return append(errs, invalid(path, rest, validation.IsDNS1123Subdomain(rest))...)
}

// certificateKeys are the kinds of keys that kubelet makes for a pod certificate.
var certificateKeys = []string{"ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"}

func (p *projection) certificate(c *corev1.PodCertificateProjection, at *field.Path) field.ErrorList {
	errs := signerName(c.SignerName, at.Child("signerName"))
	errs = append(errs, oneOf(c.KeyType, at.Child("keyType"), certificateKeys...)...)
	if seconds := c.MaxExpirationSeconds; seconds != nil {
		const shortest, longest = 60 * 60, 91 * 24 * 60 * 60
		switch {
		case *seconds < shortest:
			errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), *seconds, fmt.Sprintf("if provided, maxExpirationSeconds must be >= %d", shortest)))
		case *seconds > longest:
			errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), *seconds, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", longest)))
		}
	}
	n := 0
	for _, f := range []struct{ name, path string }{
		{"credentialBundlePath", c.CredentialBundlePath}, {"keyPath", c.KeyPath}, {"certificateChainPath", c.CertificateChainPath},
	} {
		if f.path == "" {
			continue
		}
		n++
		errs = append(errs, unreservedPath(f.path, at.Child(f.name))...)
		if p.files[f.path] {
			errs = append(errs, field.Invalid(at.Child(f.name), f.path, "conflicting duplicate paths"))
		}
		p.files[f.path] = true
	}
	if n == 0 {
		errs = append(errs, field.Required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
	}
	return errs
}
