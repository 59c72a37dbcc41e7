package custom

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// acceptNames gives a definition, a copy of its own, those of the names it wants that no other definition of its group has.
// While one is taken, it is not served under the others either.
func (d *Definitions) acceptNames(definition *apiextensionsv1.CustomResourceDefinition) {
	resources, kindNames := map[string]bool{}, map[string]bool{}
	for _, other := range d.all() {
		if other.Spec.Group != definition.Spec.Group || other.Name == definition.Name {
			continue
		}
		names := other.Status.AcceptedNames
		for _, name := range append([]string{names.Plural, names.Singular}, names.ShortNames...) {
			resources[name] = true
		}
		kindNames[names.Kind], kindNames[names.ListKind] = true, true
	}
	wanted, accepted := definition.Spec.Names, &definition.Status.AcceptedNames
	var reason, message string
	take := func(to *string, name, conflict string, taken map[string]bool) {
		if name != *to && taken[name] {
			reason, message = conflict, fmt.Sprintf("%q is already in use", name)
			return
		}
		*to = name
	}
	take(&accepted.Plural, wanted.Plural, "PluralConflict", resources)
	take(&accepted.Singular, wanted.Singular, "SingularConflict", resources)
	var conflicts []string
	for _, name := range wanted.ShortNames {
		if !slices.Contains(accepted.ShortNames, name) && resources[name] {
			conflicts = append(conflicts, fmt.Sprintf("%q is already in use", name))
		}
	}
	if len(conflicts) > 0 {
		reason, message = "ShortNamesConflict", aggregated(conflicts)
	} else {
		accepted.ShortNames = wanted.ShortNames
	}
	take(&accepted.Kind, wanted.Kind, "KindConflict", kindNames)
	take(&accepted.ListKind, wanted.ListKind, "ListKindConflict", kindNames)
	accepted.Categories = wanted.Categories

	if reason != "" {
		setCondition(definition, apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionFalse, reason, message)
		if apihelpers.FindCRDCondition(definition, apiextensionsv1.Established) == nil {
			setCondition(definition, apiextensionsv1.Established, apiextensionsv1.ConditionFalse, "NotAccepted", "not all names are accepted")
		}
		return
	}
	setCondition(definition, apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionTrue, "NoConflicts", "no conflicts found")
}

func aggregated(messages []string) string {
	if len(messages) == 1 {
		return messages[0]
	}
	return "[" + strings.Join(messages, ", ") + "]"
}

func namesAccepted(definition *apiextensionsv1.CustomResourceDefinition) bool {
	return apihelpers.IsCRDConditionTrue(definition, apiextensionsv1.NamesAccepted)
}

// setCondition sets a condition, with the time of the change when there is one.
func setCondition(definition *apiextensionsv1.CustomResourceDefinition, typ apiextensionsv1.CustomResourceDefinitionConditionType,
	status apiextensionsv1.ConditionStatus, reason, message string) {
	condition := apiextensionsv1.CustomResourceDefinitionCondition{
		Type: typ, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now(),
	}
	if before := apihelpers.FindCRDCondition(definition, typ); before != nil && before.Status == status {
		condition.LastTransitionTime = before.LastTransitionTime
		if before.Reason == reason && before.Message == message {
			return
		}
	}
	apihelpers.SetCRDCondition(definition, condition)
}

// judgeApproval says whether a definition in one of Kubernetes' own groups (k8s.io, kubernetes.io) was approved there.
func judgeApproval(definition *apiextensionsv1.CustomResourceDefinition) {
	if !apihelpers.IsProtectedCommunityGroup(definition.Spec.Group) {
		return
	}
	state, message := apihelpers.GetAPIApprovalState(definition.Annotations)
	status, reason := apiextensionsv1.ConditionFalse, "InvalidAnnotation"
	switch state {
	case apihelpers.APIApproved:
		status, reason = apiextensionsv1.ConditionTrue, "ApprovedAnnotation"
	case apihelpers.APIApprovalMissing:
		reason = "MissingAnnotation"
	case apihelpers.APIApprovalBypassed:
		reason = "UnapprovedAnnotation"
	}
	setCondition(definition, apiextensionsv1.KubernetesAPIApprovalPolicyConformant, status, reason, message)
}
