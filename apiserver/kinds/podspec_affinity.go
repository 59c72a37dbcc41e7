package kinds

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	requiredTerms  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferredTerms = "preferredDuringSchedulingIgnoredDuringExecution"
)

func validateAffinity(a *corev1.Affinity, path *field.Path) (errs field.ErrorList) {
	if a == nil {
		return nil
	}
	if node, at := a.NodeAffinity, path.Child("nodeAffinity"); node != nil {
		if node.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			errs = append(errs, validateNodeSelector(node.RequiredDuringSchedulingIgnoredDuringExecution, at.Child(requiredTerms))...)
		}
		for i, term := range node.PreferredDuringSchedulingIgnoredDuringExecution {
			here := at.Child(preferredTerms).Index(i)
			errs = append(errs, validateWeight(term.Weight, here.Child("weight"))...)
			errs = append(errs, validateNodeSelectorTerm(&term.Preference, false, here.Child("preference"))...)
		}
	}
	if pod := a.PodAffinity; pod != nil {
		errs = append(errs, validatePodTerms(pod.RequiredDuringSchedulingIgnoredDuringExecution,
			pod.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAffinity"))...)
	}
	if pod := a.PodAntiAffinity; pod != nil {
		errs = append(errs, validatePodTerms(pod.RequiredDuringSchedulingIgnoredDuringExecution,
			pod.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAntiAffinity"))...)
	}
	return errs
}

func validateWeight(weight int32, path *field.Path) field.ErrorList {
	if weight < 1 || weight > 100 {
		return field.ErrorList{field.Invalid(path, weight, "must be in the range 1-100")}
	}
	return nil
}

// validateNodeSelector checks which nodes are wanted: a list of terms, of which one must match.
func validateNodeSelector(s *corev1.NodeSelector, path *field.Path) (errs field.ErrorList) {
	terms := path.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(terms, "must have at least one node selector term")}
	}
	for i := range s.NodeSelectorTerms {
		errs = append(errs, validateNodeSelectorTerm(&s.NodeSelectorTerms[i], true, terms.Index(i))...)
	}
	return errs
}

// validateNodeSelectorTerm checks one term. The values of a mere preference are not checked.
func validateNodeSelectorTerm(term *corev1.NodeSelectorTerm, values bool, path *field.Path) (errs field.ErrorList) {
	for i := range term.MatchExpressions {
		errs = append(errs, validateNodeRequirement(&term.MatchExpressions[i], values, path.Child("matchExpressions").Index(i))...)
	}
	for i := range term.MatchFields {
		errs = append(errs, validateNodeFieldRequirement(&term.MatchFields[i], path.Child("matchFields").Index(i))...)
	}
	return errs
}

func validateNodeRequirement(r *corev1.NodeSelectorRequirement, values bool, path *field.Path) (errs field.ErrorList) {
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(path.Child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(path.Child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(path.Child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	errs = append(errs, qualifiedName(r.Key, path.Child("key"))...)
	if values {
		for i, value := range r.Values {
			errs = append(errs, invalid(path.Child("values").Index(i), value, validation.IsValidLabelValue(value))...)
		}
	}
	return errs
}

// validateNodeFieldRequirement checks a requirement on a node's name, the one field that can be asked for.
func validateNodeFieldRequirement(r *corev1.NodeSelectorRequirement, path *field.Path) (errs field.ErrorList) {
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(path.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
	default:
		errs = append(errs, field.Invalid(path.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	if r.Key != metav1.ObjectNameField {
		return append(errs, field.Invalid(path.Child("key"), r.Key, "not a valid field selector key"))
	}
	for i, value := range r.Values {
		errs = append(errs, dnsSubdomain(value, path.Child("values").Index(i))...)
	}
	return errs
}

func validatePodTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, path *field.Path) (errs field.ErrorList) {
	for i := range required {
		errs = append(errs, validatePodTerm(&required[i], path.Child(requiredTerms).Index(i))...)
	}
	for i := range preferred {
		at := path.Child(preferredTerms).Index(i)
		errs = append(errs, validateWeight(preferred[i].Weight, at.Child("weight"))...)
		errs = append(errs, validatePodTerm(&preferred[i].PodAffinityTerm, at.Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodTerm(term *corev1.PodAffinityTerm, path *field.Path) field.ErrorList {
	errs := labelSelector(term.LabelSelector, path.Child("labelSelector"))
	errs = append(errs, labelSelector(term.NamespaceSelector, path.Child("namespaceSelector"))...)
	for _, namespace := range term.Namespaces {
		errs = append(errs, dnsLabel(namespace, path.Child("namespace"))...)
	}
	errs = append(errs, validateTermKeys(term, path)...)
	errs = append(errs, required(term.TopologyKey, path.Child("topologyKey"), "can not be empty")...)
	return append(errs, qualifiedName(term.TopologyKey, path.Child("topologyKey"))...)
}

// validateTermKeys checks the labels whose values are taken from the pod itself. When a pod is created they are merged into
// the selector first, so a key that is there twice was also written by the user.
func validateTermKeys(term *corev1.PodAffinityTerm, path *field.Path) (errs field.ErrorList) {
	match, mismatch, selector := term.MatchLabelKeys, term.MismatchLabelKeys, term.LabelSelector
	errs = append(errs, validateLabelKeys(match, selector, path.Child("matchLabelKeys"))...)
	errs = append(errs, validateLabelKeys(mismatch, selector, path.Child("mismatchLabelKeys"))...)
	if selector != nil && len(match) > 0 {
		errs = append(errs, repeatedKeys(match, selector, path)...)
	}
	for i, key := range match {
		if slices.Contains(mismatch, key) {
			errs = append(errs, field.Invalid(path.Child("matchLabelKeys").Index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return errs
}

func validateLabelKeys(keys []string, selector *metav1.LabelSelector, path *field.Path) (errs field.ErrorList) {
	if len(keys) == 0 {
		return nil
	}
	if selector == nil {
		return field.ErrorList{field.Forbidden(path, "must not be specified when labelSelector is not set")}
	}
	for i, key := range keys {
		errs = append(errs, qualifiedName(key, path.Index(i))...)
	}
	return errs
}

// repeatedKeys finds the keys that a selector names more often than the merge did.
func repeatedKeys(keys []string, selector *metav1.LabelSelector, path *field.Path) (errs field.ErrorList) {
	for i, expression := range selector.MatchExpressions {
		_, labelled := selector.MatchLabels[expression.Key]
		before := slices.ContainsFunc(selector.MatchExpressions[:i], func(r metav1.LabelSelectorRequirement) bool { return r.Key == expression.Key })
		if at := slices.Index(keys, expression.Key); at >= 0 && (labelled || before) {
			errs = append(errs, field.Invalid(path.Index(at), expression.Key, "exists in both matchLabelKeys and labelSelector"))
		}
	}
	return errs
}

// validateTopologySpread checks how a pod's like shall be spread over the nodes.
func validateTopologySpread(constraints []corev1.TopologySpreadConstraint, path *field.Path) (errs field.ErrorList) {
	for i := range constraints {
		c, at := &constraints[i], path.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, "must be greater than zero"))
		}
		errs = append(errs, required(c.TopologyKey, at.Child("topologyKey"), "can not be empty")...)
		errs = append(errs, oneOf(c.WhenUnsatisfiable, at.Child("whenUnsatisfiable"), corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		if slices.ContainsFunc(constraints[i+1:], func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
		}
		errs = append(errs, validateMinDomains(c, at.Child("minDomains"))...)
		for _, policy := range []struct {
			name  string
			value *corev1.NodeInclusionPolicy
		}{{"nodeAffinityPolicy", c.NodeAffinityPolicy}, {"nodeTaintsPolicy", c.NodeTaintsPolicy}} {
			if policy.value != nil {
				errs = append(errs, oneOf(*policy.value, at.Child(policy.name), corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)...)
			}
		}
		errs = append(errs, validateSpreadKeys(c, at.Child("matchLabelKeys"))...)
		errs = append(errs, labelSelector(c.LabelSelector, at.Child("labelSelector"))...)
	}
	return errs
}

func validateMinDomains(c *corev1.TopologySpreadConstraint, path *field.Path) (errs field.ErrorList) {
	if c.MinDomains == nil {
		return nil
	}
	if *c.MinDomains <= 0 {
		errs = append(errs, field.Invalid(path, c.MinDomains, "must be greater than zero"))
	}
	if c.WhenUnsatisfiable != corev1.DoNotSchedule {
		errs = append(errs, field.Invalid(path, c.MinDomains,
			fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, c.WhenUnsatisfiable)))
	}
	return errs
}

func validateSpreadKeys(c *corev1.TopologySpreadConstraint, path *field.Path) (errs field.ErrorList) {
	errs = validateLabelKeys(c.MatchLabelKeys, c.LabelSelector, path)
	if c.LabelSelector != nil && len(c.MatchLabelKeys) > 0 {
		errs = append(errs, repeatedKeys(c.MatchLabelKeys, c.LabelSelector, path)...)
	}
	return errs
}
