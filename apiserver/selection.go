package apiserver

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	optionsvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/kinds"
)

// selection is which objects a list or a watch is about.
type selection struct {
	res    *resource
	labels labels.Selector // nil matches everything
	fields fields.Selector // nil matches everything
	// indexed is the value that the resource's index must have, when that is all that is asked for.
	indexed *string
}

// options checks the options of a list or a watch, fills in their defaults, and reads their selectors.
func (res *resource) listOptions(options metav1.ListOptions) (*internalversion.ListOptions, selection, error) {
	of := selection{res: res}
	var checked internalversion.ListOptions
	if err := internalversion.Convert_v1_ListOptions_To_internalversion_ListOptions(&options, &checked, nil); err != nil {
		return nil, of, apierrors.NewBadRequest(err.Error())
	}
	internalversion.SetListOptionsDefaults(&checked, true)
	if errs := optionsvalidation.ValidateListOptions(&checked, true); len(errs) > 0 {
		return nil, of, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	if s := checked.LabelSelector; s != nil && !s.Empty() {
		of.labels = s
	}
	if s := checked.FieldSelector; s != nil && !s.Empty() {
		for _, requirement := range s.Requirements() {
			if err := res.selectable(requirement.Field); err != nil {
				return nil, of, apierrors.NewBadRequest(err.Error())
			}
		}
		of.fields = s
		if value, exact := s.RequiresExactMatch(res.Index); exact && res.Indexed != nil && len(s.Requirements()) == 1 {
			of.indexed = &value
		}
	}
	return &checked, of, nil
}

// selectable says why a field cannot be selected by, in the two wordings that Kubernetes has.
func (res *resource) selectable(name string) error {
	switch {
	case name == "metadata.name", name == "metadata.namespace", slices.Contains(res.FieldNames, name):
		return nil
	case len(res.FieldNames) == 0:
		return fmt.Errorf("%q is not a known field selector: only %q, %q", name, "metadata.name", "metadata.namespace")
	}
	return fmt.Errorf("field label not supported: %s", name)
}

func (s *selection) everything() bool { return s.labels == nil && s.fields == nil }

// matches says whether an object, in the resource's version, is selected.
func (s *selection) matches(object kinds.Object) bool {
	if s.labels != nil && !s.labels.Matches(labels.Set(object.GetLabels())) {
		return false
	}
	switch {
	case s.fields == nil:
		return true
	case s.indexed != nil:
		return s.res.Indexed(object) == *s.indexed
	}
	set := fields.Set{}
	if s.res.Fields != nil {
		set = s.res.Fields(object)
	}
	set["metadata.name"], set["metadata.namespace"] = object.GetName(), object.GetNamespace()
	return s.fields.Matches(set)
}
