package controllers_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/controllers"
)

// The hash is part of names that people see, so it is Kubernetes' own, however empty fields are written.
func TestComputeHash(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.PodTemplateSpec)
		want   string
	}{
		"plain":            {func(*corev1.PodTemplateSpec) {}, "5bc77cbf8c"},
		"empty list":       {func(s *corev1.PodTemplateSpec) { s.Spec.Containers[0].Env = []corev1.EnvVar{} }, "5bc77cbf8c"},
		"empty map":        {func(s *corev1.PodTemplateSpec) { s.Annotations = map[string]string{} }, "5bc77cbf8c"},
		"with annotations": {func(s *corev1.PodTemplateSpec) { s.Annotations = map[string]string{"a": "b"} }, "66f9554fc"},
	} {
		template := &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "h2"}},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "c", Image: "nginx", ImagePullPolicy: corev1.PullAlways,
					TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
				}},
				RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: corev1.DefaultSchedulerName,
				TerminationGracePeriodSeconds: ptr.To(int64(30)), SecurityContext: &corev1.PodSecurityContext{},
			},
		}
		test.change(template)
		if got := controllers.ComputeHash(template, nil); got != test.want {
			t.Errorf("%s: %s, wanted %s", name, got, test.want)
		}
	}
}
