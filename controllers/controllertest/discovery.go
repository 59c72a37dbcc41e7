package controllertest

import (
	"slices"

	"kubette/apiserver/kinds"
	"kubette/controllers"
)

// Discovery tells what the server serves: each kind once, without those that only show another's objects.
func Discovery() ([]controllers.Resource, <-chan struct{}) {
	var all []controllers.Resource
	for _, kind := range kinds.All() {
		if kind.Virtual || kind.Storage != nil {
			continue
		}
		verbs := kind.Verbs
		if verbs == nil {
			verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
		}
		if slices.Contains(verbs, "list") {
			all = append(all, controllers.Resource{GroupVersionResource: kind.Resource(), Kind: kind.Kind, Namespaced: kind.Namespaced, Verbs: verbs})
		}
	}
	return all, nil
}
