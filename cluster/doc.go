// Package cluster is the composition root: it builds one cluster from a Config and runs it. It is the only package that
// knows all the others; no other room knows it. In Kubernetes this is what kubeadm does, with a machine for each part.
//
// build (in cluster.go) is the architecture in one function: the store, before it the API server, and around that everybody who talks
// only to it: controllers, scheduler, kubelets, service network and ingress. Each has an identity and a client of its
// own, and none knows another.
//
// Read config.go (what a user may choose), cluster.go (the order in which it is built, and taken down), controlplane.go and
// controllers.go, nodes.go and fleet.go (nodes come and go), machines.go and machines_docker.go (simulated, or Docker),
// ranges.go (addresses), bootstrap.go (the objects that every cluster begins with), listen.go (ports) and state.go (what is
// kept outside the store). Another process reaches a running cluster through control.go; explain.go, trace.go, journal.go,
// why.go and breakage.go answer there what the explaining tools ask, metrics.go what pods use, snapshot.go copies the store.
package cluster
