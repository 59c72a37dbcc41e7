package kinds

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func podTemplate() *Kind {
	path := field.NewPath("template")
	validate := func(t *corev1.PodTemplate) field.ErrorList { return validatePodTemplate(&t.Template, path) }
	return Row[*corev1.PodTemplate]{
		Base: Kind{
			Version: "v1", Kind: "PodTemplate", Plural: "podtemplates", Singular: "podtemplate", Namespaced: true,
			UnconditionalUpdate: true, ReturnDeleted: true,
		},
		New:     func() *corev1.PodTemplate { return &corev1.PodTemplate{} },
		NewList: func() runtime.Object { return &corev1.PodTemplateList{} },
		Default: func(t *corev1.PodTemplate) { defaultPodTemplate(&t.Template) },
		PrepareForCreate: func(t *corev1.PodTemplate) {
			t.Generation = 1
			dropDisabledFields(&t.Template.Spec)
		},
		PrepareForUpdate: func(t, old *corev1.PodTemplate) {
			dropDisabledFields(&t.Template.Spec)
			raiseGeneration(t, old, t.Template, old.Template)
		},
		Validate:       validate,
		ValidateUpdate: func(t, old *corev1.PodTemplate) field.ErrorList { return validate(t) },
		Warnings: func(t, old *corev1.PodTemplate) []string {
			return changedTemplateWarnings(t, old, &t.Template, path)
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Containers", "string", "Names of each container in the template."),
			column("Images", "string", "Images referenced by each container in the template."),
			column("Pod Labels", "string", "The labels for the pod template."),
		},
		Cells: func(t *corev1.PodTemplate) []any {
			names, images := containerCells(t.Template.Spec.Containers)
			return []any{t.Name, names, images, labelsCell(t.Template.Labels)}
		},
	}.Kind()
}
