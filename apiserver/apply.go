package apiserver

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"kubette/apiserver/kinds"
)

// apply is server-side apply: the patch holds the fields that its manager wants, and no others. Fields that it wanted
// before and leaves out now are removed, if nobody else wants them; fields that somebody else set to another value are a
// conflict (409), unless forced. It creates what is not there.
func (s *Server) apply(ctx context.Context, p *patcher, force bool) (runtime.Object, bool, error) {
	patch := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal(p.data, &patch.Object); err != nil {
		if text, broken := strings.CutPrefix(err.Error(), "error converting YAML to JSON: "); broken {
			return nil, false, apierrors.NewBadRequest("error encoding patch: " + text)
		}
		return nil, false, apierrors.NewBadRequest("error decoding patch: " + err.Error())
	}
	if p.op.Subresource == "scale" {
		scale, err := s.applyScale(ctx, p, patch, force)
		return scale, false, err
	}
	op := p.op
	return s.modify(ctx, op, modification{mayCreate: op.Subresource == "", change: func(_ context.Context, old kinds.Object) (kinds.Object, error) {
		object, err := op.managers.applied(op, old, patch.DeepCopy(), force)
		if err != nil {
			return nil, plainError(err)
		}
		if err := p.checkStrictly(); err != nil {
			return nil, err
		}
		if uid := object.GetUID(); old == nil && uid != "" {
			return nil, apierrors.NewConflict(op.groupResource(), op.Name,
				fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
		}
		return object, op.checkPatched(object)
	}})
}

// checkStrictly looks for repeated fields. Unknown ones have been refused already: they belong to no manager.
func (p *patcher) checkStrictly() error {
	if !p.strict() {
		return nil
	}
	err := yaml.UnmarshalStrict(p.data, &map[string]any{})
	switch {
	case err == nil:
		return nil
	case p.validation == metav1.FieldValidationStrict:
		return apierrors.NewBadRequest(fmt.Sprintf("error strict decoding patch: %v", err))
	}
	for _, text := range warningsOf(err) {
		p.op.Warn(text)
	}
	return nil
}
