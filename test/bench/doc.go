// Command bench measures kubette and prints the figures beside those of others.
//
// It builds the program once, into a temporary directory, and drives it as a user does: `kubette up`, then requests over
// HTTPS. What it prints are measurements of one machine at one time; it never fails because something was slow. The
// column of Kubernetes holds what the real control plane (v1.37: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, and kwok for simulated nodes) took on the reference machine of docs/measures.md.
//
//	go run ./test/bench                    # all, in about two minutes
//	go run ./test/bench -only start,api    # some: start, api, docker, scale
//
// Read main.go (what is measured), table.go (how it is shown), program.go (a cluster as a process), and then one file for
// each group: start.go, api.go, docker.go, scale.go.
package main
