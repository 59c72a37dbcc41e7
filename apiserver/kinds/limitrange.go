package kinds

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func limitRange() *Kind {
	return Row[*corev1.LimitRange]{
		Base: Kind{
			Version: "v1", Kind: "LimitRange", Plural: "limitranges", Singular: "limitrange", ShortNames: []string{"limits"},
			Namespaced: true, AllowCreateOnUpdate: true, UnconditionalUpdate: true,
		},
		New:     func() *corev1.LimitRange { return &corev1.LimitRange{} },
		NewList: func() runtime.Object { return &corev1.LimitRangeList{} },
		Default: func(l *corev1.LimitRange) {
			for i := range l.Spec.Limits {
				defaultLimits(&l.Spec.Limits[i])
			}
		},
		// A limit range is the one object that gets a name without asking for one.
		PrepareForCreate: func(l *corev1.LimitRange) {
			noneIfEmpty(&l.Spec.Limits)
			if l.Name == "" && l.GenerateName == "" {
				l.Name = string(uuid.NewUUID())
			}
		},
		PrepareForUpdate: func(l, _ *corev1.LimitRange) { noneIfEmpty(&l.Spec.Limits) },
		Validate:         validateLimitRange,
		ValidateUpdate:   func(l, _ *corev1.LimitRange) field.ErrorList { return validateLimitRange(l) },
		Columns:          createdAtColumns(),
		Cells:            func(l *corev1.LimitRange) []any { return createdAtCells(l) },
	}.Kind()
}

// defaultLimits completes what a container gets that asks for nothing: its limit is the most, its request the limit, or
// else the least.
func defaultLimits(l *corev1.LimitRangeItem) {
	for _, list := range []corev1.ResourceList{l.Max, l.Min, l.Default, l.DefaultRequest, l.MaxLimitRequestRatio} {
		roundUp(list)
	}
	if l.Type != corev1.LimitTypeContainer {
		return
	}
	complete := func(list *corev1.ResourceList, from corev1.ResourceList) {
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		for name, q := range from {
			if _, set := (*list)[name]; !set {
				(*list)[name] = q.DeepCopy()
			}
		}
	}
	complete(&l.Default, l.Max)
	complete(&l.DefaultRequest, l.Default)
	complete(&l.DefaultRequest, l.Min)
}

func validateLimitRange(l *corev1.LimitRange) (errs field.ErrorList) {
	seen := map[corev1.LimitType]bool{}
	for i := range l.Spec.Limits {
		item, path := &l.Spec.Limits[i], field.NewPath("spec", "limits").Index(i)
		errs = append(errs, limitType(item.Type, path.Child("type"))...)
		if seen[item.Type] {
			errs = append(errs, field.Duplicate(path.Child("type"), item.Type))
		}
		seen[item.Type] = true
		errs = append(errs, validateLimitNames(item, path)...)
		for _, name := range limitNames(item) {
			errs = append(errs, validateLimit(item, name, path)...)
		}
	}
	return errs
}

func limitType(t corev1.LimitType, path *field.Path) field.ErrorList {
	errs := qualifiedName(string(t), path)
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
		return errs
	}
	if len(errs) == 0 && !slices.Contains([]byte(t), '/') {
		return field.ErrorList{field.Invalid(path, t, "must be a standard limit type or fully qualified")}
	}
	return errs
}

func validateLimitNames(l *corev1.LimitRangeItem, path *field.Path) (errs field.ErrorList) {
	check := func(list corev1.ResourceList, field string) {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			at := path.Child(field).Key(string(name))
			if l.Type == corev1.LimitTypePod || l.Type == corev1.LimitTypeContainer {
				errs = append(errs, containerResourceName(name, at)...)
			} else {
				errs = append(errs, resourceName(name, at)...)
			}
		}
	}
	check(l.Max, "max")
	check(l.Min, "min")
	if l.Type == corev1.LimitTypePod {
		if len(l.Default) > 0 {
			errs = append(errs, field.Forbidden(path.Child("default"), "may not be specified when `type` is 'Pod'"))
		}
		if len(l.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(path.Child("defaultRequest"), "may not be specified when `type` is 'Pod'"))
		}
	} else {
		check(l.Default, "default")
		check(l.DefaultRequest, "defaultRequest")
	}
	if l.Type == corev1.LimitTypePersistentVolumeClaim {
		_, least := l.Min[corev1.ResourceStorage]
		_, most := l.Max[corev1.ResourceStorage]
		if !least && !most {
			errs = append(errs, field.Required(path.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	check(l.MaxLimitRequestRatio, "maxLimitRequestRatio")
	return errs
}

// limitNames are all resources that a limit mentions.
func limitNames(l *corev1.LimitRangeItem) []corev1.ResourceName {
	names := map[corev1.ResourceName]bool{}
	lists := []corev1.ResourceList{l.Max, l.Min, l.MaxLimitRequestRatio}
	if l.Type != corev1.LimitTypePod {
		lists = append(lists, l.Default, l.DefaultRequest)
	}
	for _, list := range lists {
		for name := range list {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// validateLimit checks that the amounts for one resource do not contradict each other.
func validateLimit(l *corev1.LimitRangeItem, name corev1.ResourceName, path *field.Path) (errs field.ErrorList) {
	least, hasLeast := l.Min[name]
	most, hasMost := l.Max[name]
	limit, hasLimit := l.Default[name]
	request, hasRequest := l.DefaultRequest[name]
	if l.Type == corev1.LimitTypePod {
		hasLimit, hasRequest = false, false
	}
	// greater adds an error when both amounts are there and the first is greater; shown is the one in the message.
	greater := func(has bool, a, b resource.Quantity, at string, shown resource.Quantity, format string) {
		if has && a.Cmp(b) > 0 {
			errs = append(errs, field.Invalid(path.Child(at).Key(string(name)), shown, fmt.Sprintf(format, a.String(), b.String())))
		}
	}
	greater(hasLeast && hasMost, least, most, "min", least, "min value %s is greater than max value %s")
	greater(hasLeast && hasRequest, least, request, "defaultRequest", request, "min value %s is greater than default request value %s")
	greater(hasRequest && hasMost, request, most, "defaultRequest", request, "default request value %s is greater than max value %s")
	greater(hasRequest && hasLimit, request, limit, "defaultRequest", request, "default request value %s is greater than default limit value %s")
	greater(hasLeast && hasLimit, least, limit, "default", least, "min value %s is greater than default value %s")
	greater(hasLimit && hasMost, limit, most, "default", most, "default value %s is greater than max value %s")
	errs = append(errs, validateLimitRatio(l, name, path.Child("maxLimitRequestRatio").Key(string(name)))...)
	if !overcommittable(name) && hasLimit && hasRequest && limit.Cmp(request) != 0 {
		errs = append(errs, field.Invalid(path.Child("defaultRequest").Key(string(name)), request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name)))
	}
	return errs
}

func validateLimitRatio(l *corev1.LimitRangeItem, name corev1.ResourceName, path *field.Path) (errs field.ErrorList) {
	ratio, ok := l.MaxLimitRequestRatio[name]
	if !ok {
		return nil
	}
	if ratio.Cmp(resource.MustParse("1")) < 0 {
		errs = append(errs, field.Invalid(path, ratio, fmt.Sprintf("ratio %s is less than 1", ratio.String())))
	}
	least, hasLeast := l.Min[name]
	most, hasMost := l.Max[name]
	if !hasLeast || !hasMost {
		return errs
	}
	// In thousandths, unless the amounts are too big for that.
	wanted, low, high := float64(ratio.Value()), least.Value(), most.Value()
	if ratio.Value() < resource.MaxMilliValue && low < resource.MaxMilliValue && high < resource.MaxMilliValue {
		wanted, low, high = float64(ratio.MilliValue())/1000, least.MilliValue(), most.MilliValue()
	}
	if possible := float64(high) / float64(low); wanted > possible {
		errs = append(errs, field.Invalid(path, ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), possible)))
	}
	return errs
}

// createdAtColumns are those of kinds that print nothing of their own.
func createdAtColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{nameColumn(), column("Created At", "date", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])}
}

func createdAtCells(object Object) []any {
	return []any{object.GetName(), object.GetCreationTimestamp().UTC().Format("2006-01-02T15:04:05Z07:00")}
}
