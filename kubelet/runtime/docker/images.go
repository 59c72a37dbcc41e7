package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"

	"kubette/kubelet/runtime"
)

// parseReference reads an image reference as Kubernetes does: docker.io and library/ are implied, and so is :latest.
func parseReference(name string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return nil, &runtime.ImageError{Image: name, Reason: "InvalidImageName", Err: fmt.Errorf("Failed to apply default image tag %q: couldn't parse image name %q: %w", name, name, err)}
	}
	return named, nil
}

// ImageStatus implements runtime.Runtime. An image is named by a reference or by its identifier.
func (n *Node) ImageStatus(ctx context.Context, name string) (runtime.ImageStatus, error) {
	e := n.engine
	if strings.HasPrefix(name, "sha256:") {
		return e.imageStatus(ctx, name)
	}
	named, err := parseReference(name)
	if err != nil {
		return runtime.ImageStatus{}, err
	}
	if own, ok := e.ownImage(named); ok {
		return e.builtin(ctx, own)
	}
	return e.imageStatus(ctx, named.String())
}

func (e *Engine) imageStatus(ctx context.Context, name string) (runtime.ImageStatus, error) {
	there, err := within(ctx, callTimeout, func(ctx context.Context) (image.InspectResponse, error) {
		return e.api.ImageInspect(ctx, name)
	})
	if err != nil {
		return runtime.ImageStatus{}, fmt.Errorf("look for the image %s: %w", name, explain(ctx, err))
	}
	status := runtime.ImageStatus{ID: there.ID, Tags: visible(there.RepoTags), SizeBytes: there.Size}
	if len(there.RepoDigests) > 0 {
		status.Digest = there.RepoDigests[0]
	}
	if there.Config != nil {
		status.User = there.Config.User
	}
	return status, nil
}

// ListImages implements runtime.Runtime. The images are the engine's, so all nodes have the same.
func (n *Node) ListImages(ctx context.Context) ([]runtime.ImageStatus, error) {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]image.Summary, error) {
		return n.engine.api.ImageList(ctx, image.ListOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", explain(ctx, err))
	}
	images := make([]runtime.ImageStatus, 0, len(there))
	for _, summary := range there {
		status := runtime.ImageStatus{ID: summary.ID, Tags: visible(summary.RepoTags), SizeBytes: summary.Size}
		if len(summary.RepoDigests) > 0 {
			status.Digest = summary.RepoDigests[0]
		}
		images = append(images, status)
	}
	return images, nil
}

// PullImage implements runtime.Runtime. It really pulls. Only when no registry can be reached it takes the image that is
// present, or else kubette's own that stands in for it.
func (n *Node) PullImage(ctx context.Context, name string, auth *runtime.ImageAuth, progress func(text string)) (runtime.ImageStatus, error) {
	e := n.engine
	if progress == nil {
		progress = func(string) {}
	}
	named, err := parseReference(name)
	if err != nil {
		return runtime.ImageStatus{}, err
	}
	if own, ok := e.ownImage(named); ok {
		return e.builtin(ctx, own)
	}
	domain := reference.Domain(named)
	err = e.registry.failure(domain)
	if err == nil {
		err = e.pullOwned(ctx, named, auth, progress)
		if unreachable(err) {
			e.registry.failed(domain, err)
		}
	}
	switch {
	case err == nil:
		return e.imageStatus(ctx, named.String())
	case ctx.Err() != nil:
		return runtime.ImageStatus{}, ctx.Err()
	case errors.Is(err, runtime.ErrUnavailable):
		return runtime.ImageStatus{}, &runtime.ImageError{Image: name, Reason: "ErrImagePull", Err: err}
	case !unreachable(err):
		return runtime.ImageStatus{}, &runtime.ImageError{Image: name, Reason: "ErrImagePull", Err: fmt.Errorf("failed to pull image %q: %w", name, err)}
	}
	return e.withoutRegistry(ctx, name, named, err, progress)
}

// withoutRegistry finds what can run in place of an image that cannot be pulled now.
func (e *Engine) withoutRegistry(ctx context.Context, name string, named reference.Named, failed error, progress func(string)) (runtime.ImageStatus, error) {
	domain := reference.Domain(named)
	if there, err := e.imageStatus(ctx, named.String()); err == nil {
		progress(fmt.Sprintf("the registry %s cannot be reached; the image that is present is used", domain))
		return there, nil
	}
	if own, ok := e.standIn(named); ok {
		status, err := e.builtin(ctx, own)
		if err != nil {
			return runtime.ImageStatus{}, &runtime.ImageError{Image: name, Reason: "ErrImagePull", Err: err}
		}
		status.StandIn = fmt.Sprintf("%s cannot be pulled because the registry %s cannot be reached, so kubette's own %s runs in its place.", name, domain, own.Name)
		return status, nil
	}
	return runtime.ImageStatus{}, &runtime.ImageError{Image: name, Reason: "RegistryUnavailable", Err: fmt.Errorf(
		"image pull failed for %s because the registry is unavailable: %w; connect to a network, or load the image into the engine with `docker load`", name, failed)}
}

// rememberUnreachable is how long a failed connection to a registry is remembered, so that starting many pods without a network does
// not wait for each, and a network that comes back is noticed.
const rememberUnreachable = 15 * time.Second
