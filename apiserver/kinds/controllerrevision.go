package kinds

import (
	"bytes"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func controllerRevision() *Kind {
	return Row[*appsv1.ControllerRevision]{
		Base: Kind{
			Group: "apps", Version: "v1", Kind: "ControllerRevision", Plural: "controllerrevisions", Singular: "controllerrevision",
			Namespaced: true, UnconditionalUpdate: true,
		},
		New:      func() *appsv1.ControllerRevision { return &appsv1.ControllerRevision{} },
		NewList:  func() runtime.Object { return &appsv1.ControllerRevisionList{} },
		Validate: validateControllerRevision,
		// What was is not rewritten.
		ValidateUpdate: func(r, old *appsv1.ControllerRevision) field.ErrorList {
			return append(nonNegative(r.Revision, field.NewPath("revision")), immutable(r.Data, old.Data, field.NewPath("data"))...)
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Controller", "string", "Controller of the object"),
			column("Revision", "string", appsv1.ControllerRevision{}.SwaggerDoc()["revision"]),
			ageColumn(),
		},
		Cells: func(r *appsv1.ControllerRevision) []any {
			return []any{r.Name, controllerCell(r), r.Revision, age(r.CreationTimestamp)}
		},
	}.Kind()
}

func validateControllerRevision(r *appsv1.ControllerRevision) (errs field.ErrorList) {
	errs = nonNegative(r.Revision, field.NewPath("revision"))
	switch raw := bytes.TrimSpace(r.Data.Raw); {
	case r.Data.Object != nil:
	case len(raw) == 0, string(raw) == "null":
		errs = append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
	case raw[0] != '{':
		errs = append(errs, field.Required(field.NewPath("data"), "data must be a valid JSON object"))
	}
	return errs
}
