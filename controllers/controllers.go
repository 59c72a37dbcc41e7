// Package controllers holds what all controllers have in common. Each controller is a package below this one, which a
// student reads in one sitting: what it watches, what it compares, what it does. In Kubernetes they run together in the
// program kube-controller-manager; here package cluster runs them.
//
// A controller never talks to another one. The deployment controller writes a ReplicaSet to the API; the replicaset
// controller sees it there and writes pods; the scheduler sees those, and so on: each closes its own gap between what is
// wanted and what is there.
//
// What many of them need is here: owner.go (who owns what; adopting and releasing), pods.go (making and deleting pods),
// ranking.go (which pods to delete first), expectations.go and writes.go (not to act twice while a cache lags behind),
// parallel.go (slow start, batches), hash.go (the pod-template-hash), nodes.go, services.go, resources.go.
// Package controllertest runs controllers against a real API server on virtual time. A good first chapter is package
// replicaset, then deployment.
package controllers

import (
	"context"

	"kubette/client"
	"kubette/loop"
)

// Base is what every controller is made from.
type Base struct {
	// Client writes in the controller's own name, system:serviceaccount:kube-system:NAME.
	Client client.Interface
	// Informers are shared by all controllers of a cluster; they are started after every controller was made.
	Informers *client.Informers
	// Events tells people what the controller does; nil says nothing.
	Events *client.Recorder
	// Machine is where the controller can be paused and traced; nil for neither.
	Machine *loop.Machine
}

// Controller closes one kind of gap until its context ends.
type Controller interface {
	// Run works until the context ends, and returns when all that it started has ended.
	Run(ctx context.Context)
}
