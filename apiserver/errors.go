package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/store"
)

// errConflict is what a writer gets whose object is older than the stored one.
var errConflict = errors.New("the object has been modified; please apply your changes to the latest version and try again")

var noKind schema.GroupVersionKind

// errUnknownPath is the answer to a path that means nothing.
func errUnknownPath() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "404 page not found", 0, true)
}

// storeError turns an error of the store into the API's.
func storeError(err error) error {
	switch {
	case errors.Is(err, store.ErrCompacted):
		return errExpired()
	case errors.Is(err, store.ErrClosed):
		return apierrors.NewServiceUnavailable("the store is closed: the cluster is stopping")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("the request ended before it was done: "+err.Error(), 0)
	}
	return apierrors.NewInternalError(err)
}

// plainError makes an error an API answer without a reason of its own, which is what Kubernetes gives for some mistakes:
// code 500 and the message. One that is an API answer already stays as it is.
func plainError(err error) error {
	var known apierrors.APIStatus
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error()}}
}

// errExpired is 410 Gone: the revision asked for is compacted, and the client must list again.
func errExpired() error {
	return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
}

// errTooLarge is the answer when a resourceVersion is asked for that has not been reached.
func errTooLarge(asked, current int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", asked, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

// sanitize keeps a message from looking like HTML, as Kubernetes does where a path gets into one.
var sanitize = strings.NewReplacer(`&`, "&amp;", `<`, "&lt;", `>`, "&gt;").Replace

// errForbidden is 403 with Kubernetes' wording.
func errForbidden(a Attributes, reason string) error {
	name := ""
	if a.User != nil {
		name = a.User.GetName()
	}
	var message string
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	switch {
	case !a.ResourceRequest:
		message = fmt.Sprintf("User %q cannot %s path %q", name, a.Verb, a.Path)
	case a.Namespace != "":
		message = fmt.Sprintf("User %q cannot %s resource %q in API group %q in the namespace %q", name, a.Verb, resource, a.Group, a.Namespace)
	default:
		message = fmt.Sprintf("User %q cannot %s resource %q in API group %q at the cluster scope", name, a.Verb, resource, a.Group)
	}
	message = sanitize(message)
	if reason != "" {
		message += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name, errors.New(message))
}

// statusOf returns an error as the Status object that a client receives.
func statusOf(err error) *metav1.Status {
	var status metav1.Status
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		status = known.Status()
	} else {
		status = metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error()}
	}
	if status.Status == "" {
		status.Status = metav1.StatusFailure
	}
	if status.Code == 0 {
		status.Code = http.StatusInternalServerError
	}
	status.Kind, status.APIVersion = "Status", "v1"
	return &status
}
