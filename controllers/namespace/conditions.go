package namespace

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

// finding is one of the five things that the status of a namespace being deleted tells.
type finding struct {
	kind        corev1.NamespaceConditionType
	goodReason  string
	goodMessage string
	badReason   string
	badMessage  func(*remains) string // "" when it is good
}

var findings = []finding{
	{kind: corev1.NamespaceDeletionDiscoveryFailure, goodReason: "ResourcesDiscovered", goodMessage: "All resources successfully discovered",
		badReason: "DiscoveryFailed", badMessage: func(*remains) string { return "" }},
	{kind: "NamespaceDeletionGroupVersionParsingFailure", goodReason: "ParsedGroupVersions", goodMessage: "All legacy kube types successfully parsed",
		badReason: "GroupVersionParsingFailed", badMessage: func(*remains) string { return "" }},
	{kind: corev1.NamespaceDeletionContentFailure, goodReason: "ContentDeleted", goodMessage: "All content successfully deleted, may be waiting on finalization",
		badReason: "ContentDeletionFailed", badMessage: failureMessage},
	{kind: corev1.NamespaceContentRemaining, goodReason: "ContentRemoved", goodMessage: "All content successfully removed",
		badReason: "SomeResourcesRemain", badMessage: remainsMessage},
	{kind: corev1.NamespaceFinalizersRemaining, goodReason: "ContentHasNoFinalizers", goodMessage: "All content-preserving finalizers finished",
		badReason: "SomeFinalizersRemain", badMessage: finalizersMessage},
}

func failureMessage(left *remains) string {
	if len(left.failures) == 0 {
		return ""
	}
	return "Failed to delete all resource types, " + fmt.Sprintf("%d remaining: %s", len(left.failures), strings.Join(slices.Sorted(slices.Values(left.failures)), ", "))
}

func remainsMessage(left *remains) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(left.objects)) {
		parts = append(parts, fmt.Sprintf("%s has %d resource instances", name, left.objects[name]))
	}
	if parts == nil || left.pods {
		return "" // as in Kubernetes 1.37: what remains is told once the pods are gone
	}
	return "Some resources are remaining: " + strings.Join(parts, ", ")
}

func finalizersMessage(left *remains) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(left.finalizers)) {
		parts = append(parts, fmt.Sprintf("%s in %d resource instances", name, left.finalizers[name]))
	}
	if parts == nil || left.pods {
		return ""
	}
	return "Some content in the namespace has finalizers remaining: " + strings.Join(parts, ", ")
}

// report writes into the namespace's status what remains.
func (c *Controller) report(ctx context.Context, namespace *corev1.Namespace, left *remains) error {
	changed := namespace.DeepCopy()
	for _, f := range findings {
		condition := corev1.NamespaceCondition{Type: f.kind, Status: corev1.ConditionFalse, Reason: f.goodReason, Message: f.goodMessage}
		if message := f.badMessage(left); message != "" {
			condition.Status, condition.Reason, condition.Message = corev1.ConditionTrue, f.badReason, message
		}
		setCondition(&changed.Status, condition)
	}
	if equality.Semantic.DeepEqual(changed.Status, namespace.Status) {
		return nil
	}
	_, err := client.Of[*corev1.Namespace](c.Client).UpdateStatus(ctx, changed)
	return err
}

func setCondition(status *corev1.NamespaceStatus, condition corev1.NamespaceCondition) {
	condition.LastTransitionTime = metav1.Now()
	for i := range status.Conditions {
		old := &status.Conditions[i]
		if old.Type != condition.Type {
			continue
		}
		if old.Status == condition.Status {
			condition.LastTransitionTime = old.LastTransitionTime
		}
		*old = condition
		return
	}
	status.Conditions = append(status.Conditions, condition)
}
