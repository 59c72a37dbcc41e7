package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// componentStatuses says how the parts of the control plane are. Controllers and scheduler live in the process that
// answers; the store is asked.
func (c *Cluster) componentStatuses(ctx context.Context) []*corev1.ComponentStatus {
	err := c.store.Sync(ctx)
	return []*corev1.ComponentStatus{health("controller-manager", nil), health("scheduler", nil), health("etcd-0", err)}
}

func health(name string, err error) *corev1.ComponentStatus {
	condition := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
	if err != nil {
		condition.Status, condition.Message = corev1.ConditionFalse, err.Error()
	}
	return &corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: name}, Conditions: []corev1.ComponentCondition{condition}}
}
