package apiserver

import (
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubette/apiserver/openapi"
)

// openapiCache keeps the descriptions of a registry. They are made when first asked for: kubectl asks for them when it
// explains, and a cluster must start without waiting for them.
type openapiCache struct {
	mu  sync.Mutex
	of  *registry
	api *openapi.API
}

func (c *openapiCache) get(r *registry) *openapi.API {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != r {
		c.of, c.api = r, openapi.New("v"+kubernetesVersion, r.described())
	}
	return c.api
}

// described lists the resources as the descriptions need them.
func (r *registry) described() []openapi.Resource {
	var all []openapi.Resource
	names, versions := r.orderedGroups()
	for _, name := range names {
		for _, v := range versions[name] {
			for _, res := range r.resources(schema.GroupVersion{Group: name, Version: v}) {
				described := openapi.Resource{
					Resource: res.Resource(), Kind: res.GroupVersionKind(), Namespaced: res.Namespaced, Verbs: res.verbs(), Object: res.New(),
					Schema: res.Schema,
				}
				if res.NewList != nil {
					described.List = res.NewList()
				}
				for _, sub := range res.subresources() {
					described.Subresources = append(described.Subresources, openapi.Subresource{
						Name: sub.name, Kind: sub.kind, Verbs: sub.verbs, Object: res.body(sub.name).new(),
					})
				}
				all = append(all, described)
			}
		}
	}
	return all
}

// serveOpenAPI answers /openapi/v2 (everything in one document), /openapi/v3 (what there is) and below.
func (h *handler) serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.fail(w, r, errMethodNotAllowed())
		return
	}
	if err := h.openapi.get(h.server.registry.Load()).Serve(w, r); err != nil {
		h.fail(w, r, apierrors.NewInternalError(err))
	}
}

// serveOpenID tells others how to verify the tokens of service accounts.
func (h *handler) serveOpenID(w http.ResponseWriter, r *http.Request) {
	issuer, ok := h.server.config.Tokens.(interface {
		OpenID() (configuration, keys []byte, err error)
	})
	if !ok {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	configuration, keys, err := issuer.OpenID()
	switch {
	case err != nil:
		h.fail(w, r, apierrors.NewInternalError(err))
	case r.URL.Path == "/.well-known/openid-configuration":
		send(w, r, http.StatusOK, mediaJSON, configuration)
	case r.URL.Path == "/openid/v1/jwks":
		send(w, r, http.StatusOK, "application/jwk-set+json", keys)
	default:
		http.Error(w, "404 page not found", http.StatusNotFound)
	}
}
