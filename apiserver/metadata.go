package apiserver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kubette/apiserver/kinds"
)

var metadataPath = field.NewPath("metadata")

// invalid is the answer to an object that is not well-formed. The machinery and a kind check some fields both; what both
// find wrong is said once, but for custom resources.
func (res *resource) invalid(name string, errs field.ErrorList) error {
	if !res.custom() {
		errs = kinds.Distinct(errs)
	}
	return apierrors.NewInvalid(res.groupKind(), name, errs)
}

// now is the present time as the API keeps it: in whole seconds.
func now() metav1.Time { return metav1.Unix(time.Now().Unix(), 0) }

// wipeSystemFields clears what only the server may set on a new object.
func wipeSystemFields(object metav1.Object) {
	object.SetCreationTimestamp(metav1.Time{})
	object.SetUID("")
	object.SetDeletionTimestamp(nil)
	object.SetDeletionGracePeriodSeconds(nil)
	object.SetSelfLink("")
}

// fillSystemFields gives a new object its identity, and a name where only the beginning of one is asked for.
func fillSystemFields(object metav1.Object) {
	object.SetCreationTimestamp(now())
	object.SetUID(uuid.NewUUID())
	if object.GetName() == "" && object.GetGenerateName() != "" {
		object.SetName(generateName(object.GetGenerateName()))
	}
}

const (
	generatedSuffix = 5
	maxNameBase     = 63 - generatedSuffix
	nameAttempts    = 8
)

func generateName(base string) string {
	return base[:min(len(base), maxNameBase)] + utilrand.String(generatedSuffix)
}

// placeIn makes an object's namespace the request's.
func placeIn(namespace string, object metav1.Object) error {
	switch object.GetNamespace() {
	case namespace:
		return nil
	case "":
		object.SetNamespace(namespace)
		return nil
	}
	if namespace == "" { // cluster-scoped
		object.SetNamespace("")
		return nil
	}
	return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
}

// checkName checks that an object is the one that the request names.
func checkName(object metav1.Object, name, namespace string) error {
	if object.GetName() == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s based on URL) was undeterminable: name must be provided", name))
	}
	if object.GetName() != name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", object.GetName(), name))
	}
	if object.GetNamespace() != namespace && namespace != "" {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)",
			object.GetNamespace(), namespace))
	}
	return nil
}

// validName is the row's rule for names, as apimachinery's validation takes it.
func (res *resource) validName() validation.ValidateNameFunc {
	if res.ValidateName != nil {
		return res.ValidateName
	}
	return validation.NameIsDNSSubdomain
}

func validPathSegment(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}

// validateMetadata checks what all new objects have in common.
func (res *resource) validateMetadata(object metav1.Object) field.ErrorList {
	errs := validation.ValidateObjectMetaAccessor(object, res.Namespaced, res.validName(), metadataPath)
	return append(errs, res.validateFinalizers(object)...)
}

// standardFinalizers are those of Kubernetes itself; all others belong to a domain.
var standardFinalizers = []string{string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents}

// validateFinalizers checks the names of finalizers, which custom resources choose more freely.
func (res *resource) validateFinalizers(object metav1.Object) (errs field.ErrorList) {
	if res.custom() {
		return nil
	}
	for i, name := range object.GetFinalizers() {
		if !strings.Contains(name, "/") && !slices.Contains(standardFinalizers, name) {
			errs = append(errs, field.Invalid(metadataPath.Child("finalizers").Index(i), name,
				"name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}

// validateMetadataUpdate checks what all changes have in common: first what holds of any object, then what may change.
func (res *resource) validateMetadataUpdate(object, old metav1.Object) field.ErrorList {
	errs := validation.ValidateObjectMetaAccessor(object, res.Namespaced, validPathSegment, metadataPath)
	errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(object, old, metadataPath)...)
	return append(errs, res.validateFinalizers(object)...)
}

// keepSystemFields carries over what an update cannot change, or need not repeat.
func keepSystemFields(object, old metav1.Object) {
	if object.GetUID() == "" {
		object.SetUID(old.GetUID())
	}
	if created := old.GetCreationTimestamp(); !created.IsZero() {
		object.SetCreationTimestamp(created)
	}
	if old.GetDeletionTimestamp() != nil {
		object.SetDeletionTimestamp(old.GetDeletionTimestamp())
	}
	if old.GetDeletionGracePeriodSeconds() != nil && object.GetDeletionGracePeriodSeconds() == nil {
		object.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	}
}

// dedupOwners drops owner references that are there twice, with a warning.
func (op *operation) dedupOwners(object metav1.Object, afterAdmission bool) {
	owners := object.GetOwnerReferences()
	if len(owners) < 2 {
		return
	}
	var kept []metav1.OwnerReference
	var twice []string
	for _, owner := range owners {
		if hasOwner(kept, owner) {
			twice = append(twice, string(owner.UID))
			continue
		}
		kept = append(kept, owner)
	}
	if len(twice) == 0 {
		return
	}
	object.SetOwnerReferences(kept)
	when := ""
	if afterAdmission {
		when = " after mutating admission happens"
	}
	op.Warn(fmt.Sprintf(".metadata.ownerReferences contains duplicate entries%s; API server dedups owner references in 1.20+, "+
		"and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: %s",
		when, strings.Join(twice, ", ")))
}

func hasOwner(owners []metav1.OwnerReference, owner metav1.OwnerReference) bool {
	for i := range owners {
		if owners[i].UID == owner.UID && apiequality.Semantic.DeepEqual(owners[i], owner) {
			return true
		}
	}
	return false
}

// warn passes on the row's warnings.
func (op *operation) warnAbout(object, old kinds.Object) {
	if op.storage.Warnings == nil {
		return
	}
	for _, text := range op.storage.Warnings(object, old) {
		op.Warn(text)
	}
}
