package apiserver

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubette/apiserver/kinds"
)

// Computed kinds are made when they are read: what pods use at this moment is in no store. They have no revision, so they
// cannot be watched, and a list comes in one page.

func (s *Server) compute(ctx context.Context, op *operation) ([]kinds.Object, error) {
	objects, err := op.Compute(ctx, op.Namespace)
	if err == nil || apierrors.ReasonForError(err) != "" {
		return objects, err
	}
	return nil, apierrors.NewInternalError(err)
}

func (s *Server) getComputed(ctx context.Context, op *operation) (kinds.Object, error) {
	objects, err := s.compute(ctx, op)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if object.GetName() == op.Name {
			object.GetObjectKind().SetGroupVersionKind(op.GroupVersionKind())
			return object, nil
		}
	}
	return nil, apierrors.NewNotFound(op.groupResource(), op.Name)
}

func (s *Server) listComputed(ctx context.Context, op *operation, of selection) (*List, error) {
	objects, err := s.compute(ctx, op)
	if err != nil {
		return nil, err
	}
	list := &List{Items: []kinds.Object{}}
	for _, object := range objects {
		if of.matches(object) {
			list.Items = append(list.Items, object)
		}
	}
	return list, nil
}
