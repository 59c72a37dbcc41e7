package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// applied is what became of one document of what a user applies.
type applied struct {
	Ref
	APIVersion string          `json:"apiVersion,omitempty"`
	Code       int             `json:"code"`               // the API server's answer
	Before     json.RawMessage `json:"before,omitempty"`   // the object as it was, absent when there was none
	After      json.RawMessage `json:"after,omitempty"`    // the object as it is, or would be
	Warnings   []string        `json:"warnings,omitempty"` // the API server's
	Problem    *metav1.Status  `json:"problem,omitempty"`  // why it was refused
}

// maxManifest bounds what is applied at once, in bytes.
const maxManifest = 3 << 20

// serveApply does what `kubectl apply --server-side` does, for each document of a manifest: with dryRun the API server goes
// through everything but the last step. It goes on after a document that is refused, as kubectl does.
func (s *Server) serveApply(w http.ResponseWriter, r *http.Request) {
	documents, err := splitManifest(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	options := url.Values{"fieldManager": {"kubectl"}, "fieldValidation": {"Strict"}}
	if query.Get("dryRun") == "true" {
		options.Set("dryRun", "All")
	}
	if query.Get("force") == "true" {
		options.Set("force", "true")
	}
	namespace := query.Get("ns")
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	results := []*applied{}
	for _, document := range documents {
		results = append(results, s.applyOne(r.Context(), document, namespace, options))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(results)
}

// splitManifest returns the documents of a manifest as YAML, without those that are empty.
func splitManifest(from io.Reader) ([][]byte, error) {
	reader := yaml.NewYAMLReader(bufio.NewReader(from))
	var documents [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the manifest: %w", err)
		}
		var any map[string]any
		if sigsyaml.Unmarshal(document, &any) == nil && len(any) == 0 {
			continue
		}
		documents = append(documents, document)
	}
}

func (s *Server) applyOne(ctx context.Context, document []byte, namespace string, options url.Values) *applied {
	result := &applied{}
	refuse := func(code int, message string) *applied {
		result.Code, result.Problem = code, &metav1.Status{Status: metav1.StatusFailure, Code: int32(code), Message: message}
		return result
	}
	var head metav1.PartialObjectMetadata
	if err := sigsyaml.Unmarshal(document, &head); err != nil {
		return refuse(http.StatusBadRequest, "this is not YAML: "+strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
	}
	result.APIVersion, result.Kind, result.Name = head.APIVersion, head.Kind, head.Name
	switch {
	case head.APIVersion == "" || head.Kind == "":
		return refuse(http.StatusBadRequest, "a manifest begins with apiVersion and kind")
	case head.Name == "":
		return refuse(http.StatusBadRequest, "metadata.name is missing")
	}
	at, row, err := s.resource(ctx, head.APIVersion, head.Kind)
	if err != nil {
		return refuse(http.StatusNotFound, err.Error())
	}
	result.Resource = row.Name
	if group, _, ok := strings.Cut(head.APIVersion, "/"); ok {
		result.Resource += "." + group
	}
	if row.Namespaced {
		if result.Namespace = head.Namespace; result.Namespace == "" {
			result.Namespace = namespace
		}
		at += "/namespaces/" + url.PathEscape(result.Namespace)
	}
	at += "/" + row.Name + "/" + url.PathEscape(head.Name)
	if code, _, body := s.ask(ctx, http.MethodGet, at, nil, nil); code == http.StatusOK {
		result.Before = withoutManagedFields(body)
	}
	code, header, body := s.ask(ctx, http.MethodPatch, at+"?"+options.Encode(), document, http.Header{"Content-Type": {"application/apply-patch+yaml"}})
	result.Code = code
	for _, warning := range header.Values("Warning") {
		result.Warnings = append(result.Warnings, warningText(warning))
	}
	if code >= http.StatusBadRequest {
		result.Problem = &metav1.Status{}
		if err := json.Unmarshal(body, result.Problem); err != nil {
			return refuse(code, strings.TrimSpace(string(body)))
		}
		return result
	}
	result.After = withoutManagedFields(body)
	return result
}

// resource finds where the objects of a kind are in the API.
func (s *Server) resource(ctx context.Context, apiVersion, kind string) (string, *metav1.APIResource, error) {
	at := "/apis/" + apiVersion
	if !strings.Contains(apiVersion, "/") {
		at = "/api/" + apiVersion
	}
	var list metav1.APIResourceList
	if code, _, body := s.ask(ctx, http.MethodGet, at, nil, nil); code == http.StatusOK {
		if err := json.Unmarshal(body, &list); err != nil {
			return "", nil, fmt.Errorf("read what the API serves: %w", err)
		}
	}
	for i := range list.APIResources {
		if row := &list.APIResources[i]; row.Kind == kind && !strings.Contains(row.Name, "/") {
			return at, row, nil
		}
	}
	// kubectl's own words.
	return "", nil, fmt.Errorf("no matches for kind %q in version %q", kind, apiVersion)
}

// ask sends a request to the API server in this process.
func (s *Server) ask(ctx context.Context, method, target string, body []byte, header http.Header) (int, http.Header, []byte) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadRequest, http.Header{}, []byte(err.Error())
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Accept", "application/json")
	got := &kept{header: http.Header{}, code: http.StatusOK}
	s.config.API.ServeHTTP(got, s.asAPI(request))
	return got.code, got.header, got.body.Bytes()
}

// kept is an answer that is kept.
type kept struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header                { return k.header }
func (k *kept) WriteHeader(code int)               { k.code = code }
func (k *kept) Write(data []byte) (n int, _ error) { return k.body.Write(data) }

func withoutManagedFields(data []byte) json.RawMessage {
	var object map[string]any
	if json.Unmarshal(data, &object) != nil {
		return data
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
	}
	short, err := json.Marshal(object)
	if err != nil {
		return data
	}
	return short
}

// warningText is the text of a Warning header: 299 - "text".
func warningText(header string) string {
	_, quoted, ok := strings.Cut(header, `"`)
	if !ok {
		return header
	}
	text := strings.TrimSuffix(quoted, `"`)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text)
}
