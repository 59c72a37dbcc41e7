package kinds

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ComponentStatuses is the row of what `kubectl get componentstatuses` asks for: how the parts of the control plane are.
// Kubernetes asks each for its /healthz; here whoever makes the server tells.
func ComponentStatuses(source func(ctx context.Context) []*corev1.ComponentStatus) *Kind {
	return Row[*corev1.ComponentStatus]{
		Base: Kind{
			Version: "v1", Kind: "ComponentStatus", Plural: "componentstatuses", Singular: "componentstatus", ShortNames: []string{"cs"},
			Verbs: []string{"get", "list"}, Virtual: true, Deprecation: "v1 ComponentStatus is deprecated in v1.19+",
			Compute: func(ctx context.Context, _ string) ([]Object, error) { return asObjects(source(ctx), nil) },
		},
		New:     func() *corev1.ComponentStatus { return &corev1.ComponentStatus{} },
		NewList: func() runtime.Object { return &corev1.ComponentStatusList{} },
		Columns: []metav1.TableColumnDefinition{
			nameColumn(), column("Status", "string", "Status of the component conditions"),
			column("Message", "string", "Message of the component conditions"), column("Error", "string", "Error of the component conditions"),
		},
		Cells: func(c *corev1.ComponentStatus) []any {
			status, message, problem := "Unknown", "", ""
			for _, condition := range c.Conditions {
				if condition.Type == corev1.ComponentHealthy {
					status, message, problem = "Unhealthy", condition.Message, condition.Error
					if condition.Status == corev1.ConditionTrue {
						status = "Healthy"
					}
				}
			}
			return []any{c.Name, status, message, problem}
		},
	}.Kind()
}

// binding is the old way to bind a pod, a POST to the namespace's bindings; schedulers use the pod's own subresource.
func binding() *Kind {
	return Row[*corev1.Binding]{
		Base: Kind{
			Version: "v1", Kind: "Binding", Plural: "bindings", Singular: "binding", Namespaced: true, Virtual: true,
			Verbs: []string{"create"}, ValidateName: func(string, bool) []string { return nil },
		},
		New:     func() *corev1.Binding { return &corev1.Binding{} },
		NewList: func() runtime.Object { return &metav1.List{} },
	}.Kind()
}
