package main

import (
	_ "unsafe" // for go:linkname

	componentversion "k8s.io/component-base/version"
)

// kubectlVersion is what the linked-in kubectl takes for its version. Kubernetes sets it with the linker's flags, which
// `go run` and `go install` do not pass; without it, `kubectl version` fails.
//
//go:linkname kubectlVersion k8s.io/component-base/version.gitVersion
var kubectlVersion string

// nameKubectlVersion gives the linked-in kubectl the version of the libraries that it is made of.
func nameKubectlVersion() {
	kubectlVersion = kubernetesVersion
	_ = componentversion.SetDynamicVersion(kubernetesVersion) // refused only where it differs from the one above
}
