package apiserver

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"kubette/apiserver/kinds"
)

// body is what a request to a resource, or to one of its subresources, carries.
type body struct {
	kind  schema.GroupVersionKind
	new   func() runtime.Object
	prune func(object kinds.Object) (unknown []string, err error) // nil for Go types, which say what there is
}

// body returns what a request carries.
func (res *resource) body(subresource string) body {
	if own, ok := subresourceBodies[subresource]; ok {
		return own
	}
	return body{kind: res.GroupVersionKind(), new: func() runtime.Object { return res.New() }, prune: res.Prune}
}

// decode reads a request's body in one of the encodings application/json, application/yaml and protobuf. validation is
// what fieldValidation says of unknown and repeated fields: Strict refuses them, Warn (the default) warns, Ignore does
// neither. Defaults are not filled in yet.
func (b body) decode(data []byte, media, validation string, warn func(string)) (runtime.Object, error) {
	object := b.new()
	if validation == "" {
		validation = metav1.FieldValidationWarn
	}
	strict := validation != metav1.FieldValidationIgnore
	var problems []error
	switch media {
	case mediaProtobuf:
		return b.decodeProtobuf(data, object)
	case mediaYAML:
		if strict {
			if _, err := yaml.YAMLToJSONStrict(data); err != nil {
				problems = append(problems, err)
			}
		}
		converted, err := yaml.YAMLToJSON(data)
		if err != nil {
			return nil, b.unrecognized(data, err)
		}
		data = converted
	}
	actual, err := b.kindOf(data)
	if err != nil {
		return nil, b.unrecognized(data, err)
	}
	if err := b.expects(actual); err != nil {
		if actual.Kind == b.kind.Kind && scheme.Scheme.Recognizes(actual) { // an older version of the kind
			return nil, errOtherVersion(actual, b.kind)
		}
		return nil, b.unfit(actual, err)
	}
	more, err := b.read(data, object, strict)
	if err != nil {
		return nil, b.unfit(actual, err)
	}
	object.GetObjectKind().SetGroupVersionKind(b.kind)
	if problems = append(problems, more...); len(problems) == 0 {
		return object, nil
	}
	if validation == metav1.FieldValidationStrict {
		return nil, b.unfit(actual, runtime.NewStrictDecodingError(problems))
	}
	for _, problem := range problems {
		for _, text := range warningsOf(problem) {
			warn(text)
		}
	}
	return object, nil
}

// read reads JSON into an object. With strict it also returns what is unknown or repeated.
func (b body) read(data []byte, into runtime.Object, strict bool) (problems []error, err error) {
	if problems, err = decodeJSON(data, into, strict); err != nil || b.prune == nil {
		return problems, err
	}
	unknown, err := b.prune(into.(kinds.Object))
	if strict {
		for _, path := range unknown {
			problems = append(problems, fmt.Errorf("unknown field %q", path))
		}
	}
	return problems, err
}

// kindOf reads apiVersion and kind; what is left out is what the request's path says.
func (b body) kindOf(data []byte) (schema.GroupVersionKind, error) {
	var named struct {
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind,omitempty"`
	}
	if err := json.Unmarshal(data, &named); err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("couldn't get version/kind; json parse error: %w", err)
	}
	gv, err := schema.ParseGroupVersion(named.APIVersion)
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	actual := gv.WithKind(named.Kind)
	if actual.Kind == "" {
		actual.Kind = b.kind.Kind
	}
	if actual.Version == "" && (actual.Group == "" || actual.Group == b.kind.Group) {
		actual.Group, actual.Version = b.kind.Group, b.kind.Version
	}
	return actual, nil
}

// expects says why a kind does not belong here. The wording is Kubernetes', names of Go types and files included.
func (b body) expects(actual schema.GroupVersionKind) error {
	switch {
	case actual == b.kind:
		return nil
	case !scheme.Scheme.Recognizes(actual):
		return errNoKind(actual)
	}
	group := b.kind.Group
	if group == "" {
		group = "core"
	}
	group, _, _ = strings.Cut(group, ".")
	return fmt.Errorf("converting (%s.%s) to (%s.%s): unknown conversion", actual.Version, actual.Kind, group, b.kind.Kind)
}

// errOtherVersion is the answer to an object in another version of its kind than the request's.
func errOtherVersion(actual, expected schema.GroupVersionKind) error {
	return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)",
		actual.GroupVersion(), expected.GroupVersion()))
}

func errNoKind(kind schema.GroupVersionKind) error {
	return fmt.Errorf("no kind %q is registered for version %q in scheme %q", kind.Kind, kind.GroupVersion(), "pkg/runtime/scheme.go:111")
}

// unfit is the answer to a body that cannot be what it says.
func (b body) unfit(actual schema.GroupVersionKind, err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", actual.Kind, actual.Version, b.kind.Kind, err))
}

// unrecognized is the answer to a body that does not even say what it is.
func (b body) unrecognized(data []byte, err error) error {
	const shown = 30
	summary := "<empty>"
	if len(data) > 0 {
		part, more := data[:min(len(data), shown)], ""
		if len(data) > shown {
			more = " ..."
		}
		if summary = hex.EncodeToString(part) + more; data[0] == '{' {
			summary = string(part) + more
		}
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", b.kind.Kind, err, summary))
}

func (b body) decodeProtobuf(data []byte, object runtime.Object) (runtime.Object, error) {
	if _, custom := object.(*unstructured.Unstructured); custom {
		return nil, errUnsupportedMedia([]string{mediaJSON, mediaYAML})
	}
	decoded, actual, err := protobufEncoder.Decode(data, &b.kind, object)
	switch {
	case err == nil && *actual == b.kind:
		decoded.GetObjectKind().SetGroupVersionKind(b.kind)
		return decoded, nil
	case err == nil:
		return nil, b.unfit(*actual, b.expects(*actual))
	case actual != nil:
		return nil, b.unfit(*actual, err)
	}
	return nil, b.unrecognized(data, err)
}

// decodeJSON reads JSON into an object as Kubernetes does: names count with their case. With strict it also returns what
// is unknown or repeated.
func decodeJSON(data []byte, into runtime.Object, strict bool) (problems []error, err error) {
	if u, ok := into.(*unstructured.Unstructured); ok {
		return decodeGeneric(data, u, strict)
	}
	if !strict {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(data, into)
	}
	return kjson.UnmarshalStrict(data, into)
}

func decodeGeneric(data []byte, into *unstructured.Unstructured, strict bool) (problems []error, err error) {
	content := map[string]any{}
	if strict {
		problems, err = kjson.UnmarshalStrict(data, &content, kjson.DisallowDuplicateFields)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, &content)
	}
	into.Object = content
	return problems, err
}

// warningsOf is what is said of a problem: of YAML's repeated keys, one line each.
func warningsOf(problem error) []string {
	lines := strings.Split(strings.TrimPrefix(problem.Error(), "yaml: unmarshal errors:\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// convertIncoming returns an object that the operation owns, in the Go type of the resource.
func (op *operation) convertIncoming(object runtime.Object) (kinds.Object, error) {
	if u, generic := object.(*unstructured.Unstructured); generic {
		if op.custom() {
			return u.DeepCopy(), nil
		}
		empty := op.New()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, empty); err != nil {
			return nil, op.body("").unfit(u.GroupVersionKind(), err)
		}
		return empty, nil
	}
	if object == nil || reflect.TypeOf(object) != reflect.TypeOf(op.blank) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s takes a %T, not a %T", op.Plural, op.blank, object))
	}
	typed := object.(kinds.Object)
	if op.Owned {
		return typed, nil
	}
	return typed.DeepCopyObject().(kinds.Object), nil
}
