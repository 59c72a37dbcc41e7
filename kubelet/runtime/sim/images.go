package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/distribution/reference"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

// simulatedSize is what an image is said to weigh.
const simulatedSize = 16 << 20

// imagesByRepository lets images be found by what they stand in for and by their own names.
func imagesByRepository(images []toolbox.Image) map[string]toolbox.Image {
	found := map[string]toolbox.Image{}
	for _, image := range images {
		for _, name := range append([]string{image.Name}, image.StandsFor...) {
			if named, err := reference.ParseNormalizedNamed(name); err == nil {
				found[named.Name()] = image
			}
		}
	}
	return found
}

// lookup finds the toolbox's image for a reference.
func (r *Runtime) lookup(image string) (toolbox.Image, bool) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return toolbox.Image{}, false
	}
	found, ok := r.images[named.Name()]
	return found, ok
}

// PullImage implements runtime.Runtime; doc.go says which images cannot be pulled.
func (r *Runtime) PullImage(ctx context.Context, image string, auth *runtime.ImageAuth, _ func(string)) (runtime.ImageStatus, error) {
	if err := r.up(); err != nil {
		return runtime.ImageStatus{}, err
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return runtime.ImageStatus{}, &runtime.ImageError{Image: image, Reason: "InvalidImageName", Err: fmt.Errorf("couldn't parse image name %q: %w", image, err)}
	}
	if r.config.PullTime > 0 {
		timer := time.NewTimer(r.config.PullTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return runtime.ImageStatus{}, ctx.Err()
		}
	}
	if err := refused(named, auth); err != nil {
		return runtime.ImageStatus{}, err
	}
	status := r.describe(named)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulled[image] = &status
	return status, nil
}

// refused is a registry's answer for the images that are to be missing.
func refused(named reference.Named, auth *runtime.ImageAuth) error {
	domain, tag := reference.Domain(named), ""
	full := reference.TagNameOnly(named)
	if tagged, ok := full.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	fail := func(format string, args ...any) error {
		text := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: %s", full, full, fmt.Sprintf(format, args...))
		return &runtime.ImageError{Image: named.String(), Reason: "ErrImagePull", Err: fmt.Errorf("%s", text)}
	}
	host, _, _ := strings.Cut(domain, ":")
	switch {
	case strings.HasSuffix(host, ".invalid") || host == "invalid":
		return &runtime.ImageError{Image: named.String(), Reason: "RegistryUnavailable", Err: fmt.Errorf(
			"failed to pull and unpack image %q: failed to do request: Head \"https://%s/v2/\": dial tcp: lookup %s: no such host", full, domain, host)}
	case host == "missing.test", tag == "missing", tag == "doesnotexist":
		return fail("%s: not found", full)
	case host == "private.test" && (auth == nil || auth.Username == ""):
		return fail("pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials")
	}
	return nil
}

// describe is an image as it is once present.
func (r *Runtime) describe(named reference.Named) runtime.ImageStatus {
	full := reference.TagNameOnly(named)
	sum := sha256.Sum256([]byte(full.String()))
	status := runtime.ImageStatus{
		ID: "sha256:" + hex.EncodeToString(sum[:]), Tags: []string{full.String()}, SizeBytes: simulatedSize,
		Digest: named.Name() + "@sha256:" + hex.EncodeToString(sum[:]),
	}
	if image, ok := r.images[named.Name()]; !ok {
		status.StandIn = fmt.Sprintf("Image %q is simulated: nothing is pulled, its program does not run, and its probes are taken to succeed", reference.FamiliarString(full))
	} else if own, err := reference.ParseNormalizedNamed(image.Name); err != nil || own.Name() != named.Name() {
		status.StandIn = fmt.Sprintf("Image %q is replaced by kubette's own %s, which runs inside the simulation", reference.FamiliarString(full), image.Name)
	}
	return status
}

// ImageStatus implements runtime.Runtime.
func (r *Runtime) ImageStatus(_ context.Context, image string) (runtime.ImageStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return runtime.ImageStatus{}, err
	}
	if status, ok := r.pulled[image]; ok {
		return *status, nil
	}
	return runtime.ImageStatus{}, fmt.Errorf("image %s: %w", image, runtime.ErrNotFound)
}

// ListImages implements runtime.Runtime.
func (r *Runtime) ListImages(context.Context) ([]runtime.ImageStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.upLocked(); err != nil {
		return nil, err
	}
	byID := map[string]runtime.ImageStatus{}
	for _, status := range r.pulled {
		byID[status.ID] = *status
	}
	list := make([]runtime.ImageStatus, 0, len(byID))
	for _, status := range byID {
		list = append(list, status)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, nil
}

// programOf finds what a container runs. A nil program without an error means that the container is only a record.
func (r *Runtime) programOf(config *runtime.ContainerConfig) (toolbox.Program, []string, error) {
	image, known := r.lookup(config.Image)
	args := append(append([]string(nil), config.Command...), config.Args...)
	switch {
	case len(config.Command) > 0:
	case len(args) == 0:
		args = image.Command
	case r.config.Programs[path.Base(args[0])] == nil:
		// As with an image that has an entry point, the pod's arguments follow it.
		args = append(append([]string(nil), image.Command...), args...)
	}
	if len(args) == 0 {
		return nil, nil, nil
	}
	if program := r.config.Programs[path.Base(args[0])]; program != nil {
		return program, args, nil
	}
	if !known {
		return nil, args, nil
	}
	return nil, nil, fmt.Errorf("failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "+
		"unable to start container process: error during container init: exec: %q: executable file not found in $PATH", args[0])
}
