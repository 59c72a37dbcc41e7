package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	nodes    = 100
	replicas = 5000
	// patience is how long is waited for what the goal wants in seconds.
	patience = 5 * time.Minute
)

func measureScale(ctx context.Context, p *program, t *table) error {
	c, err := p.up(ctx, "scale", "--runtime", "sim", "--nodes", fmt.Sprint(nodes), "--ephemeral")
	if err != nil {
		return err
	}
	defer c.down()
	t.add(fmt.Sprintf("up with %d nodes", nodes), short(c.took), "", "")
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	begun := time.Now()
	deployments := api.AppsV1().Deployments(metav1.NamespaceDefault)
	if _, err := deployments.Create(ctx, large(replicas), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := allReady(ctx, api, replicas); err != nil {
		return err
	}
	took := time.Since(begun)
	m, known := c.memory()
	t.add(fmt.Sprintf("%d replicas, created to all Ready", replicas), short(took), "5 s", "Kubernetes 55 s")
	t.add("resident memory then", m.text(known), "250 MB", "Kubernetes 1,300 MB")
	if spent, ok := c.processor(); ok {
		t.add("time of a processor until then, with the start", short(spent), "", "")
	}

	background := metav1.DeletePropagationBackground
	begun = time.Now()
	if err := deployments.Delete(ctx, "large", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		return err
	}
	if err := allGone(ctx, api); err != nil {
		return err
	}
	took = time.Since(begun)
	if m, known = c.memory(); known {
		t.add("the most memory there ever was", fmt.Sprintf("%d MB", m.peak/1e6), "", "")
	}
	t.add("deleted to all gone", short(took), "4 s", "Kubernetes 47 s")
	return nil
}

// large is the Deployment; its pods end as soon as they are told to.
func large(count int32) *appsv1.Deployment {
	now := int64(0)
	labels := map[string]string{"app": "large"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "large"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: &now,
					Containers:                    []corev1.Container{{Name: "app", Image: "registry.example/app:1"}},
				},
			},
		},
	}
}

// allReady returns when the Deployment says that every replica is ready.
func allReady(ctx context.Context, api kubernetes.Interface, replicas int32) error {
	events, err := api.AppsV1().Deployments(metav1.NamespaceDefault).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer events.Stop()
	ready := int32(0)
	for event := range events.ResultChan() {
		if d, ok := event.Object.(*appsv1.Deployment); ok {
			if ready = d.Status.ReadyReplicas; ready == replicas {
				return nil
			}
		}
	}
	return fmt.Errorf("%d of %d replicas were ready when the watch ended: %w", ready, replicas, ctx.Err())
}

// allGone returns when there is no pod any more. It asks for one only, so that asking costs little.
func allGone(ctx context.Context, api kubernetes.Interface) error {
	for {
		pods, err := api.CoreV1().Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return nil
		}
		sleep(ctx, 20*time.Millisecond)
	}
}
