package controllertest

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubette/client"
	"kubette/controllers"
)

// Template is a pod template with a label app and one container of an image.
func Template(app, image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: image, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		}}},
	}
}

// Bind puts a pod on a node, as the scheduler does.
func (c *Cluster) Bind(pod *corev1.Pod, node string) {
	c.T.Helper()
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	_, err := c.Client.Create(context.Background(), client.ResourceOf[*corev1.Pod](), pod.Namespace, pod.Name, binding, metav1.CreateOptions{}, "binding")
	if err != nil {
		c.T.Fatalf("bind %s: %v", pod.Name, err)
	}
}

// Ready is what a kubelet does with a pod that starts well: it runs, is ready, and has an address made of a number.
func (c *Cluster) Ready(pod *corev1.Pod, number int) {
	c.T.Helper()
	ChangeStatus(c, pod.Namespace, pod.Name, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		pod.Status.PodIP = fmt.Sprintf("10.97.%d.%d", number/250, number%250+1)
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
		pod.Status.StartTime = ptr.To(metav1.Now())
		controllers.SetPodCondition(&pod.Status, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	})
}

// Unready takes a pod's readiness away.
func (c *Cluster) Unready(pod *corev1.Pod) {
	c.T.Helper()
	ChangeStatus(c, pod.Namespace, pod.Name, func(pod *corev1.Pod) {
		controllers.SetPodCondition(&pod.Status, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse})
	})
}

// Phase ends a pod, or puts it into another phase.
func (c *Cluster) Phase(pod *corev1.Pod, phase corev1.PodPhase) {
	c.T.Helper()
	ChangeStatus(c, pod.Namespace, pod.Name, func(pod *corev1.Pod) {
		pod.Status.Phase = phase
		if controllers.IsFinished(pod) {
			controllers.SetPodCondition(&pod.Status, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse})
		}
	})
}

// ReadyAll plays the scheduler and the kubelet for all pods of a namespace until nothing changes: pods without a node get
// one, those on one become ready, those on their way out go.
func (c *Cluster) ReadyAll(namespace string) {
	c.T.Helper()
	for number := range 10_000 {
		c.Settle() // before each pod: the controllers may delete those that were listed
		pods := List[*corev1.Pod](c, namespace)
		next := slices.IndexFunc(pods, func(pod *corev1.Pod) bool {
			return pod.DeletionTimestamp != nil || !controllers.IsFinished(pod) && !controllers.IsReady(pod)
		})
		if next < 0 {
			return
		}
		pod := pods[next]
		if pod.DeletionTimestamp != nil {
			Delete[*corev1.Pod](c, pod.Namespace, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
			continue
		}
		if pod.Spec.NodeName == "" {
			c.Bind(pod, fmt.Sprintf("worker-%d", number%2+1))
		}
		c.Ready(pod, number)
	}
	c.T.Fatal("the pods never came to rest")
}
