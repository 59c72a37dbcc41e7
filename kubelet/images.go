package kubelet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// pullNoticeAfter is how long a failed pull shows as ErrImagePull before it shows as waiting, ImagePullBackOff.
const pullNoticeAfter = 3 * time.Second

// imageManager lets one pull of an image go on at a time, however many pods want it.
type imageManager struct {
	mu    sync.Mutex
	turns map[string]chan struct{}
	known map[string]runtime.ImageStatus // by identifier, as far as seen
}

func newImageManager() *imageManager {
	return &imageManager{turns: map[string]chan struct{}{}, known: map[string]runtime.ImageStatus{}}
}

// names are the image and its identity as a container's status shows them; what was shown before stays.
func (m *imageManager) names(c *runtime.Container, before *corev1.ContainerStatus, containerID string) (image, id string) {
	if before != nil && before.ContainerID == containerID && before.ImageID != "" {
		return before.Image, before.ImageID
	}
	m.mu.Lock()
	status := m.known[c.ImageID]
	m.mu.Unlock()
	image, id = c.Image, c.ImageID
	if named, err := reference.ParseNormalizedNamed(c.Image); err == nil {
		image = reference.TagNameOnly(named).String()
	}
	if status.Digest != "" {
		id = status.Digest
	}
	return image, id
}

// user is the user that an image names, as far as it was seen.
func (m *imageManager) user(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[id].User
}

func (m *imageManager) learn(status runtime.ImageStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.known[status.ID]; !ok {
		m.known[status.ID] = status
	}
}

// turn waits for the image's turn, and returns the function that ends it.
func (m *imageManager) turn(ctx context.Context, image string) (func(), error) {
	m.mu.Lock()
	turn, ok := m.turns[image]
	if !ok {
		turn = make(chan struct{}, 1)
		m.turns[image] = turn
	}
	m.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ensureImage makes a container's image present, as its pull policy says.
func (s *session) ensureImage(ctx context.Context, w *worker, pod *corev1.Pod, spec *corev1.Container) (runtime.ImageStatus, *startError) {
	image, policy := spec.Image, spec.ImagePullPolicy
	none := runtime.ImageStatus{}
	if _, err := reference.ParseNormalizedNamed(image); err != nil {
		message := fmt.Sprintf("Failed to apply default image tag %q: couldn't parse image name %q: %v", image, image, err)
		s.event(pod, spec.Name, corev1.EventTypeWarning, "InspectFailed", "%s", message)
		s.event(pod, spec.Name, corev1.EventTypeWarning, "Failed", "Error: InvalidImageName")
		return none, &startError{"InvalidImageName", message}
	}
	if policy != corev1.PullAlways {
		status, err := s.runtime.ImageStatus(ctx, image)
		switch {
		case err == nil:
			s.imagePresent(w, pod, spec, status)
			return status, nil
		case !errors.Is(err, runtime.ErrNotFound):
			message := fmt.Sprintf("Failed to inspect image %q: %v", image, err)
			s.event(pod, spec.Name, corev1.EventTypeWarning, "InspectFailed", "%s", message)
			return none, &startError{"ImageInspectError", message}
		case policy == corev1.PullNever:
			message := fmt.Sprintf("Container image %q is not present with pull policy of Never", image)
			s.event(pod, spec.Name, corev1.EventTypeWarning, "ErrImageNeverPull", "%s", message)
			s.event(pod, spec.Name, corev1.EventTypeWarning, "Failed", "Error: ErrImageNeverPull")
			return none, &startError{"ErrImageNeverPull", message}
		}
	}
	return s.pullImage(ctx, w, pod, spec)
}

// imagePresent tells of an image that needs no pull.
func (s *session) imagePresent(w *worker, pod *corev1.Pod, spec *corev1.Container, status runtime.ImageStatus) {
	s.event(pod, spec.Name, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine and can be accessed by the pod", spec.Image)
	s.imageReady(w, pod, spec, status)
}

// imageReady ends the back-off, and says in plain words when the image is not the one that was asked for.
func (s *session) imageReady(w *worker, pod *corev1.Pod, spec *corev1.Container, status runtime.ImageStatus) {
	s.images.learn(status)
	w.mu.Lock()
	c := w.state(spec.Name)
	c.pull, c.pullShown = backoff{}, false
	w.mu.Unlock()
	if status.StandIn != "" {
		s.event(pod, spec.Name, corev1.EventTypeNormal, "StandInImage", "%s", status.StandIn)
	}
}

func (s *session) pullImage(ctx context.Context, w *worker, pod *corev1.Pod, spec *corev1.Container) (runtime.ImageStatus, *startError) {
	image, wanted := spec.Image, time.Now()
	s.event(pod, spec.Name, corev1.EventTypeNormal, "Pulling", "Pulling image %q", image)
	done, err := s.images.turn(ctx, image)
	if err != nil {
		return runtime.ImageStatus{}, &startError{"ErrImagePull", err.Error()}
	}
	began := time.Now()
	auth, missing := s.pullSecret(ctx, pod, image)
	if missing != "" {
		s.event(pod, "", corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", missing)
	}
	status, err := s.runtime.PullImage(ctx, image, auth, s.pullProgress(pod, spec))
	done()
	if err != nil {
		return runtime.ImageStatus{}, s.pullFailed(ctx, w, pod, spec, err)
	}
	s.event(pod, spec.Name, corev1.EventTypeNormal, "Pulled", "Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
		image, time.Since(began).Round(time.Millisecond), time.Since(wanted).Round(time.Millisecond), status.SizeBytes)
	s.imageReady(w, pod, spec, status)
	s.node.imagesChanged()
	return status, nil
}

// progressEvery is how often a long pull tells how far it is. Kubernetes is silent until the end.
const progressEvery = 10 * time.Second

// pullProgress tells of a pull under way, now and then. It may be called by many goroutines.
func (s *session) pullProgress(pod *corev1.Pod, spec *corev1.Container) func(text string) {
	var mu sync.Mutex
	told := time.Now()
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(told) < progressEvery {
			return
		}
		told = time.Now()
		s.event(pod, spec.Name, corev1.EventTypeNormal, "Pulling", "Pulling image %q: %s", spec.Image, text)
	}
}

// pullFailed tells of a failed pull and makes the next one wait.
func (s *session) pullFailed(ctx context.Context, w *worker, pod *corev1.Pod, spec *corev1.Container, err error) *startError {
	if ctx.Err() != nil {
		return &startError{"ErrImagePull", err.Error()}
	}
	reason := "ErrImagePull"
	var failure *runtime.ImageError
	if errors.As(err, &failure) {
		reason = failure.Reason
	}
	s.event(pod, spec.Name, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %v", spec.Image, err)
	s.event(pod, spec.Name, corev1.EventTypeWarning, "Failed", "Error: %s", reason)
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.state(spec.Name)
	c.pull.next(now, now)
	c.pullShown = false
	return &startError{reason, err.Error()}
}

// pullWait is how long a container waits yet before its image is pulled again. After a moment it says so: ErrImagePull
// turns into ImagePullBackOff. The worker's lock is held.
func (s *session) pullWait(pod *corev1.Pod, spec *corev1.Container, c *containerState, now time.Time) time.Duration {
	wait := c.pull.remaining(c.pull.updated, now)
	if wait <= 0 {
		return 0
	}
	if c.pullShown {
		return wait
	}
	if shown := now.Sub(c.pull.updated); shown < pullNoticeAfter {
		return pullNoticeAfter - shown
	}
	c.pullShown = true
	message := fmt.Sprintf("Back-off pulling image %q", spec.Image)
	s.event(pod, spec.Name, corev1.EventTypeNormal, "BackOff", "%s", message)
	s.event(pod, spec.Name, corev1.EventTypeWarning, "Failed", "Error: ImagePullBackOff")
	if c.waiting != nil {
		message += ": " + c.waiting.Reason + ": " + c.waiting.Message
	}
	c.waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: message}
	return wait
}

// pullSecret finds the credentials for an image's registry among the pod's pull secrets. It also names those missing.
func (s *session) pullSecret(ctx context.Context, pod *corev1.Pod, image string) (*runtime.ImageAuth, string) {
	if len(pod.Spec.ImagePullSecrets) == 0 {
		return nil, ""
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, ""
	}
	var missing []string
	var found *runtime.ImageAuth
	for _, each := range pod.Spec.ImagePullSecrets {
		secret, err := s.secret(ctx, pod.Namespace, each.Name)
		if err != nil {
			missing = append(missing, each.Name)
			continue
		}
		if found == nil {
			found = registryAuth(secret, reference.Domain(named))
		}
	}
	return found, strings.Join(missing, ", ")
}

// registryAuth reads a registry's credentials from a kubernetes.io/dockerconfigjson or dockercfg secret.
func registryAuth(secret *corev1.Secret, registry string) *runtime.ImageAuth {
	type entry struct {
		Username, Password, Auth string
	}
	var config struct{ Auths map[string]entry }
	if data, ok := secret.Data[corev1.DockerConfigJsonKey]; ok {
		_ = json.Unmarshal(data, &config)
	} else if data, ok := secret.Data[corev1.DockerConfigKey]; ok {
		_ = json.Unmarshal(data, &config.Auths)
	}
	for server, each := range config.Auths {
		host := strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
		host, _, _ = strings.Cut(host, "/")
		if host == "index.docker.io" {
			host = "docker.io"
		}
		if host != registry {
			continue
		}
		if plain, err := base64.StdEncoding.DecodeString(each.Auth); err == nil && each.Username == "" {
			each.Username, each.Password, _ = strings.Cut(string(plain), ":")
		}
		return &runtime.ImageAuth{Username: each.Username, Password: each.Password, ServerAddress: server}
	}
	return nil
}
