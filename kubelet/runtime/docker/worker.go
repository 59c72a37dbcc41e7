package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
)

// pauseRepository is the name of the sandbox program's image.
const pauseRepository = "kubette.local/sandbox"

// ensurePause makes the pause image if this engine has not got it.
func (e *Engine) ensurePause(ctx context.Context) (string, error) {
	program, err := pauseProgram(e.architecture)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	tag := hex.EncodeToString(sum[:6])
	if there, err := e.api.ImageInspect(ctx, pauseRepository+":"+tag); err == nil {
		return there.ID, nil
	}
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	files.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(program))}) // a buffer takes everything
	files.Write(program)
	files.Close()
	return within(ctx, callTimeout, func(ctx context.Context) (string, error) {
		progress, err := e.api.ImageImport(ctx, image.ImportSource{Source: &archive, SourceName: "-"}, pauseRepository, image.ImportOptions{
			Tag:      tag,
			Changes:  []string{`CMD ["/pause"]`, fmt.Sprintf("LABEL %s=%s", labelRole, roleImage)},
			Platform: "linux/" + e.architecture,
		})
		if err != nil {
			return "", fmt.Errorf("make the image of the sandbox process: %w", explain(ctx, err))
		}
		_, err = io.Copy(io.Discard, progress)
		progress.Close()
		if err != nil {
			return "", fmt.Errorf("make the image of the sandbox process: %w", err)
		}
		made, err := e.api.ImageInspect(ctx, pauseRepository+":"+tag)
		if err != nil {
			return "", fmt.Errorf("make the image of the sandbox process: %w", explain(ctx, err))
		}
		return made.ID, nil
	})
}

// startWorker makes a container of the pause image, starts it, and waits until its process takes calls.
func (e *Engine) startWorker(ctx context.Context, name string, config *container.Config, host *container.HostConfig, networked bool) (string, *worker, error) {
	id, err := e.createWorker(ctx, name, config, host, networked)
	if err != nil {
		return "", nil, err
	}
	worker, err := e.launchWorker(ctx, id)
	if err != nil {
		e.remove(context.WithoutCancel(ctx), id) // the first error counts
		return "", nil, err
	}
	return id, worker, nil
}

func (e *Engine) createWorker(ctx context.Context, name string, config *container.Config, host *container.HostConfig, networked bool) (string, error) {
	config.Image, config.OpenStdin, config.AttachStdin, config.AttachStdout = e.pause, true, true, true
	config.NetworkDisabled = !networked
	config.StopSignal = "SIGKILL" // the program has nothing to finish
	host.LogConfig = container.LogConfig{Type: "none"}
	host.ReadonlyRootfs = true
	// A filter of system calls and hidden files would protect the machine from the program; it costs a third of the start.
	host.SecurityOpt = append([]string{"no-new-privileges", "seccomp=unconfined"}, e.unconfined()...)
	host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	return e.create(ctx, name, config, host)
}

// unconfined are the options that take away what an engine's security modules put around a container: the usual AppArmor
// profile forbids to set a network's parameters, SELinux to reach another container's files.
func (e *Engine) unconfined() []string {
	var options []string
	for _, on := range e.info.SecurityOptions {
		switch {
		case strings.HasPrefix(on, "name=apparmor"):
			options = append(options, "apparmor=unconfined")
		case strings.HasPrefix(on, "name=selinux"):
			options = append(options, "label=disable")
		}
	}
	return options
}

// remapped says that the engine gives containers users of their own, which a sandbox cannot have: it begins in the
// machine's network.
func (e *Engine) remapped() bool {
	return slices.ContainsFunc(e.info.SecurityOptions, func(on string) bool { return strings.HasPrefix(on, "name=userns") })
}

// launchWorker attaches, then starts, so that the process' first words are not lost.
func (e *Engine) launchWorker(ctx context.Context, id string) (*worker, error) {
	worker, err := e.attachWorker(ctx, id)
	if err != nil {
		return nil, err
	}
	if err = e.startContainer(ctx, id); err == nil {
		err = worker.hello(ctx)
	}
	if err != nil {
		worker.close()
		return nil, err
	}
	return worker, nil
}
