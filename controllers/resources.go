package controllers

import "k8s.io/apimachinery/pkg/runtime/schema"

// Resource is a kind of object that the API serves, as discovery tells of it.
type Resource struct {
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
	Verbs      []string
}

// Discovery tells what the API serves now, each kind once (in its preferred version), and gives a channel that is closed
// when that changes; nil means that it never does.
type Discovery func() ([]Resource, <-chan struct{})
