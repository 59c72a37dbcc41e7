package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"

	"kubette/kubelet/runtime"
	"kubette/kubelet/runtime/docker"
	"kubette/toolbox"
)

// registry serves one image, ok:latest; a private one only to whoever has credentials.
func registry(t *testing.T, private bool) string {
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	files.WriteHeader(&tar.Header{Name: "hello", Mode: 0o644, Size: 5})
	files.Write([]byte("hello"))
	files.Close()
	digest := func(data []byte) string {
		sum := sha256.Sum256(data)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	config, _ := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"User": "1000"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer.Bytes())}},
	})
	const kind = "application/vnd.docker.distribution.manifest.v2+json"
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": kind,
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": digest(config)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": layer.Len(), "digest": digest(layer.Bytes())}},
	})
	blobs := map[string][]byte{digest(config): config, digest(layer.Bytes()): layer.Bytes(), digest(manifest): manifest, "latest": manifest}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		blob, found := blobs[filepath.Base(r.URL.Path)]
		switch {
		case private && (name != "me" || password != "secret"):
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		case r.URL.Path == "/v2/":
		case !found || strings.Contains(r.URL.Path, "/none/"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		default:
			if strings.Contains(r.URL.Path, "/manifests/") {
				w.Header().Set("Content-Type", kind)
				w.Header().Set("Docker-Content-Digest", digest(blob))
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
			w.Write(blob)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestImages(t *testing.T) {
	t.Parallel()
	c := newCluster(t, func(config *docker.ClusterConfig) {
		config.Executable = executable(t)
		config.Programs = []string{"program", "ls"}
		config.Images = []toolbox.Image{
			{Name: "kubette.local/test-web", StandsFor: []string{"127.0.0.1:1/course/web"}, Command: []string{"program", "say", "stand-in"}, Ports: []string{"80/tcp"}},
			{Name: "kubette.local/test-shell", Command: []string{"/bin/program", "ls", "/"}, Env: []string{"A=b"}},
		}
	})
	t.Cleanup(func() {
		for _, own := range c.config.Images {
			if name, err := c.engine.BuiltIn(context.Background(), own.Name); err == nil {
				c.engine.Client().ImageRemove(context.Background(), name, image.RemoveOptions{Force: true})
			}
		}
	})
	pull := func(name string, auth *runtime.ImageAuth) (runtime.ImageStatus, error) {
		return c.node.PullImage(t.Context(), name, auth, func(text string) { t.Log(text) })
	}
	reason := func(err error) string {
		var failed *runtime.ImageError
		errors.As(err, &failed)
		if failed == nil {
			return ""
		}
		return failed.Reason
	}

	t.Run("from a registry", func(t *testing.T) {
		if !c.engine.Network().Direct {
			t.Skip("the engine is on another machine and does not reach a registry of this one")
		}
		host, private := registry(t, false), registry(t, true)
		name := host + "/ok"
		if _, err := c.node.ImageStatus(t.Context(), name); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("before the pull: %v", err)
		}
		status, err := pull(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.engine.Client().ImageRemove(context.Background(), status.ID, image.RemoveOptions{Force: true})
		})
		if status.StandIn != "" || status.User != "1000" || !strings.HasPrefix(status.Digest, name+"@sha256:") {
			t.Errorf("pulled: %+v", status)
		}
		if _, err := pull(host+"/none", nil); reason(err) != "ErrImagePull" {
			t.Errorf("a repository that is not there: %v", err)
		}
		if _, err := pull(private+"/ok", nil); reason(err) != "ErrImagePull" {
			t.Errorf("without credentials: %v", err)
		}
		if _, err := pull(private+"/ok", &runtime.ImageAuth{Username: "me", Password: "secret"}); err != nil {
			t.Errorf("with credentials: %v", err)
		}
	})

	t.Run("without a registry", func(t *testing.T) {
		_, err := pull("127.0.0.1:1/other", nil)
		if reason(err) != "RegistryUnavailable" {
			t.Errorf("an unknown image: %v", err)
		}
		start := time.Now()
		status, err := pull("127.0.0.1:1/course/web:v1", nil)
		if err != nil || !strings.Contains(status.StandIn, "kubette.local/test-web") {
			t.Fatalf("a known one: %+v, %v", status, err)
		}
		t.Log(status.StandIn, time.Since(start))
		sandbox := c.pod("web")
		id := c.run(sandbox, "web", "main", nil, func(config *runtime.ContainerConfig) { config.ImageID = status.ID })
		if got := c.log(id); got != "stand-in\n" {
			t.Errorf("the stand-in prints %q", got)
		}
		if err := c.engine.Client().ImageTag(t.Context(), c.image, "127.0.0.1:1/course/web:v1"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.engine.Client().ImageRemove(context.Background(), "127.0.0.1:1/course/web:v1", image.RemoveOptions{})
		})
		if status, err = pull("127.0.0.1:1/course/web:v1", nil); err != nil || status.StandIn != "" || status.ID != c.image {
			t.Errorf("one that is present: %+v, %v", status, err)
		}
	})

	t.Run("kubette's own", func(t *testing.T) {
		status, err := pull("kubette.local/test-shell", nil)
		if err != nil || status.StandIn != "" {
			t.Fatalf("%+v, %v", status, err)
		}
		sandbox := c.pod("shell")
		id := c.run(sandbox, "shell", "main", nil, func(config *runtime.ContainerConfig) { config.ImageID = status.ID })
		for _, name := range []string{"bin\n", "kubette\n", "tmp\n", "etc\n"} {
			if got := c.log(id); !strings.Contains(got, name) {
				t.Errorf("the image has %q, no %q", got, name)
			}
		}
		if _, err := c.engine.Client().ImageRemove(t.Context(), status.ID, image.RemoveOptions{Force: true}); err == nil {
			if again, err := pull("kubette.local/test-shell", nil); err != nil || again.ID != status.ID {
				t.Errorf("an image that somebody removed: %+v, %v", again, err)
			}
		}
		start := time.Now()
		other := connect(t)
		defer other.Close()
		config := c.config
		config.Name += "-again"
		defer other.Cleanup(t.Context(), config.Name, docker.CleanupOptions{})
		if err := other.Prepare(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if _, err := other.BuiltIn(t.Context(), "kubette.local/test-shell"); err != nil {
			t.Fatal(err)
		}
		t.Log("images that are there:", time.Since(start))
	})

	t.Run("bad names", func(t *testing.T) {
		for _, name := range []string{"", "UPPER", "a b", "x@sha256:1"} {
			if _, err := pull(name, nil); reason(err) != "InvalidImageName" {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

// executable builds the test's program to be the executable of built-in images, dynamically linked where a C compiler is
// there, as `go run` does.
func executable(t *testing.T) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "kubette")
	build := exec.Command("go", "build", "-o", target, "./testdata/program")
	build.Env = append(os.Environ(), "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return target
}
