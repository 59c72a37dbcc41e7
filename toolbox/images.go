package toolbox

import (
	"slices"

	"github.com/distribution/reference"
)

// Images returns the catalogue of kubette's own images, with what each can stand in for.
func Images() []Image {
	return []Image{
		{
			Name:      "kubette.local/backend",
			StandsFor: []string{"docker.io/ragatzino/backend-demo-conception-logicielle"},
			Command:   []string{"backend"},
			Ports:     []string{"8000/tcp"},
		},
		{
			Name:      "kubette.local/frontend",
			StandsFor: []string{"docker.io/ragatzino/frontend-demo-conception-logicielle"},
			Command:   []string{"frontend"},
			Ports:     []string{"5173/tcp"},
		},
		{
			Name:      "kubette.local/web",
			StandsFor: []string{"docker.io/library/nginx", "docker.io/library/httpd", "docker.io/library/caddy"},
			Command:   []string{"web", "--port", "80"},
			Ports:     []string{"80/tcp"},
		},
		{
			Name:      "kubette.local/web-unprivileged",
			StandsFor: []string{"docker.io/nginxinc/nginx-unprivileged"},
			Command:   []string{"web", "--port", "8080"},
			Ports:     []string{"8080/tcp"},
		},
		{
			Name: "kubette.local/whoami",
			StandsFor: []string{"docker.io/traefik/whoami", "docker.io/containous/whoami",
				"registry.k8s.io/echoserver", "gcr.io/google_containers/echoserver", "k8s.gcr.io/echoserver"},
			Command: []string{"whoami", "--port", "80", "--port", "8080"},
			Ports:   []string{"80/tcp", "8080/tcp"},
		},
		{
			Name: "kubette.local/hello",
			StandsFor: []string{"gcr.io/google-samples/hello-app", "us-docker.pkg.dev/google-samples/containers/gke/hello-app",
				"gcr.io/google-samples/kubernetes-bootcamp", "docker.io/nginxdemos/hello"},
			Command: []string{"hello", "--port", "80", "--port", "8080"},
			Ports:   []string{"80/tcp", "8080/tcp"},
		},
		{
			Name:       "kubette.local/http-echo",
			StandsFor:  []string{"docker.io/hashicorp/http-echo"},
			Entrypoint: []string{"http-echo"},
			Ports:      []string{"5678/tcp"},
		},
		{
			Name:       "kubette.local/curl",
			StandsFor:  []string{"docker.io/curlimages/curl"},
			Entrypoint: []string{"curl"},
			Command:    []string{"--help"},
		},
		{
			Name: "kubette.local/shell",
			StandsFor: []string{"docker.io/library/busybox", "docker.io/library/alpine", "docker.io/library/bash",
				"docker.io/library/debian", "docker.io/library/ubuntu", "gcr.io/google-containers/busybox", "registry.k8s.io/busybox",
				"registry.k8s.io/e2e-test-images/busybox", "docker.io/radial/busyboxplus"},
			Command: []string{"sh"},
		},
		{
			Name:      "kubette.local/pause",
			StandsFor: []string{"registry.k8s.io/pause", "k8s.gcr.io/pause", "gcr.io/google_containers/pause"},
			Command:   []string{"pause"},
		},
	}
}

// Lookup finds the image that a reference names, or that can stand in for it, whatever its tag.
func Lookup(image string) (Image, bool) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return Image{}, false
	}
	repository := reference.TrimNamed(named).Name()
	for _, candidate := range Images() {
		if candidate.Name == repository || slices.Contains(candidate.StandsFor, repository) {
			return candidate, true
		}
	}
	return Image{}, false
}
