package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubette/client"
	"kubette/explain"
	"kubette/kubelet"
	"kubette/scheduler"
)

// explaining is what the explaining tools need of a running cluster, beyond its API.
type explaining struct {
	scheduler atomic.Pointer[scheduler.Scheduler]
	faults    faultList
}

// explainRoutes serves what the command line and the console explain with. docs/control-api.md describes each.
func (c *Cluster) explainRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+controlPrefix+"trace", c.serveTrace)
	mux.HandleFunc("GET "+controlPrefix+"decisions/{namespace}/{pod}", c.serveDecisions)
	mux.HandleFunc("GET "+controlPrefix+"history/{kind}/{namespace}/{name}", c.serveHistory)
	mux.HandleFunc("GET "+controlPrefix+"why/{kind}/{namespace}/{name}", c.serveWhy)
	mux.HandleFunc("GET "+controlPrefix+"diff", c.serveDiff)
	mux.HandleFunc("GET "+controlPrefix+"texts/{language}", c.serveTexts)
	mux.HandleFunc("GET "+controlPrefix+"observed/{namespace}/{pod}", c.serveObserved)
	mux.HandleFunc("GET "+controlPrefix+"traffic", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.table.Traffic.Counts(), nil) })
	mux.HandleFunc("GET "+controlPrefix+"faults", c.serveFaults)
	mux.HandleFunc("POST "+controlPrefix+"faults", c.addFault)
	mux.HandleFunc("DELETE "+controlPrefix+"faults/{name...}", c.undoFault)
}

// noNamespace stands in a path for the namespace of an object that has none.
const noNamespace = "-"

// named finds the object that a path names. It need not exist.
func (r *recorder) named(request *http.Request) (explain.Ref, error) {
	row, err := r.kind(request.PathValue("kind"))
	if err != nil {
		return explain.Ref{}, err
	}
	namespace := request.PathValue("namespace")
	if row.Namespaced && namespace == noNamespace {
		return explain.Ref{}, fmt.Errorf("a %s is in a namespace: name it", row.Kind)
	}
	return r.ref(row, namespace, request.PathValue("name")), nil
}

// serveDecisions answers with what the scheduler decided about a pod, oldest first.
func (c *Cluster) serveDecisions(w http.ResponseWriter, r *http.Request) {
	answer(w, c.decisions(r.PathValue("namespace"), r.PathValue("pod")), nil)
}

func (c *Cluster) decisions(namespace, pod string) []scheduler.Decision {
	if s := c.explaining.scheduler.Load(); s != nil {
		return append([]scheduler.Decision{}, s.Decisions(namespace, pod)...)
	}
	return []scheduler.Decision{}
}

// History is what is kept of an object's revisions, oldest first.
type History struct {
	Object explain.Ref     `json:"object"`
	Writes []explain.Write `json:"writes"`
}

func (c *Cluster) serveHistory(w http.ResponseWriter, r *http.Request) {
	records := c.recorder()
	object, err := records.named(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	history := &History{Object: object, Writes: records.writes(r.Context(), object, true)}
	if len(history.Writes) == 0 {
		http.Error(w, fmt.Sprintf("nothing is kept about a %s %s", object.Kind, object), http.StatusNotFound)
		return
	}
	journal := records.journal(r.Context())
	for i := range history.Writes {
		journal.Explain(&history.Writes[i])
	}
	answer(w, history, nil)
}

// serveTexts answers with the catalogue of a language, or with those of its texts whose keys begin with what is asked for: the
// console's machine page needs those of steps only.
func (c *Cluster) serveTexts(w http.ResponseWriter, r *http.Request) {
	prefix, texts := r.URL.Query().Get("prefix"), map[string]string{}
	for key, text := range explain.Catalogue(r.PathValue("language")) {
		if strings.HasPrefix(key, prefix) {
			texts[key] = text
		}
	}
	answer(w, texts, nil)
}

// languageOf is the language that a request wants its sentences in.
func languageOf(r *http.Request) string {
	if asked := r.URL.Query().Get("lang"); asked != "" {
		return explain.Language(asked)
	}
	return explain.Language(r.Header.Get("Accept-Language"))
}

// answer sends a value as JSON, or an error with the status that it bears.
func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		if known, ok := err.(apierrors.APIStatus); ok {
			status = int(known.Status().Code)
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func decodeJSON(data []byte, into any) error { return json.Unmarshal(data, into) }

// Decisions asks what the scheduler decided about a pod.
func (c *Control) Decisions(ctx context.Context, namespace, pod string) ([]scheduler.Decision, error) {
	var decisions []scheduler.Decision
	err := c.do(ctx, http.MethodGet, "decisions/"+url.PathEscape(namespace)+"/"+url.PathEscape(pod), nil, &decisions)
	return decisions, err
}

// History asks for an object's revisions; the namespace of an object that has none does not matter.
func (c *Control) History(ctx context.Context, kind, namespace, name string) (*History, error) {
	history := &History{}
	return history, c.do(ctx, http.MethodGet, objectPath("history", kind, namespace, name), nil, history)
}

func objectPath(what, kind, namespace, name string) string {
	if namespace == "" {
		namespace = noNamespace
	}
	return what + "/" + url.PathEscape(kind) + "/" + url.PathEscape(namespace) + "/" + url.PathEscape(name)
}

// stream opens an answer that goes on; the caller closes it.
func (c *Control) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	response, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// serveObserved answers with what the container runtime of a pod's node has of the pod.
func (c *Cluster) serveObserved(w http.ResponseWriter, r *http.Request) {
	pod, err := client.Of[*corev1.Pod](c.AdminClient()).Get(r.Context(), r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		answer(w, nil, err)
		return
	}
	if pod.Spec.NodeName == "" {
		answer(w, &kubelet.Observed{Containers: []kubelet.ObservedContainer{}}, nil)
		return
	}
	node, err := c.nodeNamed(pod.Spec.NodeName)
	if err != nil {
		answer(w, nil, err)
		return
	}
	seen, err := node.Observe(r.Context(), string(pod.UID))
	answer(w, seen, err)
}
