package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"

	"kubette/kubelet/runtime/docker"
)

// TestImagesOfOnesOwn: what is built and loaded is there under its name, counts as kubette's, and may be removed by it,
// unless a container uses it; what others brought never is.
func TestImagesOfOnesOwn(t *testing.T) {
	engine := connect(t)
	defer engine.Close()
	dir := t.TempDir()
	unique := fmt.Sprint(time.Now().UnixNano())
	for name, text := range map[string]string{
		"Dockerfile": "FROM scratch\nCOPY . /\nCMD [\"/x\"]\n", "kept": unique, "left": "secret", ".dockerignore": "left\nDockerfile\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name, second := "kubette.test/built:"+unique, "kubette.test/oci:"+unique
	t.Cleanup(func() {
		for _, each := range []string{name, second} {
			engine.Client().ImageRemove(context.Background(), each, image.RemoveOptions{Force: true})
		}
	})
	id, err := engine.BuildImage(t.Context(), dir, docker.BuildOptions{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if from := imageOf(t, engine, id).From; from != docker.FromKubette {
		t.Errorf("an image that kubette built is from %q", from)
	}
	saved := must(engine.Client().ImageSave(t.Context(), []string{name}))(t)
	archive := must(io.ReadAll(saved))(t)
	saved.Close()
	if files := filesOf(t, archive); slices.Contains(files, "left") || !slices.Contains(files, "kept") {
		t.Errorf("the image has the files %v", files)
	}
	collect := func() {
		must(engine.RemoveUnusedImages(t.Context(), func(image docker.Image) bool { return image.ID == id }))(t)
	}
	collect()
	if there := imageOf(t, engine, id); there.ID != "" {
		t.Fatalf("an unused image of kubette's was not removed: %+v", there)
	}
	if names := must(engine.LoadImages(t.Context(), bytes.NewReader(layoutOf(t, archive, second))))(t); !slices.Equal(names, []string{second}) {
		t.Errorf("an OCI layout was loaded as %v", names)
	}
	if names := must(engine.LoadImages(t.Context(), bytes.NewReader(archive)))(t); !slices.Equal(names, []string{name}) {
		t.Errorf("an archive was loaded as %v", names)
	}
	if there := imageOf(t, engine, id); there.From != docker.FromKubette || !slices.Equal(there.Names, []string{name, second}) {
		t.Errorf("a loaded image is %+v", there)
	}
	c := newCluster(t)
	sandbox := c.pod("user")
	c.image = id
	user := c.container(sandbox, "user", "app", nil)
	collect()
	if imageOf(t, engine, id).ID == "" {
		t.Error("an image that a container uses was removed")
	}
	c.node.RemoveContainer(t.Context(), user)
	// Somebody takes the record away: it is theirs now.
	for _, tag := range must(engine.Client().ImageInspect(t.Context(), id))(t).RepoTags {
		if strings.HasPrefix(tag, "kubette.local/own:") {
			engine.Client().ImageRemove(t.Context(), tag, image.RemoveOptions{})
		}
	}
	collect()
	if there := imageOf(t, engine, id); there.From != docker.FromOthers {
		t.Errorf("an image of others is %+v after a collection", there)
	}
	if _, err := engine.LoadImages(t.Context(), strings.NewReader("no archive")); err == nil || !strings.Contains(err.Error(), "no archive of images") {
		t.Errorf("a file that is no archive: %v", err)
	}
}

func imageOf(t *testing.T, engine *docker.Engine, id string) docker.Image {
	t.Helper()
	for _, each := range must(engine.Images(t.Context()))(t) {
		if each.ID == id {
			return each
		}
	}
	return docker.Image{}
}

// read returns the files of a tar.
func read(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = must(io.ReadAll(reader))(t)
	}
}

type savedManifest struct {
	Config string
	Layers []string
}

func manifestOf(t *testing.T, files map[string][]byte) savedManifest {
	t.Helper()
	var all []savedManifest
	if err := json.Unmarshal(files["manifest.json"], &all); err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// filesOf are the names in an image's layers.
func filesOf(t *testing.T, archive []byte) (names []string) {
	t.Helper()
	files := read(t, archive)
	for _, layer := range manifestOf(t, files).Layers {
		for name := range read(t, files[layer]) {
			names = append(names, name)
		}
	}
	return names
}

// layoutOf is the same image as an OCI layout and nothing else.
func layoutOf(t *testing.T, archive []byte, name string) []byte {
	t.Helper()
	files := read(t, archive)
	from := manifestOf(t, files)
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	add := func(name string, data []byte) {
		writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))})
		writer.Write(data)
	}
	blob := func(data []byte) map[string]any {
		sum := fmt.Sprintf("%x", sha256.Sum256(data))
		add("blobs/sha256/"+sum, data)
		return map[string]any{"digest": "sha256:" + sum, "size": len(data)}
	}
	encode := func(value any) []byte { return must(json.Marshal(value))(t) }
	var layers []any
	for _, layer := range from.Layers {
		layers = append(layers, blob(files[layer]))
	}
	described := blob(encode(map[string]any{"schemaVersion": 2, "config": blob(files[from.Config]), "layers": layers}))
	described["annotations"] = map[string]string{"io.containerd.image.name": name}
	add("index.json", encode(map[string]any{"schemaVersion": 2, "manifests": []any{described}}))
	writer.Close()
	return out.Bytes()
}
