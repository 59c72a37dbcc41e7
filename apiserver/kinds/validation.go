package kinds

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The checks that many kinds share. Each returns nil, and allocates nothing, when the value is right. Their order and
// their words are Kubernetes': clients show both.

// orZero32 is an optional number, 0 when left out.
func orZero32(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

// orZero64 is an optional number, 0 when left out.
func orZero64(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// invalid turns the messages of a check on one value into errors.
func invalid(path *field.Path, value any, messages []string) (errs field.ErrorList) {
	for _, message := range messages {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

// nonNegative refuses numbers below zero.
func nonNegative[N int32 | int64](n N, path *field.Path) field.ErrorList {
	if n < 0 {
		return field.ErrorList{field.Invalid(path, int64(n), apivalidation.IsNegativeErrorMsg)}
	}
	return nil
}

// nonNegativePointer does so for an optional number.
func nonNegativePointer[N int32 | int64](n *N, path *field.Path) field.ErrorList {
	if n == nil {
		return nil
	}
	return nonNegative(*n, path)
}

// count is a number with the name of its field, for checks of several at once.
type count struct {
	name string
	n    int64
}

// nonNegativeCounts refuses each number below zero, in the order given.
func nonNegativeCounts(path *field.Path, counts ...count) (errs field.ErrorList) {
	for _, c := range counts {
		errs = append(errs, nonNegative(c.n, path.Child(c.name))...)
	}
	return errs
}

// atMost refuses each number above the limit, in the order given.
func atMost(path *field.Path, message string, limit int32, counts ...count) (errs field.ErrorList) {
	for _, c := range counts {
		if c.n > int64(limit) {
			errs = append(errs, field.Invalid(path.Child(c.name), int32(c.n), message))
		}
	}
	return errs
}

// notDecremented refuses an optional counter that goes back.
func notDecremented(n, old *int32, path *field.Path) field.ErrorList {
	if old == nil || n != nil && *n >= *old {
		return nil
	}
	return field.ErrorList{field.Invalid(path, orZero32(n), "cannot be decremented")}
}

// immutable refuses any change of a value. Empty and left out are the same.
func immutable(value, old any, path *field.Path) field.ErrorList {
	if !equality.Semantic.DeepEqual(value, old) {
		return field.ErrorList{field.Invalid(path, value, apivalidation.FieldImmutableErrorMsg)}
	}
	return nil
}

// immutableInternal is immutable for a part of an object, which the message shows in its internal form.
func immutableInternal(value, old any, path *field.Path) field.ErrorList {
	if !equality.Semantic.DeepEqual(value, old) {
		return field.ErrorList{field.Invalid(path, internalForm(value), apivalidation.FieldImmutableErrorMsg)}
	}
	return nil
}

// oneOf refuses a value that is not among those allowed, which the message lists in the order given.
func oneOf[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// required refuses an empty value.
func required(value string, path *field.Path, message string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, message)}
	}
	return nil
}

// dnsLabel checks a name of one part: lower case letters, digits and dashes, at most 63.
func dnsLabel(value string, path *field.Path) field.ErrorList {
	return invalid(path, value, validation.IsDNS1123Label(value))
}

// dnsSubdomain checks a name of one or more parts with dots between them, at most 253 bytes.
func dnsSubdomain(value string, path *field.Path) field.ErrorList {
	return invalid(path, value, validation.IsDNS1123Subdomain(value))
}

// declaredFormat words the errors of a name whose form is declared in the API's types: its length counts in bytes.
func declaredFormat(errs field.ErrorList) field.ErrorList {
	for _, err := range errs {
		if length, found := strings.CutSuffix(err.Detail, " characters"); found {
			err.Detail = length + " bytes"
		}
	}
	return errs
}

// dns1035Label checks a name of one part that begins with a letter (a service's).
func dns1035Label(value string, path *field.Path) field.ErrorList {
	return invalid(path, value, validation.IsDNS1035Label(value))
}

// qualifiedName checks a name with an optional DNS prefix, as labels have: example.com/name.
func qualifiedName(value string, path *field.Path) field.ErrorList {
	return invalid(path, value, validation.IsQualifiedName(value))
}

// objectName checks the name of another object that a required field gives.
func objectName(value string, path *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return dnsSubdomain(value, path)
}

// portNumber checks a number from 1 to 65535.
func portNumber[N int | int32 | int64](n N, path *field.Path) field.ErrorList {
	if 1 <= n && n <= 65535 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, int64(n), validation.InclusiveRangeError(1, 65535))}
}

// portNumberOrName checks a port given by its number or by the name of a container's port.
func portNumberOrName(port intstr.IntOrString, path *field.Path) field.ErrorList {
	switch port.Type {
	case intstr.Int:
		return portNumber(port.IntVal, path)
	case intstr.String:
		return invalid(path, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return field.ErrorList{field.InternalError(path, nil)}
}

// nonNegativeQuantity refuses amounts below zero.
func nonNegativeQuantity(q resource.Quantity, path *field.Path) field.ErrorList {
	if q.Sign() < 0 {
		return field.ErrorList{field.Invalid(path, q.String(), apivalidation.IsNegativeErrorMsg)}
	}
	return nil
}

// positiveQuantity refuses amounts of zero and below.
func positiveQuantity(q resource.Quantity, path *field.Path) field.ErrorList {
	if q.Sign() <= 0 {
		return field.ErrorList{field.Invalid(path, q.String(), "must be greater than zero")}
	}
	return nil
}

// intOrPercent checks a number that is not negative, or a percentage.
func intOrPercent(v intstr.IntOrString, path *field.Path) field.ErrorList {
	switch v.Type {
	case intstr.String:
		return invalid(path, v, validation.IsValidPercent(v.StrVal))
	case intstr.Int:
		return nonNegative(v.IntVal, path)
	}
	return field.ErrorList{field.Invalid(path, v, "must be an integer or percentage (e.g '5%%')")}
}

// percentValue is the number in a percentage; ok is false for anything else.
func percentValue(v intstr.IntOrString) (percent int, ok bool) {
	if v.Type != intstr.String || len(validation.IsValidPercent(v.StrVal)) > 0 {
		return 0, false
	}
	for _, digit := range strings.TrimSuffix(v.StrVal, "%") {
		if percent = percent*10 + int(digit-'0'); percent > 1e9 {
			break
		}
	}
	return percent, true
}

// intOrPercentZero says whether the value is 0 or 0%.
func intOrPercentZero(v intstr.IntOrString) bool {
	if percent, ok := percentValue(v); ok {
		return percent == 0
	}
	return v.IntValue() == 0
}

// atMost100Percent refuses percentages above 100.
func atMost100Percent(v intstr.IntOrString, path *field.Path) field.ErrorList {
	if percent, ok := percentValue(v); ok && percent > 100 {
		return field.ErrorList{field.Invalid(path, v, "must not be greater than 100%")}
	}
	return nil
}

// labelSelector checks the form of a selector; nil is allowed.
func labelSelector(selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, path)
}

// validLabels checks labels, or what stands for labels (a node selector).
func validLabels(set map[string]string, path *field.Path) field.ErrorList {
	return metavalidation.ValidateLabels(set, path)
}

// sortedNames ranges over a list of resources in the order of their names, so that the same mistake always reads the same.
func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	switch len(list) {
	case 0:
		return nil
	case 1:
		for name := range list {
			return []corev1.ResourceName{name}
		}
	}
	return slices.Sorted(maps.Keys(list))
}
