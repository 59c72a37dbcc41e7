package apiserver

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// requestInfo is what the method and the path of a request mean:
//
//	GET    /api/v1/namespaces/shop/pods             list pods in the namespace shop
//	GET    /api/v1/namespaces/shop/pods/web-1/log   get the log of a pod
//	DELETE /apis/apps/v1/namespaces/shop/deployments   deletecollection
//	GET    /version                                 no resource: path and method are what is authorized
type requestInfo struct {
	isResource                     bool
	verb                           string
	group, version                 string
	namespace, resource, name, sub string
	rest                           []string // what follows the subresource, for proxies
	nameInPath                     bool     // and not only in a field selector
	path                           string
}

var (
	methodVerbs = map[string]string{
		http.MethodGet: "get", http.MethodHead: "get", http.MethodPost: "create", http.MethodPut: "update",
		http.MethodPatch: "patch", http.MethodDelete: "delete",
	}
	// namespaceSubresources belong to the namespace itself; any other word after its name is a resource inside it.
	namespaceSubresources = []string{"status", "finalize"}
)

// parseRequest reads a request's method and path. It never fails: what is not a resource's path is a non-resource path.
func parseRequest(method string, u *url.URL) requestInfo {
	info := requestInfo{path: u.Path, verb: strings.ToLower(method)}
	parts := pathParts(u.Path)
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		info.version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		info.group, info.version, parts = parts[1], parts[2], parts[3:]
	default:
		return info
	}
	verb, known := methodVerbs[method]
	if !known {
		return info
	}
	info.isResource, info.verb = true, verb

	// The old form /api/v1/watch/… is still served.
	oldWatch := parts[0] == "watch" && len(parts) > 1
	if oldWatch {
		parts = parts[1:]
	}
	if parts[0] == "namespaces" && len(parts) > 1 {
		info.namespace = parts[1]
		if len(parts) > 2 && !slices.Contains(namespaceSubresources, parts[2]) {
			parts = parts[2:]
		}
	}
	info.resource = parts[0]
	if len(parts) > 1 {
		info.name, info.nameInPath = parts[1], true
	}
	if len(parts) > 2 {
		info.sub, info.rest = parts[2], parts[3:]
	}
	info.widen(u.Query(), oldWatch)
	return info
}

// widen turns the verb into the one for many objects where no object is named.
func (info *requestInfo) widen(query url.Values, oldWatch bool) {
	// Any value asks for a watch but these.
	asked := strings.ToLower(query.Get("watch"))
	watching := oldWatch || asked != "" && asked != "false" && asked != "0"
	switch {
	case oldWatch && info.verb == "get":
		info.verb = "watch"
	case info.name != "":
		return
	case info.verb == "get" && watching:
		info.verb = "watch"
	case info.verb == "get":
		info.verb = "list"
	case info.verb == "delete":
		info.verb = "deletecollection"
	default:
		return
	}
	// A field selector for one name counts as that name, so that a user may be allowed to watch one object.
	if selector, err := fields.ParseSelector(query.Get("fieldSelector")); err == nil && info.name == "" {
		info.name, _ = selector.RequiresExactMatch("metadata.name")
	}
}

// pathParts splits a path at its slashes.
func pathParts(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func isTrue(value string) bool { return value == "1" || strings.EqualFold(value, "true") }

func (info *requestInfo) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: info.group, Version: info.version, Resource: info.resource}
}

// longRunning says whether a request goes on until one side ends it; others have a minute.
func (info *requestInfo) longRunning(query url.Values) bool {
	switch {
	case !info.isResource:
		return false
	case info.verb == "watch":
		return true
	case info.sub == "log":
		return isTrue(query.Get("follow"))
	}
	return slices.Contains([]string{"exec", "attach", "portforward", "proxy"}, info.sub)
}

// attributes are what the authorizer judges.
func (info *requestInfo) attributes() Attributes {
	if !info.isResource {
		return Attributes{Verb: info.verb, Path: info.path}
	}
	return Attributes{
		ResourceRequest: true, Verb: info.verb, Group: info.group, Version: info.version, Resource: info.resource,
		Subresource: info.sub, Namespace: info.namespace, Name: info.name, Path: info.path,
	}
}
