package kinds

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
)

// certificateSigningRequest is a wish for a certificate. Who wishes (spec.username and so on) is not for the user to say:
// the server fills it in.
func certificateSigningRequest() *Kind {
	return Row[*certificatesv1.CertificateSigningRequest]{
		Base: Kind{
			Group: "certificates.k8s.io", Version: "v1", Kind: "CertificateSigningRequest", Plural: "certificatesigningrequests",
			Singular: "certificatesigningrequest", ShortNames: []string{"csr"}, UnconditionalUpdate: true,
			ValidateName: func(string, bool) []string { return nil }, FieldNames: []string{"spec.signerName"},
		},
		New:     func() *certificatesv1.CertificateSigningRequest { return &certificatesv1.CertificateSigningRequest{} },
		NewList: func() runtime.Object { return &certificatesv1.CertificateSigningRequestList{} },
		PrepareForCreate: func(c *certificatesv1.CertificateSigningRequest) {
			c.Status = certificatesv1.CertificateSigningRequestStatus{}
		},
		SetCreator: func(c *certificatesv1.CertificateSigningRequest, by user.Info) {
			c.Spec.Username, c.Spec.UID, c.Spec.Groups, c.Spec.Extra = by.GetName(), by.GetUID(), by.GetGroups(), nil
			for key, values := range by.GetExtra() {
				if c.Spec.Extra == nil {
					c.Spec.Extra = map[string]certificatesv1.ExtraValue{}
				}
				c.Spec.Extra[key] = values
			}
		},
		PrepareForUpdate: func(c, old *certificatesv1.CertificateSigningRequest) {
			c.Spec, c.Status = old.Spec, old.Status
		},
		Validate: validateSigningRequest,
		ValidateUpdate: func(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
			return validateSigningRequestUpdate(c, old)
		},
		HasStatus:      true,
		PrepareStatus:  prepareSigningRequestStatus,
		ValidateStatus: validateSigningRequestUpdate,
		Fields: func(c *certificatesv1.CertificateSigningRequest) fields.Set {
			return fields.Set{"spec.signerName": c.Spec.SignerName}
		},
		Columns: signingRequestColumns(),
		Cells:   signingRequestCells,
	}.Kind()
}

// prepareSigningRequestStatus lets signers set the certificate. Approving and denying is another permission, and another
// subresource.
func prepareSigningRequestStatus(c, old *certificatesv1.CertificateSigningRequest) {
	c.Spec = old.Spec
	decided := func(condition certificatesv1.CertificateSigningRequestCondition) bool {
		return condition.Type == certificatesv1.CertificateApproved || condition.Type == certificatesv1.CertificateDenied
	}
	kept := slices.DeleteFunc(slices.Clone(old.Status.Conditions), func(condition certificatesv1.CertificateSigningRequestCondition) bool {
		return !decided(condition)
	})
	c.Status.Conditions = append(kept, slices.DeleteFunc(c.Status.Conditions, decided)...)
	now := metav1.Now()
	for i := range c.Status.Conditions {
		condition := &c.Status.Conditions[i]
		if condition.LastUpdateTime.IsZero() {
			condition.LastUpdateTime = now
		}
		if condition.LastTransitionTime.IsZero() {
			condition.LastTransitionTime = now
		}
	}
}

func validateSigningRequest(c *certificatesv1.CertificateSigningRequest) (errs field.ErrorList) {
	path, spec := field.NewPath("spec"), &c.Spec
	if err := checkRequest(spec.Request); err != nil {
		errs = append(errs, field.Invalid(path.Child("request"), spec.Request, err.Error()))
	}
	usages := path.Child("usages")
	if len(spec.Usages) == 0 {
		errs = append(errs, field.Required(usages, "usages must be provided"))
	}
	for i, usage := range spec.Usages {
		errs = append(errs, oneOf(usage, usages.Index(i), keyUsages...)...)
	}
	for i, usage := range spec.Usages {
		if slices.Contains(spec.Usages[:i], usage) {
			errs = append(errs, field.Duplicate(usages.Index(i), usage))
		}
	}
	signer := path.Child("signerName")
	if spec.SignerName == "kubernetes.io/legacy-unknown" {
		errs = append(errs, field.Invalid(signer, spec.SignerName, "the legacy signerName is not allowed via this API version"))
	} else {
		errs = append(errs, validateSignerName(spec.SignerName, signer)...)
	}
	if seconds := spec.ExpirationSeconds; seconds != nil && *seconds < 600 {
		errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *seconds, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	errs = append(errs, validateRequestConditions(c.Status.Conditions, field.NewPath("status", "conditions"))...)
	if err := checkCertificate(c.Status.Certificate); err != nil {
		errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
	}
	return errs
}

// checkRequest reads a PKCS#10 request in PEM, and checks that who made it has the key.
func checkRequest(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	return request.CheckSignature()
}

// checkCertificate reads the certificates that a signer gave, if it has.
func checkCertificate(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	blocks := 0
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch blocks++; {
		case block.Type != "CERTIFICATE":
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		case len(block.Headers) != 0:
			return errors.New("no PEM block headers are permitted")
		}
		if certificates, err := x509.ParseCertificates(block.Bytes); err != nil {
			return err
		} else if len(certificates) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
	}
	if blocks == 0 {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}

// keyUsages are what a certificate may be for, in the order in which messages list them.
var keyUsages = slices.Sorted(slices.Values([]certificatesv1.KeyUsage{
	certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment,
	certificatesv1.UsageKeyEncipherment, certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment,
	certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly, certificatesv1.UsageDecipherOnly,
	certificatesv1.UsageAny, certificatesv1.UsageServerAuth, certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning,
	certificatesv1.UsageEmailProtection, certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem,
	certificatesv1.UsageIPsecTunnel, certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping,
	certificatesv1.UsageOCSPSigning, certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
}))

// validateSignerName checks a name such as example.com/signer: a domain and a path.
func validateSignerName(name string, path *field.Path) (errs field.ErrorList) {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	domain, signer, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(signer, "/") {
		return field.ErrorList{field.Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	if len(domain) > validation.DNS1123SubdomainMaxLength {
		errs = append(errs, field.TooLong(path, domain, validation.DNS1123SubdomainMaxLength))
	}
	errs = append(errs, validateParts(domain, validation.IsDNS1123Label, path)...)
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(path, domain, "should be a domain with at least two segments separated by dots"))
	}
	errs = append(errs, validateParts(signer, validation.IsDNS1123Subdomain, path)...)
	const longestPath = validation.DNS1123SubdomainMaxLength + validation.DNS1123LabelMaxLength + 1
	if longest := validation.DNS1123SubdomainMaxLength + longestPath + 1; len(name) > longest {
		errs = append(errs, field.TooLong(path, name, longest))
	}
	return errs
}

// validateParts checks what stands between the dots, up to the first part that is wrong.
func validateParts(value string, check func(string) []string, path *field.Path) (errs field.ErrorList) {
	for part := range strings.SplitSeq(value, ".") {
		for _, message := range check(part) {
			errs = append(errs, field.Invalid(path, value, fmt.Sprintf("validating label %q: %s", part, message)))
		}
		if len(errs) > 0 {
			break
		}
	}
	return errs
}

func validateRequestConditions(conditions []certificatesv1.CertificateSigningRequestCondition, path *field.Path) (errs field.ErrorList) {
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range conditions {
		at := path.Index(i)
		errs = append(errs, required(string(c.Type), at.Child("type"), "")...)
		allowed := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
		switch c.Type {
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			allowed = []corev1.ConditionStatus{corev1.ConditionTrue}
		}
		if c.Status == "" {
			errs = append(errs, field.Required(at.Child("status"), ""))
		} else {
			errs = append(errs, oneOf(c.Status, at.Child("status"), allowed...)...)
		}
		if seen[c.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		seen[c.Type] = true
	}
	if seen[certificatesv1.CertificateApproved] && seen[certificatesv1.CertificateDenied] {
		const approved, denied = `conditions[{"type": "Approved"}]`, `conditions[{"type": "Denied"}]`
		errs = append(errs, field.Invalid(path, "{"+approved+", "+denied+"}", "must specify at most one of: `"+approved+"`, `"+denied+"`"))
	}
	return errs
}

// validateSigningRequestUpdate: decisions stay, and so does a certificate.
func validateSigningRequestUpdate(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	errs := validateSigningRequest(c)
	path := field.NewPath("status")
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		has := func(r *certificatesv1.CertificateSigningRequest) bool {
			return slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == t })
		}
		if has(old) && !has(c) {
			errs = append(errs, field.Forbidden(path.Child("conditions"), fmt.Sprintf("updates may not remove a condition of type %q", t)))
		}
	}
	if len(old.Status.Certificate) > 0 && !bytes.Equal(old.Status.Certificate, c.Status.Certificate) {
		errs = append(errs, field.Forbidden(path.Child("certificate"), "updates may not modify existing certificate content"))
	}
	return errs
}

// signingRequestColumns have their descriptions, like those of role bindings, from an older version of the API.
func signingRequestColumns() []metav1.TableColumnDefinition {
	spec, status := certificatesv1beta1.CertificateSigningRequestSpec{}.SwaggerDoc(), certificatesv1beta1.CertificateSigningRequestStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		nameColumn(),
		ageColumn(),
		column("SignerName", "string", spec["signerName"]),
		column("Requestor", "string", spec["request"]),
		column("RequestedDuration", "string", spec["expirationSeconds"]),
		column("Condition", "string", status["conditions"]),
	}
}

func signingRequestCells(c *certificatesv1.CertificateSigningRequest) []any {
	signer, wanted := "<none>", "<none>"
	if c.Spec.SignerName != "" {
		signer = c.Spec.SignerName
	}
	if c.Spec.ExpirationSeconds != nil {
		wanted = duration.HumanDuration(time.Duration(*c.Spec.ExpirationSeconds) * time.Second)
	}
	return []any{c.Name, age(c.CreationTimestamp), signer, c.Spec.Username, wanted, signingRequestState(c)}
}

func signingRequestState(c *certificatesv1.CertificateSigningRequest) string {
	state, failed := "Pending", false
	for _, condition := range c.Status.Conditions {
		switch condition.Type {
		case certificatesv1.CertificateDenied:
			return "Denied" + issued(c, failed)
		case certificatesv1.CertificateApproved:
			state = "Approved"
		case certificatesv1.CertificateFailed:
			failed = true
		}
	}
	return state + issued(c, failed)
}

func issued(c *certificatesv1.CertificateSigningRequest, failed bool) (suffix string) {
	if failed {
		suffix += ",Failed"
	}
	if len(c.Status.Certificate) > 0 {
		suffix += ",Issued"
	}
	return suffix
}
