package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// pairs is how often a pod and a plain container are started, by turns, so that both meet the same machine.
const pairs = 10

// ownImage is one that kubette builds itself: nothing has to be pulled.
const ownImage = "kubette.local/web"

func measureDocker(ctx context.Context, p *program, t *table) error {
	if out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		t.add("apply to Running", "n/a: no docker command, or no engine answers", "", "")
		return nil //nolint:nilerr // said in the table
	} else {
		fmt.Printf("\nDocker engine %s\n", strings.TrimSpace(string(out)))
	}
	c, err := p.up(ctx, "bench-docker", "--runtime", "docker", "--ephemeral")
	if err != nil {
		return err
	}
	defer c.down()
	t.add("up, on Docker", short(c.took), "", "")
	api, err := c.client()
	if err != nil {
		return err
	}
	// The first pod also waits for the image to be built.
	begun := time.Now()
	image, err := untilRunning(ctx, api, "first", func() error { return create(ctx, api, "first") })
	if err != nil {
		return err
	}
	t.add("the first pod, whose image is built", short(time.Since(begun)), "", "")

	var created, applied, plain samples
	for i := range pairs {
		name := fmt.Sprintf("created-%d", i)
		begun := time.Now()
		if _, err := untilRunning(ctx, api, name, func() error { return create(ctx, api, name) }); err != nil {
			return err
		}
		created = append(created, time.Since(begun))

		name = fmt.Sprintf("applied-%d", i)
		begun = time.Now()
		if _, err := untilRunning(ctx, api, name, func() error { return c.apply(ctx, name) }); err != nil {
			return err
		}
		applied = append(applied, time.Since(begun))

		begun = time.Now()
		out, err := exec.CommandContext(ctx, "docker", "run", "-d", "--label", "kubette-bench", image).Output()
		plain = append(plain, time.Since(begun))
		if err != nil {
			return fmt.Errorf("docker run %s: %w", image, err)
		}
		if err := exec.CommandContext(ctx, "docker", "rm", "-f", strings.TrimSpace(string(out))).Run(); err != nil {
			return fmt.Errorf("docker rm: %w", err)
		}
	}
	beside := "docker run -d " + plain.spread()
	t.add(fmt.Sprintf("POST of a pod to Running, median of %d", pairs), created.spread(), "not slower", beside)
	t.add("kubectl apply (as a process) to Running", applied.spread(), "not slower", beside)
	if err := measureRestart(ctx, api, t); err != nil {
		return err
	}
	return measureCrowd(ctx, api, image, plain.rank(0.5), t)
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: ownImage, ImagePullPolicy: corev1.PullIfNotPresent}}},
	}
}

func create(ctx context.Context, api kubernetes.Interface, name string) error {
	_, err := api.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, pod(name), metav1.CreateOptions{})
	return err
}

// apply is what a user types: `kubectl apply -f` of a file.
func (c *process) apply(ctx context.Context, name string) error {
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  containers: [{name: web, image: %s, imagePullPolicy: IfNotPresent}]\n", name, ownImage)
	path := filepath.Join(c.program.dir, name+".yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		return err
	}
	if out, err := c.program.command(ctx, "--name", c.name, "kubectl", "apply", "-f", path).CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

// untilRunning makes a pod and returns when it runs, with the image that the engine took for it.
func untilRunning(ctx context.Context, api kubernetes.Interface, name string, start func() error) (image string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	events, err := api.CoreV1().Pods(metav1.NamespaceDefault).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return "", err
	}
	defer events.Stop()
	failed := make(chan error, 1)
	go func() { failed <- start() }()
	for {
		select {
		case err := <-failed:
			if err != nil {
				return "", err
			}
			failed = nil
		case event, open := <-events.ResultChan():
			if !open {
				return "", fmt.Errorf("pod %s does not run: %w", name, ctx.Err())
			}
			p, ok := event.Object.(*corev1.Pod)
			if !ok || event.Type == watch.Deleted || p.Status.Phase != corev1.PodRunning {
				continue
			}
			if failed != nil {
				if err := <-failed; err != nil {
					return "", err
				}
			}
			image = p.Status.ContainerStatuses[0].ImageID
			return image[strings.LastIndex(image, "/")+1:], nil // without docker-pullable://, where the engine says so
		}
	}
}
