package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubette/loop"
)

// IgnoreStale drops the error of a write that came too late: the object has changed, or is gone. Nothing is lost by it,
// for the change that overtook the write is on its way through the informer, or has arrived meanwhile, and asks for the
// key again. So it is only for writes to objects whose every change makes the controller reconcile. (Kubernetes returns
// the error and comes back after the back-off.)
func IgnoreStale(ctx context.Context, err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		loop.Say(ctx, "StaleCopy", "error", err.Error())
		return nil
	}
	return err
}

// IgnoreNotFound drops the error about an object that is gone.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
