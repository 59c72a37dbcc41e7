package horizontalpodautoscaler

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// condition sets a condition; its time moves with its state only.
func (r *run) condition(kind autoscalingv2.HorizontalPodAutoscalerConditionType, state corev1.ConditionStatus, reason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	for i := range r.hpa.Status.Conditions {
		c := &r.hpa.Status.Conditions[i]
		if c.Type != kind {
			continue
		}
		if c.Status != state {
			c.LastTransitionTime = metav1.Now()
		}
		c.Status, c.Reason, c.Message = state, reason, message
		return
	}
	r.hpa.Status.Conditions = append(r.hpa.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
		Type: kind, Status: state, Reason: reason, Message: message, LastTransitionTime: metav1.Now(),
	})
}
