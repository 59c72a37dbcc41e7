package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// crowd is how many pods are made at once.
const crowd = 50

// measureCrowd makes many pods at once, and beside them as many containers of the engine's as quickly as it takes them: one
// is what kubette needs, the other what bounds it.
func measureCrowd(ctx context.Context, api kubernetes.Interface, image string, one time.Duration, t *table) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	const label = "bench=crowd"
	watched, err := api.CoreV1().Pods(metav1.NamespaceDefault).Watch(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		return err
	}
	defer watched.Stop()
	begun := time.Now()
	group, creating := errgroup.WithContext(ctx)
	for i := range crowd {
		group.Go(func() error {
			p := pod(fmt.Sprintf("crowd-%d", i))
			p.Labels = map[string]string{"bench": "crowd"}
			_, err := api.CoreV1().Pods(metav1.NamespaceDefault).Create(creating, p, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	ready := map[string]bool{}
	for len(ready) < crowd {
		event, open := <-watched.ResultChan()
		if !open {
			return fmt.Errorf("%d of %d pods are ready: %w", len(ready), crowd, ctx.Err())
		}
		if p, ok := event.Object.(*corev1.Pod); ok && isReady(p) {
			ready[p.Name] = true
		}
	}
	took := time.Since(begun)

	begun = time.Now()
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for range crowd {
		group.Go(func() error {
			if out, err := exec.CommandContext(running, "docker", "run", "-d", "--label", "kubette-bench=crowd", image).CombinedOutput(); err != nil {
				return fmt.Errorf("docker run: %w: %s", err, out)
			}
			return nil
		})
	}
	err = group.Wait()
	engine := time.Since(begun)
	if ids, listErr := exec.Command("docker", "ps", "-aq", "--filter", "label=kubette-bench=crowd").Output(); listErr == nil && len(ids) > 0 {
		_ = exec.Command("docker", append([]string{"rm", "-f"}, strings.Fields(string(ids))...)...).Run() // what cannot be removed is seen in docker ps
	}
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("%d pods, made at once, all Ready", crowd), short(took), "< "+short(one*crowd/2),
		fmt.Sprintf("docker run -d, 8 at a time: %s", short(engine)))
	return nil
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// life is how long a program runs before it crashes, for the measure of restarts.
const life = time.Second

// measureRestart lets a program crash once, under kubette and under the engine's own restart policy, by turns.
func measureRestart(ctx context.Context, api kubernetes.Interface, t *table) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	command := []string{"sh", "-c", "sleep 1; exit 1"}
	var own, engine samples
	for i := range pairs / 2 {
		p := pod(fmt.Sprintf("crash-%d", i))
		p.Spec.Containers[0].Image, p.Spec.Containers[0].Command = "kubette.local/shell", command
		if _, err := api.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, p, metav1.CreateOptions{}); err != nil {
			return err
		}
		var status corev1.ContainerStatus
		watched, err := api.CoreV1().Pods(metav1.NamespaceDefault).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + p.Name})
		if err != nil {
			return err
		}
		for event := range watched.ResultChan() {
			p, ok := event.Object.(*corev1.Pod)
			if !ok || len(p.Status.ContainerStatuses) == 0 {
				continue
			}
			if status = p.Status.ContainerStatuses[0]; status.RestartCount == 1 && status.State.Running != nil {
				break
			}
		}
		watched.Stop()
		if status.LastTerminationState.Terminated == nil {
			return fmt.Errorf("pod %s was not restarted: %w", p.Name, ctx.Err())
		}
		_, last, _ := strings.Cut(status.LastTerminationState.Terminated.ContainerID, "://")
		_, now, _ := strings.Cut(status.ContainerID, "://")
		ended, err := inspectTime(ctx, last, "FinishedAt")
		if err != nil {
			return err
		}
		started, err := inspectTime(ctx, now, "StartedAt")
		if err != nil {
			return err
		}
		own = append(own, started.Sub(ended))
		if err := api.CoreV1().Pods(metav1.NamespaceDefault).Delete(ctx, p.Name, *metav1.NewDeleteOptions(0)); err != nil {
			return err
		}
		took, err := engineRestart(ctx, status.ImageID[strings.LastIndex(status.ImageID, "/")+1:], command)
		if err != nil {
			return err
		}
		engine = append(engine, took)
	}
	t.add(fmt.Sprintf("crash to running again, first restart, median of %d", len(own)), own.spread(), "< 1 s more", "--restart always: "+engine.spread())
	return nil
}

// engineRestart is how long the engine's own restart takes.
func engineRestart(ctx context.Context, image string, command []string) (time.Duration, error) {
	out, err := exec.CommandContext(ctx, "docker", append([]string{"run", "-d", "--restart", "always", "--label", "kubette-bench=restart", "--entrypoint", command[0], image}, command[1:]...)...).Output()
	if err != nil {
		return 0, fmt.Errorf("docker run: %w", err)
	}
	id := strings.TrimSpace(string(out))
	defer func() { _ = exec.Command("docker", "rm", "-f", id).Run() }() // what cannot be removed is seen in docker ps
	first, err := inspectTime(ctx, id, "StartedAt")
	if err != nil {
		return 0, err
	}
	for ctx.Err() == nil {
		next, err := inspectTime(ctx, id, "StartedAt")
		if err != nil {
			return 0, err
		}
		if next.After(first) {
			return next.Sub(first) - life, nil
		}
		time.Sleep(50 * time.Millisecond) // the engine's record is exact, however seldom it is read
	}
	return 0, ctx.Err()
}

func inspectTime(ctx context.Context, id, field string) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "docker", "inspect", "--format", "{{.State."+field+"}}", id).Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("docker inspect %s: %w", id, err)
	}
	return time.Parse(time.RFC3339Nano, strings.TrimSpace(string(out)))
}
