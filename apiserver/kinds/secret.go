package kinds

import (
	"crypto/tls"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func secret() *Kind {
	return Row[*corev1.Secret]{
		Base: Kind{
			Version: "v1", Kind: "Secret", Plural: "secrets", Singular: "secret", Namespaced: true, UnconditionalUpdate: true,
			FieldNames: []string{"type"},
		},
		New:     func() *corev1.Secret { return &corev1.Secret{} },
		NewList: func() runtime.Object { return &corev1.SecretList{} },
		Default: func(s *corev1.Secret) {
			setDefault(&s.Type, corev1.SecretTypeOpaque)
			mergeStringData(s)
			emptyIfNull(s.Data)
		},
		Validate:       validateSecret,
		ValidateUpdate: validateSecretUpdate,
		Warnings:       func(s, _ *corev1.Secret) []string { return secretWarnings(s) },
		Fields:         func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} },
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Type", "string", corev1.Secret{}.SwaggerDoc()["type"]),
			column("Data", "string", corev1.Secret{}.SwaggerDoc()["data"]),
			ageColumn(),
		},
		Cells: func(s *corev1.Secret) []any {
			return []any{s.Name, string(s.Type), int64(len(s.Data)), age(s.CreationTimestamp)}
		},
	}.Kind()
}

// mergeStringData moves stringData, which is only for writing, into data.
func mergeStringData(s *corev1.Secret) {
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

func validateSecret(s *corev1.Secret) (errs field.ErrorList) {
	path, size := field.NewPath("data"), 0
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		errs = append(errs, invalid(path.Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(s.Data[key])
	}
	if size > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(path, "", corev1.MaxSecretSize))
	}
	return append(errs, validateSecretType(s, path)...)
}

// validateSecretType: the types that Kubernetes knows promise certain keys; any other type may hold anything.
func validateSecretType(s *corev1.Secret, path *field.Path) (errs field.ErrorList) {
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		annotation := field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey)
		errs = required(s.Annotations[corev1.ServiceAccountNameKey], annotation, "")
	case corev1.SecretTypeDockercfg:
		errs = requireJSON(s.Data, corev1.DockerConfigKey, path)
	case corev1.SecretTypeDockerConfigJson:
		errs = requireJSON(s.Data, corev1.DockerConfigJsonKey, path)
	case corev1.SecretTypeBasicAuth:
		// One of the two is enough, and either may be empty.
		if errs = requireKeys(s.Data, path, corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey); len(errs) < 2 {
			errs = nil
		}
	case corev1.SecretTypeSSHAuth:
		errs = required(string(s.Data[corev1.SSHAuthPrivateKey]), path.Key(corev1.SSHAuthPrivateKey), "")
	case corev1.SecretTypeTLS:
		errs = requireKeys(s.Data, path, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return errs
}

func requireKeys(data map[string][]byte, path *field.Path, keys ...string) (errs field.ErrorList) {
	for _, key := range keys {
		if _, ok := data[key]; !ok {
			errs = append(errs, field.Required(path.Key(key), ""))
		}
	}
	return errs
}

func requireJSON(data map[string][]byte, key string, path *field.Path) field.ErrorList {
	if errs := requireKeys(data, path, key); errs != nil {
		return errs
	}
	if err := json.Unmarshal(data[key], &map[string]any{}); err != nil {
		return field.ErrorList{field.Invalid(path.Key(key), "<secret contents redacted>", err.Error())}
	}
	return nil
}

func validateSecretUpdate(s, old *corev1.Secret) field.ErrorList {
	errs := immutable(s.Type, old.Type, field.NewPath("type"))
	if isTrue(old.Immutable) {
		errs = append(errs, frozen(isTrue(s.Immutable), true, field.NewPath("immutable"))...)
		errs = append(errs, frozen(s.Data, old.Data, field.NewPath("data"))...)
	}
	return append(errs, validateSecret(s)...)
}

// secretWarnings looks whether a TLS secret's key is that of its certificate: what uses it would fail much later.
func secretWarnings(s *corev1.Secret) []string {
	if s.Type != corev1.SecretTypeTLS {
		return nil
	}
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return []string{err.Error()}
	}
	return nil
}
