package apiserver

import (
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"

	"github.com/munnerz/goautoneg"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

// Discovery tells clients what is served: kubectl learns from it that "deploy" means deployments in apps/v1. It comes in
// two forms: a document for each group version, and, for newer clients, everything at once (aggregated).

// groupOrder is the order in which Kubernetes lists its groups, by their priority; it decides which group a short name
// means when several have it. Other groups, of custom resources, follow by name.
var groupOrder = []string{
	"", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling",
	"batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
	"discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io", "storagemigration.k8s.io",
}

var (
	connectVerbs = []string{"create", "get"}
	proxyVerbs   = []string{"create", "delete", "get", "patch", "update"}
)

// connections are the subresources that are streams, see connect.go.
var connections = map[schema.GroupResource][]subresource{
	{Resource: "nodes"}: {{"proxy", corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"), proxyVerbs}},
	{Resource: "pods"}: {
		{"attach", corev1.SchemeGroupVersion.WithKind("PodAttachOptions"), connectVerbs},
		{"exec", corev1.SchemeGroupVersion.WithKind("PodExecOptions"), connectVerbs},
		{"log", corev1.SchemeGroupVersion.WithKind("Pod"), []string{"get"}},
		{"portforward", corev1.SchemeGroupVersion.WithKind("PodPortForwardOptions"), connectVerbs},
		{"proxy", corev1.SchemeGroupVersion.WithKind("PodProxyOptions"), proxyVerbs},
	},
	{Resource: "services"}: {{"proxy", corev1.SchemeGroupVersion.WithKind("ServiceProxyOptions"), proxyVerbs}},
}

// listedSubresources are all subresources of a resource, by name. Where the kind is of the resource's own group version,
// discovery leaves those out.
func listedSubresources(res *resource) []subresource {
	all := append(res.subresources(), connections[res.groupResource()]...)
	for i := range all {
		if all[i].kind.GroupVersion() == res.Resource().GroupVersion() {
			all[i].kind.Group, all[i].kind.Version = "", ""
		}
	}
	slices.SortFunc(all, func(a, b subresource) int { return strings.Compare(a.name, b.name) })
	return all
}

// orderedGroups returns the served groups in Kubernetes' order, each with its versions, the preferred one first.
func (r *registry) orderedGroups() ([]string, map[string][]string) {
	names, versions := r.groups()
	rank := func(name string) int {
		if i := slices.Index(groupOrder, name); i >= 0 {
			return i
		}
		return len(groupOrder)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, list := range versions {
		slices.SortFunc(list, func(a, b string) int { return apimachineryversion.CompareKubeAwareVersionStrings(b, a) })
	}
	return names, versions
}

// apiGroup describes one group.
func apiGroup(name string, versions []string) metav1.APIGroup {
	group := metav1.APIGroup{Name: name}
	for _, v := range versions {
		gv := schema.GroupVersion{Group: name, Version: v}
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v})
	}
	group.PreferredVersion = group.Versions[0]
	return group
}

func (r *registry) apiGroups() *metav1.APIGroupList {
	list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	names, versions := r.orderedGroups()
	for _, name := range names {
		if name != "" {
			list.Groups = append(list.Groups, apiGroup(name, versions[name]))
		}
	}
	return list
}

// apiResources describes one group version; nil when it is not served.
func (r *registry) apiResources(gv schema.GroupVersion) *metav1.APIResourceList {
	rows := r.resources(gv)
	if len(rows) == 0 {
		return nil
	}
	list := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	if gv.Group == "" {
		list.APIVersion = "" // as Kubernetes has it since before there were groups
	}
	for _, res := range rows {
		described := metav1.APIResource{
			Name: res.Plural, SingularName: res.Singular, Namespaced: res.Namespaced, Kind: res.Kind.Kind, Verbs: sortedVerbs(res.verbs()),
			ShortNames: res.ShortNames, Categories: res.Categories,
		}
		if !res.Virtual {
			described.StorageVersionHash = storageVersionHash(res.storage.GroupVersionKind())
		}
		list.APIResources = append(list.APIResources, described)
		for _, sub := range listedSubresources(res) {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: res.Plural + "/" + sub.name, Namespaced: res.Namespaced, Kind: sub.kind.Kind, Group: sub.kind.Group,
				Version: sub.kind.Version, Verbs: sub.verbs,
			})
		}
	}
	return list
}

func sortedVerbs(verbs []string) []string { return slices.Sorted(slices.Values(verbs)) }

// hashedVersions are those of kinds that Kubernetes stores in another version than the one it serves.
var hashedVersions = map[schema.GroupKind]string{
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: "v1beta1",
}

// storageVersionHash lets clients see that a kind's stored form has changed.
func storageVersionHash(kind schema.GroupVersionKind) string {
	version := cmp.Or(hashedVersions[kind.GroupKind()], kind.Version)
	sum := sha256.Sum256([]byte(kind.Group + "/" + version + "/" + kind.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}

// aggregated describes everything: the core group alone for /api, all others for /apis.
func (r *registry) aggregated(core bool) *apidiscoveryv2.APIGroupDiscoveryList {
	list := &apidiscoveryv2.APIGroupDiscoveryList{Items: []apidiscoveryv2.APIGroupDiscovery{}}
	list.Kind, list.APIVersion = "APIGroupDiscoveryList", apidiscoveryv2.SchemeGroupVersion.String()
	names, versions := r.orderedGroups()
	for _, name := range names {
		if (name == "") != core {
			continue
		}
		group := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, v := range versions[name] {
			group.Versions = append(group.Versions, apidiscoveryv2.APIVersionDiscovery{
				Version: v, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
				Resources: r.aggregatedResources(schema.GroupVersion{Group: name, Version: v}),
			})
		}
		list.Items = append(list.Items, group)
	}
	return list
}

func (r *registry) aggregatedResources(gv schema.GroupVersion) []apidiscoveryv2.APIResourceDiscovery {
	var resources []apidiscoveryv2.APIResourceDiscovery
	for _, res := range r.resources(gv) {
		described := apidiscoveryv2.APIResourceDiscovery{
			Resource: res.Plural, ResponseKind: &metav1.GroupVersionKind{Kind: res.Kind.Kind}, Scope: apidiscoveryv2.ScopeCluster,
			SingularResource: res.Singular, Verbs: sortedVerbs(res.verbs()), ShortNames: res.ShortNames, Categories: res.Categories,
		}
		if res.Namespaced {
			described.Scope = apidiscoveryv2.ScopeNamespace
		}
		for _, sub := range listedSubresources(res) {
			described.Subresources = append(described.Subresources, apidiscoveryv2.APISubresourceDiscovery{
				Subresource: sub.name, Verbs: sub.verbs,
				ResponseKind: &metav1.GroupVersionKind{Group: sub.kind.Group, Version: sub.kind.Version, Kind: sub.kind.Kind},
			})
		}
		resources = append(resources, described)
	}
	return resources
}

// discoveryCache keeps the aggregated documents of a registry.
type discoveryCache struct {
	mu        sync.Mutex
	of        *registry
	documents map[string]taggedDocument // by path and version
}

type taggedDocument struct {
	data []byte
	etag string
}

func (c *discoveryCache) aggregated(r *registry, core bool, version string) (taggedDocument, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != r {
		c.of, c.documents = r, map[string]taggedDocument{}
	}
	key := fmt.Sprint(core, version)
	if document, ok := c.documents[key]; ok {
		return document, nil
	}
	list := r.aggregated(core)
	list.APIVersion = "apidiscovery.k8s.io/" + version
	data, err := json.Marshal(list)
	if err != nil {
		return taggedDocument{}, fmt.Errorf("encode the discovery document: %w", err)
	}
	document := taggedDocument{data: data, etag: fmt.Sprintf(`"%X"`, sha512.Sum512(data))}
	c.documents[key] = document
	return document, nil
}

// serveDiscovery answers /api and /apis and what is below them but no resource.
func (h *handler) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.fail(w, r, errMethodNotAllowed())
		return
	}
	known := h.server.registry.Load()
	parts := pathParts(r.URL.Path)
	if len(parts) == 1 {
		if version := wantsAggregated(r); version != "" {
			h.serveAggregated(w, r, parts[0] == "api", version)
			return
		}
	}
	var document any
	names, versions := known.orderedGroups()
	switch {
	case parts[0] == "api" && len(parts) == 1:
		document = &metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: versions[""],
			ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: r.Host}},
		}
	case parts[0] == "apis" && len(parts) == 1:
		document = known.apiGroups()
	case parts[0] == "apis" && len(parts) == 2 && slices.Contains(names, parts[1]):
		group := apiGroup(parts[1], versions[parts[1]])
		group.Kind, group.APIVersion = "APIGroup", "v1"
		document = &group
	case parts[0] == "api" && len(parts) == 2:
		document = known.apiResources(schema.GroupVersion{Version: parts[1]})
	case parts[0] == "apis" && len(parts) == 3:
		document = known.apiResources(schema.GroupVersion{Group: parts[1], Version: parts[2]})
	}
	if list, ok := document.(*metav1.APIResourceList); document == nil || ok && list == nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	h.document(w, r, document)
}

// wantsAggregated returns the version of the aggregated form that a client accepts first, "" for the plain form.
func wantsAggregated(r *http.Request) string {
	for _, clause := range goautoneg.ParseAccept(r.Header.Get("Accept")) {
		if clause.Type != "application" && clause.Type != "*" {
			continue
		}
		if clause.Params["as"] != "APIGroupDiscoveryList" || clause.Params["g"] != "apidiscovery.k8s.io" {
			return ""
		}
		if v := clause.Params["v"]; v == "v2" || v == "v2beta1" {
			return v
		}
	}
	return ""
}

func (h *handler) serveAggregated(w http.ResponseWriter, r *http.Request, core bool, version string) {
	document, err := h.discovery.aggregated(h.server.registry.Load(), core, version)
	if err != nil {
		h.fail(w, r, apierrors.NewInternalError(err))
		return
	}
	w.Header().Set("ETag", document.etag)
	w.Header().Set("Vary", "Accept")
	if r.Header.Get("If-None-Match") == document.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, r, http.StatusOK, "application/json;g=apidiscovery.k8s.io;v="+version+";as=APIGroupDiscoveryList", document.data)
}

// document answers with a plain JSON document.
func (h *handler) document(w http.ResponseWriter, r *http.Request, document any) {
	var data []byte
	var err error
	if isPretty(r) {
		data, err = json.MarshalIndent(document, "", "  ")
	} else {
		data, err = json.Marshal(document)
	}
	if err != nil {
		h.fail(w, r, apierrors.NewInternalError(err))
		return
	}
	send(w, r, http.StatusOK, mediaJSON, append(data, '\n'))
}

// kubernetesVersion is the release whose behaviour the API has.
const kubernetesVersion = "1.37.2"

// serveVersion answers /version: kubectl compares it with its own.
func (h *handler) serveVersion(w http.ResponseWriter, r *http.Request) {
	version := apimachineryversion.Info{
		Major: "1", Minor: "37", GitVersion: "v" + kubernetesVersion + "+kubette", GitTreeState: "clean", Compiler: goruntime.Compiler,
		GoVersion: goruntime.Version(), Platform: goruntime.GOOS + "/" + goruntime.GOARCH,
	}
	if own := h.server.config.Version; own != "" {
		version.GitVersion += "." + strings.TrimPrefix(strings.NewReplacer("+", "-", " ", "-").Replace(own), "v")
	}
	h.document(w, r, version)
}
