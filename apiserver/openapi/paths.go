package openapi

import (
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Paths say which requests there are, with which parameters. kubectl looks here for two things: the kind that a path is
// about, and whether the server validates fields and does dry runs, which is said by parameters of PATCH.

// parameter is a query parameter.
type parameter struct{ name, kind, doc string }

var (
	pretty     = parameter{"pretty", "string", "If 'true', then the output is pretty printed."}
	writeQuery = []parameter{
		{"dryRun", "string", metav1.CreateOptions{}.SwaggerDoc()["dryRun"]},
		{"fieldManager", "string", metav1.CreateOptions{}.SwaggerDoc()["fieldManager"]},
		{"fieldValidation", "string", metav1.CreateOptions{}.SwaggerDoc()["fieldValidation"]},
	}
	patchQuery = append(slices.Clone(writeQuery), parameter{"force", "boolean", metav1.PatchOptions{}.SwaggerDoc()["force"]})
	listQuery  = []parameter{
		{"allowWatchBookmarks", "boolean", listDoc("allowWatchBookmarks")}, {"continue", "string", listDoc("continue")},
		{"fieldSelector", "string", listDoc("fieldSelector")}, {"labelSelector", "string", listDoc("labelSelector")},
		{"limit", "integer", listDoc("limit")}, {"resourceVersion", "string", listDoc("resourceVersion")},
		{"resourceVersionMatch", "string", listDoc("resourceVersionMatch")}, {"sendInitialEvents", "boolean", listDoc("sendInitialEvents")},
		{"timeoutSeconds", "integer", listDoc("timeoutSeconds")}, {"watch", "boolean", listDoc("watch")},
	}
	deleteQuery = []parameter{
		{"dryRun", "string", deleteDoc("dryRun")}, {"gracePeriodSeconds", "integer", deleteDoc("gracePeriodSeconds")},
		{"orphanDependents", "boolean", deleteDoc("orphanDependents")}, {"propagationPolicy", "string", deleteDoc("propagationPolicy")},
	}
)

func listDoc(name string) string   { return metav1.ListOptions{}.SwaggerDoc()[name] }
func deleteDoc(name string) string { return metav1.DeleteOptions{}.SwaggerDoc()[name] }

// operation is one method on one path.
type operation struct {
	method, action string // action is Kubernetes' word for it
	verb           string // the verb that must be served
	many           bool   // on the collection
	query          []parameter
	body           string // a reference, "" for none
}

// resource adds the schemas and the paths of a resource.
func (b *builder) resource(r Resource, paths map[string]any) error {
	object, err := b.schemaRef(r, r.Object, r.Kind)
	if err != nil {
		return err
	}
	list := object
	if r.List != nil {
		if list, err = b.schemaRef(r, r.List, r.Kind.GroupVersion().WithKind(r.Kind.Kind+"List")); err != nil {
			return err
		}
	}
	status, options := b.ref(reflect.TypeFor[metav1.Status]()), b.ref(reflect.TypeFor[metav1.DeleteOptions]())
	patch := b.ref(reflect.TypeFor[metav1.Patch]())
	operations := []operation{
		{"get", "list", "list", true, listQuery, ""}, {"post", "post", "create", true, writeQuery, object},
		{"delete", "deletecollection", "deletecollection", true, slices.Concat(deleteQuery, listQuery), options},
		{"get", "get", "get", false, nil, ""}, {"put", "put", "update", false, writeQuery, object},
		{"patch", "patch", "patch", false, patchQuery, patch}, {"delete", "delete", "delete", false, deleteQuery, options},
	}
	base := "/" + root(r.Resource.GroupVersion()) + "/"
	if r.Namespaced {
		if slices.Contains(r.Verbs, "list") {
			everywhere := map[string]any{"get": b.operation(r, operations[0], r.Kind, list)}
			everywhere["parameters"] = b.pathParameters()
			paths[base+r.Resource.Resource] = everywhere
		}
		base += "namespaces/{namespace}/"
	}
	collection, item := map[string]any{}, map[string]any{}
	for _, op := range operations {
		if !slices.Contains(r.Verbs, op.verb) {
			continue
		}
		answer, on := object, item
		if op.many {
			on = collection
		}
		switch op.action {
		case "list":
			answer = list
		case "delete", "deletecollection":
			answer = status
		}
		on[op.method] = b.operation(r, op, r.Kind, answer)
	}
	b.addPath(paths, base+r.Resource.Resource, collection)
	b.addPath(paths, base+r.Resource.Resource+"/{name}", item)
	return b.subresources(r, paths, base+r.Resource.Resource+"/{name}/", patch)
}

// verbMethods are the methods of the verbs that subresources have.
var verbMethods = map[string]operation{
	"get": {"get", "get", "get", false, nil, ""}, "create": {"post", "post", "create", false, writeQuery, "object"},
	"update": {"put", "put", "update", false, writeQuery, "object"}, "patch": {"patch", "patch", "patch", false, patchQuery, "patch"},
}

func (b *builder) subresources(r Resource, paths map[string]any, base, patch string) error {
	for _, sub := range r.Subresources {
		ref, err := b.schemaRef(r, sub.Object, sub.Kind)
		if err != nil {
			return err
		}
		item := map[string]any{}
		for _, verb := range sub.Verbs {
			op, known := verbMethods[verb]
			if !known {
				continue
			}
			switch op.body {
			case "object":
				op.body = ref
			case "patch":
				op.body = patch
			}
			item[op.method] = b.operation(r, op, sub.Kind, ref)
		}
		b.addPath(paths, base+sub.Name, item)
	}
	return nil
}

func (b *builder) addPath(paths map[string]any, path string, operations map[string]any) {
	if len(operations) == 0 {
		return
	}
	var names []string
	for _, part := range strings.Split(path, "/") {
		if strings.HasPrefix(part, "{") {
			names = append(names, strings.Trim(part, "{}"))
		}
	}
	operations["parameters"] = b.pathParameters(names...)
	paths[path] = operations
}

var pathDocs = map[string]string{
	"name": "name of the object", "namespace": "object name and auth scope, such as for teams and projects",
}

func (b *builder) pathParameters(names ...string) []any {
	all := []any{b.query(pretty)}
	for _, name := range names {
		p := map[string]any{"in": "path", "name": name, "required": true, "description": pathDocs[name]}
		b.typed(p, "string")
		all = append(all, p)
	}
	return all
}

func (b *builder) query(p parameter) map[string]any {
	described := map[string]any{"in": "query", "name": p.name, "description": p.doc}
	b.typed(described, p.kind)
	return described
}

func (b *builder) typed(parameter map[string]any, kind string) {
	if b.refs == refV2 {
		parameter["type"], parameter["uniqueItems"] = kind, true
		return
	}
	parameter["schema"] = map[string]any{"type": kind, "uniqueItems": true}
}

var (
	answerMedia = []any{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	patchMedia  = []any{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"}
	// customMedia is what custom resources take: kubectl apply sends a strategic merge patch to whoever says to take one.
	customMedia = []any{"application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"}
)

func isCustom(r Resource) bool {
	_, untyped := r.Object.(*unstructured.Unstructured)
	return untyped
}

// operation describes one request.
func (b *builder) operation(r Resource, op operation, kind schema.GroupVersionKind, answer string) map[string]any {
	parameters := make([]any, 0, len(op.query)+1)
	for _, p := range op.query {
		parameters = append(parameters, b.query(p))
	}
	ref := func(to string) map[string]any { return map[string]any{"$ref": to} }
	responses := map[string]any{"200": map[string]any{"description": "OK"}, "401": map[string]any{"description": "Unauthorized"}}
	codes := []string{"200"}
	if op.method == "post" || op.method == "put" || op.method == "patch" {
		responses["201"] = map[string]any{"description": "Created"}
		codes = append(codes, "201")
	}
	described := map[string]any{
		"tags": []any{tag(r.Resource.GroupVersion())}, "x-kubernetes-action": op.action, "x-kubernetes-group-version-kind": gvkExtension(kind),
		"responses": responses, "operationId": op.action + tag(r.Resource.GroupVersion()) + kind.Kind + operationScope(op.many),
	}
	consumes := []any{"*/*"}
	if op.method == "patch" {
		if consumes = patchMedia; isCustom(r) {
			consumes = customMedia
		}
	}
	if b.refs == refV2 {
		described["produces"], described["consumes"] = answerMedia, consumes
		if op.body != "" {
			parameters = append(parameters, map[string]any{"in": "body", "name": "body", "required": op.method != "delete", "schema": ref(op.body)})
		}
		for _, code := range codes {
			responses[code].(map[string]any)["schema"] = ref(answer)
		}
	} else {
		if op.body != "" {
			described["requestBody"] = map[string]any{"content": content(consumes, op.body), "required": op.method != "delete"}
		}
		for _, code := range codes {
			responses[code].(map[string]any)["content"] = content(answerMedia, answer)
		}
	}
	if len(parameters) > 0 {
		described["parameters"] = parameters
	}
	return described
}

func content(media []any, ref string) map[string]any {
	all := map[string]any{}
	for _, m := range media {
		all[m.(string)] = map[string]any{"schema": map[string]any{"$ref": ref}}
	}
	return all
}

func operationScope(many bool) string {
	if many {
		return "Collection"
	}
	return ""
}

// tag names a group version in a word: core_v1, apps_v1.
func tag(gv schema.GroupVersion) string {
	group, _, _ := strings.Cut(gv.Group, ".")
	if group == "" {
		group = "core"
	}
	return group + "_" + gv.Version
}
