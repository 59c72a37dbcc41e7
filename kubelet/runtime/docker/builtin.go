package docker

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"kubette/kubelet/runtime"
	"kubette/toolbox"
)

// kubette's own images are made of its own executable: one layer that all of them share, with the executable and links to
// it under the names of its programs, and for each image only a description. They are loaded once per executable.
type builtins struct {
	ready  chan struct{}
	tag    string
	err    error
	reload sync.Mutex
}

// startBuiltins makes the images in the background.
func (e *Engine) startBuiltins() {
	e.builtins.ready = make(chan struct{})
	if len(e.config.Images) == 0 {
		close(e.builtins.ready)
		return
	}
	e.start(func(ctx context.Context) {
		e.builtins.tag, e.builtins.err = e.ensureBuiltins(ctx)
		close(e.builtins.ready)
		if e.builtins.err != nil {
			e.log.Warn("kubette's own images could not be made", "error", e.builtins.err)
			return
		}
		if err := e.removeOldBuiltins(ctx, e.builtins.tag); err != nil && ctx.Err() == nil {
			e.log.Warn("images of older builds of kubette are left", "error", err)
		}
	})
}

// ownImage is one of kubette's own that a reference names.
func (e *Engine) ownImage(named reference.Named) (toolbox.Image, bool) {
	at := slices.IndexFunc(e.config.Images, func(own toolbox.Image) bool { return own.Name == named.Name() })
	if at < 0 {
		return toolbox.Image{}, false
	}
	return e.config.Images[at], true
}

// standIn is one of kubette's own that runs in place of another image.
func (e *Engine) standIn(named reference.Named) (toolbox.Image, bool) {
	at := slices.IndexFunc(e.config.Images, func(own toolbox.Image) bool { return slices.Contains(own.StandsFor, named.Name()) })
	if at < 0 {
		return toolbox.Image{}, false
	}
	return e.config.Images[at], true
}

// BuiltIn returns the reference of one of kubette's own images in the engine, when it is there.
func (e *Engine) BuiltIn(ctx context.Context, name string) (string, error) {
	select {
	case <-e.builtins.ready:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if e.builtins.err != nil {
		return "", fmt.Errorf("kubette's own image %s could not be made: %w", name, e.builtins.err)
	}
	return name + ":" + e.builtins.tag, nil
}

func (e *Engine) builtin(ctx context.Context, own toolbox.Image) (runtime.ImageStatus, error) {
	name, err := e.BuiltIn(ctx, own.Name)
	if err != nil {
		return runtime.ImageStatus{}, err
	}
	status, err := e.imageStatus(ctx, name)
	if !errors.Is(err, runtime.ErrNotFound) {
		return status, err
	}
	// Somebody has removed it since.
	e.builtins.reload.Lock()
	_, err = e.ensureBuiltins(ctx)
	e.builtins.reload.Unlock()
	if err != nil {
		return runtime.ImageStatus{}, fmt.Errorf("kubette's own image %s could not be made again: %w", own.Name, err)
	}
	return e.imageStatus(ctx, name)
}

// removeOldBuiltins removes the images of other builds of kubette, a hundred megabytes each, that no container of any
// cluster uses. A cluster that runs has its gateway, which uses one, and so keeps the images of its build.
func (e *Engine) removeOldBuiltins(ctx context.Context, tag string) error {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]image.Summary, error) {
		return e.api.ImageList(ctx, image.ListOptions{Filters: scope(labelRole+"="+roleImage, labelHash)})
	})
	if err != nil {
		return fmt.Errorf("list the images: %w", explain(ctx, err))
	}
	containers, err := e.list(ctx, labelCluster)
	if err != nil {
		return err
	}
	used := map[string]bool{tag: true}
	for _, summary := range there {
		if slices.ContainsFunc(containers, func(c container.Summary) bool { return c.ImageID == summary.ID }) {
			used[summary.Labels[labelHash]] = true
		}
	}
	for _, summary := range there {
		if used[summary.Labels[labelHash]] {
			continue
		}
		err := e.call(ctx, startTimeout, func(ctx context.Context) error {
			_, err := e.api.ImageRemove(ctx, summary.ID, image.RemoveOptions{PruneChildren: true})
			return err
		})
		if err != nil && !isGone(err) && !isConflict(err) {
			return fmt.Errorf("remove the image %s: %w", short(summary.ID), err)
		}
	}
	return nil
}

// ensureBuiltins loads the images unless they are there, and returns their tag.
func (e *Engine) ensureBuiltins(ctx context.Context) (string, error) {
	executable, err := linuxExecutable(ctx, e.config.Executable, e.architecture)
	if err != nil {
		return "", err
	}
	defer executable.cleanup()
	tag, err := e.contentTag(executable)
	if err != nil {
		return "", err
	}
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]image.Summary, error) {
		return e.api.ImageList(ctx, image.ListOptions{Filters: scope(labelHash + "=" + tag)})
	})
	if err != nil {
		return "", fmt.Errorf("list the images: %w", explain(ctx, err))
	}
	present := map[string]bool{}
	for _, summary := range there {
		for _, name := range summary.RepoTags {
			present[name] = true
		}
	}
	if !slices.ContainsFunc(e.config.Images, func(own toolbox.Image) bool { return !present[own.Name+":"+tag] }) {
		return tag, nil
	}
	return tag, e.loadBuiltins(ctx, executable, tag)
}

// contentTag stands for all that the images are made of.
func (e *Engine) contentTag(executable linuxFile) (string, error) {
	content, err := executable.fingerprint()
	if err != nil {
		return "", err
	}
	description, err := json.Marshal([]any{layerVersion, e.config.Images, e.config.Programs, executable.libraries})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(description, content...))
	return hex.EncodeToString(sum[:6]), nil
}

// layerVersion changes when the layer's own files do.
const layerVersion = 1

// loadBuiltins sends the images to the engine as one archive. It is written twice: once to know the layer's hash, which
// the descriptions contain, and once to send it; that is quicker than to keep or to compress eighty megabytes.
func (e *Engine) loadBuiltins(ctx context.Context, executable linuxFile, tag string) error {
	hash := sha256.New()
	size := &counter{}
	if err := e.writeLayer(io.MultiWriter(hash, size), executable); err != nil {
		return fmt.Errorf("make the layer of kubette's own images: %w", err)
	}
	layer := "sha256:" + hex.EncodeToString(hash.Sum(nil))
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(e.writeArchive(writer, executable, tag, layer, size.n)) }()
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*startTimeout)
	defer cancel()
	answer, err := e.api.ImageLoad(ctx, reader, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load kubette's own images into the engine: %w", explain(ctx, err))
	}
	defer answer.Body.Close()
	for decoder := json.NewDecoder(answer.Body); ; {
		var message progressMessage
		if err := decoder.Decode(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("load kubette's own images into the engine: %w", err)
		}
		if message.Error != "" {
			return fmt.Errorf("load kubette's own images into the engine: %s", message.Error)
		}
	}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// writeArchive writes what `docker save` would: descriptions, the layer, and a table of both.
func (e *Engine) writeArchive(w io.Writer, executable linuxFile, tag, layer string, size int64) error {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	archive := tar.NewWriter(w)
	var table []entry
	for _, own := range e.config.Images {
		description, err := json.Marshal(e.imageDescription(own, tag, layer, executable.made))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(description)
		name := hex.EncodeToString(sum[:]) + ".json"
		if err := addFile(archive, name, 0o644, description); err != nil {
			return err
		}
		table = append(table, entry{name, []string{own.Name + ":" + tag}, []string{"layer.tar"}})
	}
	manifest, err := json.Marshal(table)
	if err != nil {
		return err
	}
	if err := addFile(archive, "manifest.json", 0o644, manifest); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if err := e.writeLayer(archive, executable); err != nil {
		return err
	}
	return archive.Close()
}

// imageDescription is the image's configuration in the engine's format.
func (e *Engine) imageDescription(own toolbox.Image, tag, layer string, made time.Time) map[string]any {
	ports := map[string]struct{}{}
	for _, port := range own.Ports {
		ports[port] = struct{}{}
	}
	env := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, own.Env...)
	return map[string]any{
		"architecture": e.architecture, "os": "linux", "created": made,
		"config": map[string]any{
			"Cmd": own.Command, "Env": env, "ExposedPorts": ports, "WorkingDir": "/",
			"Labels": map[string]string{labelRole: roleImage, labelHash: tag},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{layer}},
		"history": []any{map[string]any{"created": made, "created_by": "kubette", "comment": own.Name}},
	}
}

// executablePath is where the executable is in the images.
const executablePath = "/kubette"

// writeLayer writes the root file system of the images.
func (e *Engine) writeLayer(w io.Writer, executable linuxFile) error {
	layer := tar.NewWriter(w)
	for _, directory := range []string{"bin", "etc", "etc/ssl", "etc/ssl/certs", "home", "root", "tmp", "usr", "usr/local", "usr/local/bin", "var", "var/tmp"} {
		mode := int64(0o755)
		if path.Base(directory) == "tmp" {
			mode = 0o1777
		}
		if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory + "/", Mode: mode}); err != nil {
			return err
		}
	}
	links := map[string]string{"usr/bin": "../bin", "usr/sbin": "../bin", "sbin": "bin"}
	for _, program := range e.config.Programs {
		links["bin/"+program] = ".." + executablePath
	}
	for _, name := range sortedKeys(links) {
		if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: links[name], Mode: 0o777}); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
		"etc/group":         "root:x:0:\nnobody:x:65534:\n",
		"etc/nsswitch.conf": "hosts: files dns\n",
	}
	for _, name := range sortedKeys(files) {
		if err := addFile(layer, name, 0o644, []byte(files[name])); err != nil {
			return err
		}
	}
	if certificates, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt"); err == nil { // a host without them has images without them
		if err := addFile(layer, "etc/ssl/certs/ca-certificates.crt", 0o644, certificates); err != nil {
			return err
		}
	}
	for _, library := range executable.libraries {
		if err := copyFile(layer, strings.TrimPrefix(library, "/"), library); err != nil {
			return err
		}
	}
	if err := copyFile(layer, strings.TrimPrefix(executablePath, "/"), executable.path); err != nil {
		return err
	}
	return layer.Close()
}

func addFile(archive *tar.Writer, name string, mode int64, data []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := archive.Write(data)
	return err
}

// copyFile adds a file of this host that can be executed.
func copyFile(archive *tar.Writer, name, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
