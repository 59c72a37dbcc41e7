package kinds

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The priorities that Kubernetes keeps for itself. A user's highest is below both.
const (
	highestUserPriority = int32(1000000000)
	systemPriority      = 2 * highestUserPriority
	systemClassPrefix   = "system-"
)

// systemPriorityClasses have names that no other class may begin with.
var systemPriorityClasses = map[string]int32{
	"system-node-critical":    systemPriority + 1000,
	"system-cluster-critical": systemPriority,
}

func priorityClass() *Kind {
	return Row[*schedulingv1.PriorityClass]{
		Base: Kind{
			Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass", Plural: "priorityclasses", Singular: "priorityclass",
			ShortNames: []string{"pc"}, UnconditionalUpdate: true,
		},
		New:     func() *schedulingv1.PriorityClass { return &schedulingv1.PriorityClass{} },
		NewList: func() runtime.Object { return &schedulingv1.PriorityClassList{} },
		Default: func(p *schedulingv1.PriorityClass) {
			setDefaultPointer(&p.PreemptionPolicy, corev1.PreemptLowerPriority)
		},
		PrepareForCreate: func(p *schedulingv1.PriorityClass) { p.Generation = 1 },
		Validate:         validatePriorityClass,
		ValidateUpdate: func(p, old *schedulingv1.PriorityClass) (errs field.ErrorList) {
			if p.Value != old.Value {
				errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
			}
			return append(errs, immutable(p.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Value", "integer", schedulingv1.PriorityClass{}.SwaggerDoc()["value"]),
			column("Global-Default", "boolean", schedulingv1.PriorityClass{}.SwaggerDoc()["globalDefault"]),
			ageColumn(),
			column("PreemptionPolicy", "string", schedulingv1.PriorityClass{}.SwaggerDoc()["preemptionPolicy"]),
		},
		Cells: func(p *schedulingv1.PriorityClass) []any {
			policy := ""
			if p.PreemptionPolicy != nil {
				policy = string(*p.PreemptionPolicy)
			}
			return []any{p.Name, int64(p.Value), p.GlobalDefault, age(p.CreationTimestamp), policy}
		},
	}.Kind()
}

func validatePriorityClass(p *schedulingv1.PriorityClass) (errs field.ErrorList) {
	if strings.HasPrefix(p.Name, systemClassPrefix) {
		if err := systemPriorityClass(p); err != nil {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"),
				"priority class names with '"+systemClassPrefix+"' prefix are reserved for system use only. error: "+err.Error()))
		}
	} else if p.Value > highestUserPriority {
		errs = append(errs, field.Forbidden(field.NewPath("value"),
			fmt.Sprintf("maximum allowed value of a user defined priority is %v", highestUserPriority)))
	}
	path := field.NewPath("preemptionPolicy")
	if *p.PreemptionPolicy == "" {
		return append(errs, field.Required(path, ""))
	}
	return append(errs, oneOf(*p.PreemptionPolicy, path, corev1.PreemptLowerPriority, corev1.PreemptNever)...)
}

// systemPriorityClass says how a class with a system name differs from the one that Kubernetes knows by it.
func systemPriorityClass(p *schedulingv1.PriorityClass) error {
	switch value, known := systemPriorityClasses[p.Name]; {
	case !known:
		return fmt.Errorf("%v is not a known system priority class", p.Name)
	case p.Value != value:
		return fmt.Errorf("value of %v PriorityClass must be %v", p.Name, value)
	case p.GlobalDefault:
		return fmt.Errorf("globalDefault of %v PriorityClass must be %v", p.Name, false)
	}
	return nil
}
