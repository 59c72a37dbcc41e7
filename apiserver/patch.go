package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"kubette/apiserver/kinds"
)

// maxJSONPatchOperations is how many operations a JSON patch may have.
const maxJSONPatchOperations = 10_000

// patcher changes the JSON form of an object as a patch says.
type patcher struct {
	op         *operation
	kind       types.PatchType
	data       []byte
	validation string // Strict, Warn or Ignore
}

// Patch changes parts of an object, or of a subresource: by a JSON patch, a merge patch, a strategic merge patch, or an
// applied configuration. A patch that names no resourceVersion is worked out again when the object changes meanwhile.
func (s *Server) Patch(ctx context.Context, r Request, kind types.PatchType, data []byte, options metav1.PatchOptions) (_ runtime.Object, created bool, err error) {
	op, err := s.begin(ctx, r, "patch")
	if err != nil {
		return nil, false, err
	}
	if errs := validation.ValidatePatchOptions(&options, kind); len(errs) > 0 {
		return nil, false, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "PatchOptions"}, "", errs)
	}
	if err := op.options("PatchOptions", options.DryRun, options.FieldManager, options.FieldValidation); err != nil {
		return nil, false, err
	}
	p := &patcher{op: op, kind: kind, data: data, validation: options.FieldValidation}
	if p.validation == "" {
		p.validation = metav1.FieldValidationWarn
	}
	if kind == types.ApplyYAMLPatchType {
		return s.apply(ctx, p, options.Force != nil && *options.Force)
	}
	if op.Subresource == "scale" {
		scale, err := s.patchScale(ctx, p)
		return scale, false, err
	}
	return s.modify(ctx, op, modification{change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
		patched := op.New()
		if err := p.patch(op.withKind(old), patched); err != nil {
			return nil, err
		}
		withoutKind(patched)
		if op.Default != nil {
			op.Default(patched)
		}
		if err := op.checkPatched(patched); err != nil {
			return nil, err
		}
		return op.managers.updated(op, old, patched), nil
	}})
}

// checkPatched refuses a patch that would make an object another one.
func (op *operation) checkPatched(object kinds.Object) error {
	if err := placeIn(op.Namespace, object); err != nil {
		return err
	}
	return checkName(object, op.Name, op.Namespace)
}

// patch sets into to what the patch makes of an object; both name their kind.
func (p *patcher) patch(object runtime.Object, into runtime.Object) error {
	switch p.kind {
	case types.JSONPatchType, types.MergePatchType:
		return p.patchJSON(object, into)
	case types.StrategicMergePatchType:
		if _, custom := object.(*unstructured.Unstructured); !custom {
			return p.patchStrategic(object, into)
		}
	}
	return errUnsupportedMedia([]string{string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType)})
}

// strict says whether unknown and repeated fields matter.
func (p *patcher) strict() bool { return p.validation != metav1.FieldValidationIgnore }

func (p *patcher) patchJSON(object, into runtime.Object) error {
	before, err := json.Marshal(object)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	after, problems, err := p.mergeJSON(before)
	if err != nil {
		return err
	}
	b := p.op.body(p.op.Subresource)
	actual, err := b.kindOf(after)
	if err == nil && actual != b.kind && p.op.custom() {
		return p.op.invalid(p.op.Name, otherKind(actual, b.kind))
	}
	if err == nil {
		err = b.expects(actual)
	}
	var more []error
	if err == nil {
		more, err = b.read(after, into, p.strict())
	}
	if err != nil {
		return invalidPatch(string(after), err)
	}
	return p.report(append(problems, more...), string(after))
}

// otherKind says what a patch made of a custom resource's kind.
func otherKind(actual, expected schema.GroupVersionKind) (errs field.ErrorList) {
	if actual.Kind != expected.Kind {
		errs = append(errs, field.Invalid(field.NewPath("kind"), actual.Kind, "must be "+expected.Kind))
	}
	if now, must := actual.GroupVersion().String(), expected.GroupVersion().String(); now != must {
		errs = append(errs, field.Invalid(field.NewPath("apiVersion"), now, "must be "+must))
	}
	return errs
}

// errNotJSON is the answer to a merge patch that is not JSON at all.
var errNotJSON = apierrors.NewBadRequest("invalid JSON patch")

// jsonPatchOp is one step of a JSON patch.
type jsonPatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

// mergeJSON returns the JSON after the patch, and what is suspicious in the patch itself.
func (p *patcher) mergeJSON(before []byte) (after []byte, problems []error, err error) {
	if !json.Valid(p.data) {
		return nil, nil, errNotJSON
	}
	if p.kind == types.MergePatchType {
		if p.strict() {
			if problems, err = kjson.UnmarshalStrict(p.data, &map[string]any{}); err != nil {
				return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
			}
		}
		after, err = jsonpatch.MergePatch(before, p.data)
		if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
			err = apierrors.NewBadRequest(err.Error())
		}
		return after, problems, err
	}
	if p.strict() {
		var operations []jsonPatchOp
		if problems, err = kjson.UnmarshalStrict(p.data, &operations); err != nil {
			// Kubernetes' type is in a package named handlers, and the message says so.
			text := strings.Replace(err.Error(), "apiserver.jsonPatchOp", "handlers.jsonPatchOp", 1)
			return nil, nil, apierrors.NewBadRequest("error decoding patch: " + text)
		}
		for i := range problems {
			problems[i] = fmt.Errorf("json patch %w", problems[i])
		}
	}
	operations, err := jsonpatch.DecodePatch(p.data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if len(operations) > maxJSONPatchOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"The allowed maximum operations in a JSON patch is %d, got %d", maxJSONPatchOperations, len(operations)))
	}
	after, err = operations.Apply(before)
	if err != nil {
		return nil, nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return after, problems, nil
}

func (p *patcher) patchStrategic(object, into runtime.Object) error {
	before, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if !json.Valid(p.data) {
		return errNotJSON
	}
	patch := map[string]any{}
	var problems []error
	if p.strict() {
		problems, err = kjson.UnmarshalStrict(p.data, &patch)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(p.data, &patch)
	}
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	after, err := strategicpatch.StrategicMergeMapPatch(before, patch, into)
	if err != nil {
		return strategicError(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(after, into, p.strict()); err != nil {
		strict, is := runtime.AsStrictDecodingError(err)
		if !is {
			return invalidPatch(fmt.Sprintf("%+v", patch), err)
		}
		problems = append(problems, strict.Errors()...)
	}
	return p.report(problems, fmt.Sprintf("%+v", patch))
}

func strategicError(err error) error {
	switch {
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists), errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys):
		return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return plainError(err)
}

// report warns of unknown and repeated fields, or refuses them.
func (p *patcher) report(problems []error, patch string) error {
	switch {
	case len(problems) == 0 || p.validation == metav1.FieldValidationIgnore:
		return nil
	case p.validation == metav1.FieldValidationWarn:
		for _, problem := range problems {
			p.op.Warn(problem.Error())
		}
		return nil
	}
	return invalidPatch(patch, runtime.NewStrictDecodingError(problems))
}

func invalidPatch(patch string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), patch, err.Error())})
}
