// Package apiserver is the cluster's front door: everything that anybody reads or changes goes through it. In Kubernetes
// it is the program kube-apiserver.
//
// A request passes one chain, whether it comes over HTTP or from a component in this process: who is it (authentication),
// may they (authorization), what must be added or refused (admission), is it well-formed (validation), and then the store.
// Objects are kept encoded in the store, and decoded in a cache that follows the store's log, so that reads, lists and
// watches never decode anything twice. What the server knows of a kind is one row in the package kinds; nothing here
// switches on kinds but the few subresources that have a meaning of their own (binding, eviction, …).
//
// Left out: several API servers side by side, conversion between versions with webhooks, aggregated API servers, audit
// logs, and levels of priority between clients.
//
// Read server.go (the parts), registry.go, codec.go and decode.go (kinds and their encodings), cache.go (what is there
// now), then the verbs: get.go, list.go and watch.go with selection.go (of what), create.go, update.go, patch.go, apply.go,
// delete.go, with request.go (who asks) and metadata.go (what all objects share). managedfields.go and ownership.go record
// who set which field; fieldset says what a field is. subresources.go, scale.go, binding.go, eviction.go, token.go and
// podparts.go are the parts of objects that have a path of their own, virtual.go answers questions, computed.go measures, allocators.go hands out
// addresses and ports, expiry.go lets events go. The HTTP side is handler.go (the chain), requestinfo.go (what a path
// means), negotiate.go and respond.go (encodings), encoding.go (each object encoded once), inflight.go (whose
// turn it is), table.go, discovery.go, openapi.go.
package apiserver
