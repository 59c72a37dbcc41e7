package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// LoadImages brings the images of an archive into the engine: one that `docker save` wrote, or an OCI image layout in a
// tar. It returns their names. Engines before version 25 do not know the OCI layout; it differs only in its table of
// contents, so one that they know is added.
func (e *Engine) LoadImages(ctx context.Context, archive io.Reader) ([]string, error) {
	// Read twice: what is in it decides what must be added at its end.
	spool, err := os.CreateTemp("", "kubette-image-")
	if err != nil {
		return nil, fmt.Errorf("keep the archive: %w", err)
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	if _, err := io.Copy(spool, archive); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	extra, err := missingManifest(spool, e.architecture)
	if err != nil {
		return nil, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var input io.Reader = spool
	if extra != nil {
		input = appendManifest(spool, extra)
	}
	before, err := e.identifiers(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := e.api.ImageLoad(ctx, input)
	if err != nil {
		return nil, fmt.Errorf("load the archive: %w", explain(ctx, err))
	}
	defer answer.Body.Close()
	var names []string
	for decoder := json.NewDecoder(answer.Body); ; {
		var line struct{ Stream, Error string }
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("load the archive: %w", err)
		}
		if line.Error != "" {
			return nil, fmt.Errorf("load the archive: %s", line.Error)
		}
		for _, word := range []string{"Loaded image: ", "Loaded image ID: "} {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line.Stream), word); ok {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if status, err := e.imageStatus(ctx, name); err != nil {
			return nil, err
		} else if !before[status.ID] && !strings.HasPrefix(name, "sha256:") { // one without a name is its user's to keep
			if err := e.own(ctx, status.ID); err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}

// manifest is the table of contents of an archive of `docker save`.
type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// descriptor points to a part of an OCI layout.
type descriptor struct {
	Digest      string
	Annotations map[string]string
	Platform    *struct{ Architecture, OS string }
}

// missingManifest makes the table of contents that an OCI layout lacks; nil when the archive has one.
func missingManifest(archive io.ReadSeeker, architecture string) ([]byte, error) {
	// Small files only: tables of contents, among the blobs too.
	const small = 1 << 20
	files := map[string][]byte{}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("this is no archive of images, as `docker save` or an OCI image layout in a tar is: %w", err)
		}
		if header.Typeflag == tar.TypeReg && header.Size < small {
			if files[path.Clean(header.Name)], err = io.ReadAll(reader); err != nil {
				return nil, fmt.Errorf("read the archive: %w", err)
			}
		}
	}
	if _, ok := files["manifest.json"]; ok {
		return nil, nil
	}
	if _, ok := files["index.json"]; !ok {
		return nil, errors.New("this is no archive of images: it has neither manifest.json, as of `docker save`, nor index.json, as an OCI image layout. " +
			"A tar with a root file system is unpacked first, and its directory given to `kubette image build`")
	}
	blob := func(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }
	var all []manifest
	var visit func(name string, inherited map[string]string) error
	visit = func(name string, inherited map[string]string) error {
		var document struct {
			Manifests []descriptor
			Config    descriptor
			Layers    []descriptor
		}
		if err := json.Unmarshal(files[name], &document); err != nil {
			return fmt.Errorf("read %s of the archive: %w", name, err)
		}
		if document.Config.Digest != "" {
			made := manifest{Config: blob(document.Config.Digest)}
			for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
				if tag := inherited[key]; strings.Contains(tag, ":") && made.RepoTags == nil {
					made.RepoTags = []string{tag}
				}
			}
			for _, layer := range document.Layers {
				made.Layers = append(made.Layers, blob(layer.Digest))
			}
			all = append(all, made)
		}
		for _, each := range document.Manifests {
			if each.Platform != nil && each.Platform.Architecture != architecture {
				continue
			}
			annotations := each.Annotations
			if len(annotations) == 0 {
				annotations = inherited
			}
			if err := visit(blob(each.Digest), annotations); err != nil {
				return err
			}
		}
		return nil
	}
	if err := visit("index.json", nil); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the archive has no image for linux/%s", architecture)
	}
	return json.Marshal(all)
}

// appendManifest is the archive with one file more.
func appendManifest(archive io.Reader, content []byte) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		out := tar.NewWriter(writer)
		err := func() error {
			for in := tar.NewReader(archive); ; {
				header, err := in.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				if err := out.WriteHeader(header); err != nil {
					return err
				}
				if _, err := io.Copy(out, in); err != nil {
					return err
				}
			}
			if err := out.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o644, Size: int64(len(content))}); err != nil {
				return err
			}
			if _, err := out.Write(content); err != nil {
				return err
			}
			return out.Close()
		}()
		writer.CloseWithError(err)
	}()
	return reader
}
