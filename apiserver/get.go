package apiserver

import (
	"context"
	"math"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
)

// Get reads one object, or a subresource of it. A resourceVersion asks for an answer that is at least as new.
func (s *Server) Get(ctx context.Context, r Request, options metav1.GetOptions) (kinds.Object, error) {
	op, err := s.begin(ctx, r, "get")
	if err != nil {
		return nil, err
	}
	if op.Compute != nil {
		return s.getComputed(ctx, op)
	}
	found, err := s.present(op)
	if err != nil {
		return nil, err
	}
	if err := s.reached(options.ResourceVersion); err != nil {
		return nil, err
	}
	shown, err := op.show(found.object)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if op.Subresource == "scale" {
		return op.scaleOf(shown), nil
	}
	return shown, nil
}

// present returns the object that an operation names, or 404.
func (s *Server) present(op *operation) (*item, error) {
	found, err := s.cache.get(op.resource, op.key(op.Namespace, op.Name))
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, apierrors.NewNotFound(op.groupResource(), op.Name)
	}
	return found, nil
}

// reached checks that the store is as far as a resourceVersion.
func (s *Server) reached(resourceVersion string) error {
	revision, err := parseRevision(resourceVersion)
	if err != nil {
		return plainError(err)
	}
	if current := s.config.Store.Revision(); revision > current {
		return errTooLarge(revision, current)
	}
	return nil
}

// parseRevision reads a resourceVersion; "" is 0.
func parseRevision(text string) (int64, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	revision, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, field.Invalid(field.NewPath("resourceVersion"), text, err.Error())
	}
	return int64(min(revision, math.MaxInt64)), nil
}
