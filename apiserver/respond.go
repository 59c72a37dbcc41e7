package apiserver

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"kubette/apiserver/kinds"
)

// compressAbove is the size in bytes from which an answer is sent compressed to a client that takes it, as in
// Kubernetes: compressing small ones costs more than it saves.
const compressAbove = 128 << 10

// answer writes an object, in the shape and encoding asked for.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, code int, object runtime.Object) {
	accepts, err := negotiate(r, true)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if _, is := object.(kinds.Object); is && accepts.shape == asItself && !accepts.pretty && accepts.media != mediaYAML {
		body, err := h.server.encodings.object(object, accepts.media)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		send(w, r, code, accepts.media, body)
		return
	}
	shaped, err := h.shaped(r, object, accepts.shape)
	if err == nil {
		err = encodable(shaped, accepts.media)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	write(w, r, code, shaped, accepts)
}

// write encodes an object that names its kind, and sends it.
func write(w http.ResponseWriter, r *http.Request, code int, object runtime.Object, accepts answerType) {
	var body bytes.Buffer
	if err := encodeAs(object, accepts.media, accepts.pretty, &body); err != nil {
		slog.Error("an answer could not be encoded", "path", r.URL.Path, "error", err)
		http.Error(w, "the answer could not be encoded: "+err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, code, accepts.media, body.Bytes())
}

// send writes a body, compressed if it is big and the client takes that.
func send(w http.ResponseWriter, r *http.Request, code int, media string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", media)
	header.Set("Cache-Control", "no-cache, private")
	if len(body) > compressAbove && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		header.Add("Vary", "Accept-Encoding")
		w.WriteHeader(code)
		compressed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		_, _ = compressed.Write(body)
		_ = compressed.Close()
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// fail answers with an error as a Status object. A client that accepts no encoding the server has gets it as JSON.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	accepts, negotiated := negotiate(r, true)
	if negotiated != nil {
		accepts.media = mediaJSON
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	if status.Code >= 500 && status.Code != http.StatusServiceUnavailable && status.Code != http.StatusGatewayTimeout {
		slog.Warn("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	write(w, r, int(status.Code), status, accepts)
}

// errMethodNotAllowed is the answer to a method that a path never has.
// errNoRoute is the answer to a path that nothing is served at.
func errNoRoute() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, false)
}

func errMethodNotAllowed() error {
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, "", schema.GroupResource{}, "", "", 0, false)
}

// definitionScheme knows the one kind that is not among client-go's: CustomResourceDefinition.
var definitionScheme = sync.OnceValue(func() *runtime.Scheme {
	made := runtime.NewScheme()
	utilruntime.Must(apiextensionsv1.AddToScheme(made))
	return made
})

// named returns an object that names its own apiVersion and kind. Objects are kept without, because their Go type says
// it; the original is shared and stays as it is.
func named(object runtime.Object) (runtime.Object, error) {
	if _, ok := object.(runtime.Unstructured); ok || !object.GetObjectKind().GroupVersionKind().Empty() {
		return object, nil
	}
	found, _, err := scheme.Scheme.ObjectKinds(object)
	if runtime.IsNotRegisteredError(err) {
		found, _, err = definitionScheme().ObjectKinds(object)
	}
	if err != nil {
		return nil, fmt.Errorf("name the kind of an answer: %w", err)
	}
	copied := shallow(object)
	copied.GetObjectKind().SetGroupVersionKind(found[0])
	return copied, nil
}

// listObject makes the list type of a resource from a page.
func (res *resource) listObject(list *List) (runtime.Object, error) {
	object := res.NewList()
	meta := metav1.ListMeta{ResourceVersion: list.ResourceVersion, Continue: list.Continue, RemainingItemCount: list.Remaining}
	if u, ok := object.(*unstructured.UnstructuredList); ok {
		return unstructuredList(u, res, list, meta)
	}
	value := reflect.ValueOf(object).Elem()
	items := value.FieldByName("Items")
	if !items.IsValid() {
		return nil, fmt.Errorf("%T has no items", object)
	}
	filled := reflect.MakeSlice(items.Type(), len(list.Items), len(list.Items))
	for i, item := range list.Items {
		filled.Index(i).Set(reflect.ValueOf(item).Elem())
	}
	items.Set(filled)
	value.FieldByName("ListMeta").Set(reflect.ValueOf(meta))
	object.GetObjectKind().SetGroupVersionKind(res.listKind())
	return object, nil
}

func (res *resource) listKind() schema.GroupVersionKind {
	return res.GroupVersionKind().GroupVersion().WithKind(res.Kind.Kind + "List")
}

func unstructuredList(object *unstructured.UnstructuredList, res *resource, list *List, meta metav1.ListMeta) (runtime.Object, error) {
	if object.Object == nil {
		object.Object = map[string]any{}
	}
	if object.GetKind() == "" {
		object.SetGroupVersionKind(res.listKind())
	}
	object.SetResourceVersion(meta.ResourceVersion)
	object.SetContinue(meta.Continue)
	object.SetRemainingItemCount(meta.RemainingItemCount)
	object.Items = make([]unstructured.Unstructured, 0, len(list.Items))
	for _, item := range list.Items {
		u, ok := item.(*unstructured.Unstructured)
		if !ok {
			return nil, fmt.Errorf("a %T in a list of custom resources", item)
		}
		object.Items = append(object.Items, *u)
	}
	return object, nil
}

// warnings collects what is said about a request, and puts it into the header before the answer begins. Equal ones are
// said once, and no more of them than fits in a header.
type warnings struct {
	mu     sync.Mutex
	header http.Header
	said   map[string]bool
	length int
}

const warningsLength = 4096

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said[text] || w.length+len(text) > warningsLength {
		return
	}
	value, err := utilnet.NewWarningHeader(299, "-", text)
	if err != nil {
		slog.Warn("a warning could not be sent", "text", text, "error", err)
		return
	}
	if w.said == nil {
		w.said = map[string]bool{}
	}
	w.said[text] = true
	w.length += len(text)
	w.header.Add("Warning", value)
}
