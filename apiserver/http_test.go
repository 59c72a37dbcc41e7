package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubette/apiserver"
)

const aConfigMap = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}`

func TestRefusals(t *testing.T) {
	d := openDoor(t, nil)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps", aConfigMap)
	for _, c := range []struct {
		name, token, method, path, body, header, value string
		code                                           int
		reason, message                                string
	}{
		{name: "no credentials", method: "GET", path: "/api/v1/pods", code: 403, reason: "Forbidden",
			message: `pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope`},
		{name: "wrong token", token: "wrong", method: "GET", path: "/version", code: 401, reason: "Unauthorized", message: "Unauthorized"},
		{name: "no rights", token: nobodyToken, method: "GET", path: "/api/v1/namespaces/default/configmaps/a", code: 403, reason: "Forbidden",
			message: `configmaps "a" is forbidden: User "nobody" cannot get resource "configmaps" in API group "" in the namespace "default"`},
		{name: "no rights come before a bad body", token: nobodyToken, method: "POST", path: "/api/v1/namespaces/default/configmaps", body: "{", code: 403,
			reason: "Forbidden", message: `configmaps is forbidden: User "nobody" cannot create resource "configmaps" in API group "" in the namespace "default"`},
		{name: "no rights on a path", token: nobodyToken, method: "GET", path: "/metrics", code: 403, reason: "Forbidden",
			message: `forbidden: User "nobody" cannot get path "/metrics"`},
		{name: "impersonation without rights", token: nobodyToken, method: "GET", path: "/api/v1/pods", header: "Impersonate-User", value: "jane", code: 403,
			reason: "Forbidden", message: `users "jane" is forbidden: User "nobody" cannot impersonate resource "users" in API group "" at the cluster scope`},
		{name: "impersonated without rights", token: adminToken, method: "GET", path: "/api/v1/pods", header: "Impersonate-User", value: "jane", code: 403,
			reason: "Forbidden", message: `pods is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope`},
		{name: "missing object", token: adminToken, method: "GET", path: "/api/v1/namespaces/default/pods/x", code: 404, reason: "NotFound", message: `pods "x" not found`},
		{name: "post to an object", token: adminToken, method: "POST", path: "/api/v1/namespaces/default/configmaps/a", body: aConfigMap, code: 405,
			reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource"},
		{name: "post without a namespace", token: adminToken, method: "POST", path: "/api/v1/configmaps", body: aConfigMap, code: 405,
			reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource"},
		{name: "delete all namespaces", token: adminToken, method: "DELETE", path: "/api/v1/namespaces", code: 405,
			reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource"},
		{name: "unacceptable", token: adminToken, method: "GET", path: "/api/v1/pods", header: "Accept", value: "text/csv", code: 406, reason: "NotAcceptable",
			message: "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{name: "unknown encoding", token: adminToken, method: "POST", path: "/api/v1/namespaces/default/configmaps", body: "x", header: "Content-Type", value: "text/csv",
			code: 415, reason: "UnsupportedMediaType",
			message: "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{name: "unknown patch", token: adminToken, method: "PATCH", path: "/api/v1/namespaces/default/configmaps/a", body: "{}", header: "Content-Type", value: "application/json",
			code: 415, reason: "UnsupportedMediaType",
			message: "415: Unsupported Media Type"},
		{name: "bad limit", token: adminToken, method: "GET", path: "/api/v1/pods?limit=x", code: 400, reason: "BadRequest",
			message: `strconv.ParseInt: parsing "x": invalid syntax`},
		{name: "bad timeout", token: adminToken, method: "GET", path: "/api/v1/pods?timeout=x", code: 400, reason: "BadRequest",
			message: `invalid timeout specified in the request URL - time: invalid duration "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = []string{c.header, c.value}
			}
			a := d.ask(t, c.token, c.method, c.path, c.body, headers...)
			var status metav1.Status
			if err := json.Unmarshal(a.Body, &status); err != nil {
				t.Fatalf("no status: %d %s", a.Code, a.Body)
			}
			got := []any{a.Code, string(status.Reason), status.Message, int(status.Code)}
			if diff := cmp.Diff([]any{c.code, c.reason, c.message, c.code}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnknownPaths(t *testing.T) {
	d := openDoor(t, nil)
	for _, path := range []string{"/nonsense", "/apis/nonsense/v1", "/api/v2"} {
		if a := d.ask(t, adminToken, "GET", path, ""); a.Code != 404 || strings.TrimSpace(string(a.Body)) != "404 page not found" {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
	// Within a group and version that is served there is a status; a wrong verb has one, too.
	const none, verb = "the server could not find the requested resource", "the server does not allow this method on the requested resource"
	for _, c := range []struct {
		method, path string
		code         int
		message      string
	}{
		{"GET", "/api/v1/bananas", 404, none},
		{"GET", "/api/v1/namespaces/default/bananas/x", 404, none},
		{"GET", "/apis/apps/v1/deployments/x", 404, none},
		{"GET", "/apis/apps/v9/deployments", 404, none},
		{"GET", "/api/v1/namespaces/default/configmaps/x/status", 404, none},
		{"POST", "/apis/apps/v1/namespaces/default/deployments/x/scale", 405, verb},
		{"GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 405, verb},
	} {
		a := d.ask(t, adminToken, c.method, c.path, "{}")
		var status metav1.Status
		if err := json.Unmarshal(a.Body, &status); err != nil || a.Code != c.code || status.Message != c.message {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.Code, a.Body)
		}
	}
}

func TestHealth(t *testing.T) {
	d := openDoor(t, nil)
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		if a := d.ask(t, "", "GET", path, ""); a.Code != 200 || string(a.Body) != "ok" {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
	d.must(t, 200, "GET", "/readyz/ping", "")
	d.must(t, 404, "GET", "/readyz/nonsense", "")
	if a := d.ask(t, "", "GET", "/readyz?verbose", ""); !strings.Contains(string(a.Body), "[+]store ok\nreadyz check passed") {
		t.Errorf("verbose: %s", a.Body)
	}
}

func TestEncodings(t *testing.T) {
	d := openDoor(t, nil)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n", "Content-Type", "application/yaml")
	path := "/api/v1/namespaces/default/configmaps/a"
	if a := d.must(t, 200, "GET", path, "", "Accept", "application/yaml"); !strings.Contains(string(a.Body), "kind: ConfigMap\n") || a.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("yaml: %s %s", a.Header.Get("Content-Type"), a.Body)
	}
	if a := d.must(t, 200, "GET", path, "", "Accept", "application/vnd.kubernetes.protobuf"); !bytes.HasPrefix(a.Body, []byte("k8s\x00")) {
		t.Errorf("protobuf: %q", a.Body)
	}
	if a := d.must(t, 200, "GET", path+"?pretty=true", ""); !strings.HasPrefix(string(a.Body), "{\n  \"kind\": \"ConfigMap\"") {
		t.Errorf("pretty: %s", a.Body)
	}
	partial := d.must(t, 200, "GET", path, "", "Accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").object(t)
	if partial["kind"] != "PartialObjectMetadata" || partial["data"] != nil {
		t.Errorf("metadata only: %v", partial)
	}
	list := d.must(t, 200, "GET", "/api/v1/configmaps", "", "Accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").object(t)
	if list["kind"] != "PartialObjectMetadataList" || len(list["items"].([]any)) == 0 {
		t.Errorf("metadata list: %v", list)
	}
}

func TestBigAnswersAreCompressed(t *testing.T) {
	d := openDoor(t, nil)
	big := strings.Replace(aConfigMap, `"v"`, `"`+strings.Repeat("x", 300_000)+`"`, 1)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps", big)
	path := "/api/v1/namespaces/default/configmaps/a"
	a := d.must(t, 200, "GET", path, "", "Accept-Encoding", "gzip")
	if a.Header.Get("Content-Encoding") != "gzip" || len(a.Body) > 10_000 {
		t.Errorf("%q, %d bytes", a.Header.Get("Content-Encoding"), len(a.Body))
	}
	if a := d.must(t, 200, "GET", "/api/v1/namespaces/default", "", "Accept-Encoding", "gzip"); a.Header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
}

func TestTables(t *testing.T) {
	d := openDoor(t, nil)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps", aConfigMap)
	const accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
	path := "/api/v1/namespaces/default/configmaps"
	for include, kind := range map[string]any{"None": nil, "": "PartialObjectMetadata", "Metadata": "PartialObjectMetadata", "Object": "ConfigMap"} {
		table := d.must(t, 200, "GET", path+"?includeObject="+include, "", "Accept", accept).object(t)
		rows := table["rows"].([]any)
		if table["kind"] != "Table" || len(rows) != 1 {
			t.Fatalf("%v", table)
		}
		row := rows[0].(map[string]any)
		object, _ := row["object"].(map[string]any)
		if object["kind"] != kind || row["cells"].([]any)[0] != "a" {
			t.Errorf("includeObject=%s: %v", include, row)
		}
	}
	d.must(t, 400, "GET", path+"?includeObject=All", "", "Accept", accept)
	// A status is no table, whatever is asked for.
	if a := d.must(t, 404, "GET", path+"/none", "", "Accept", accept).object(t); a["kind"] != "Status" {
		t.Errorf("%v", a)
	}
}

func TestWarningsBecomeHeaders(t *testing.T) {
	d := openDoor(t, nil)
	a := d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Warn", strings.Replace(aConfigMap, `"data"`, `"datta":1,"data"`, 1))
	if got := a.Header.Get("Warning"); got != `299 - "unknown field \"datta\""` {
		t.Errorf("Warning: %s", got)
	}
}

// A deprecated kind says so with every answer, also when it cannot read the request.
func TestDeprecatedKindsWarn(t *testing.T) {
	d := openDoor(t, nil)
	const path = "/api/v1/namespaces/default/endpoints"
	for method, body := range map[string]string{"GET": "", "POST": "no object"} {
		a := d.ask(t, adminToken, method, path, body)
		if got := a.Header.Get("Warning"); got != `299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"` {
			t.Errorf("%s: Warning: %s", method, got)
		}
	}
}

// A dry run reserves no node port, so it does not look at one that is asked for.
func TestDryRunDoesNotReserveNodePorts(t *testing.T) {
	d := openDoor(t, nil)
	const service = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":80}]}}`
	d.must(t, 201, "POST", "/api/v1/namespaces/default/services?dryRun=All", service)
	d.must(t, 422, "POST", "/api/v1/namespaces/default/services", service)
	free := strings.Replace(service, `"nodePort":80`, `"nodePort":30080`, 1)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/services", free)
	again := strings.Replace(free, `"name":"s"`, `"name":"t"`, 1)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/services?dryRun=All", again)
	d.must(t, 422, "POST", "/api/v1/namespaces/default/services", again) // the dry run did not free what is taken
}

// openWatch opens a watch and returns its body.
func (d *door) openWatch(t *testing.T, path, accept string) io.ReadCloser {
	t.Helper()
	request, err := http.NewRequest("GET", d.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+adminToken)
	request.Header.Set("Accept", accept)
	response, err := d.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("%d: %s", response.StatusCode, body)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response.Body
}

func TestWatchFrames(t *testing.T) {
	d := openDoor(t, nil)
	d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps", aConfigMap)
	path := "/api/v1/namespaces/default/configmaps?watch=true"

	t.Run("json", func(t *testing.T) {
		line, err := bufio.NewReader(d.openWatch(t, path, "application/json")).ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var event struct {
			Type   string
			Object corev1.ConfigMap
		}
		if err := json.Unmarshal(line, &event); err != nil || event.Type != "ADDED" || event.Object.Kind != "ConfigMap" || event.Object.Data["k"] != "v" {
			t.Errorf("%v: %s", err, line)
		}
	})
	t.Run("old path", func(t *testing.T) {
		d.must(t, 201, "POST", "/api/v1/namespaces/default/configmaps", strings.Replace(aConfigMap, `"a"`, `"0"`, 1))
		line, err := bufio.NewReader(d.openWatch(t, "/api/v1/watch/namespaces/default/configmaps/a", "application/json")).ReadBytes('\n')
		if err != nil || !bytes.Contains(line, []byte(`"name":"a"`)) {
			t.Errorf("%v: %s", err, line)
		}
		d.must(t, 200, "DELETE", "/api/v1/namespaces/default/configmaps/0", "")
	})
	t.Run("protobuf", func(t *testing.T) {
		body := d.openWatch(t, path, "application/vnd.kubernetes.protobuf")
		var length uint32
		if err := binary.Read(body, binary.BigEndian, &length); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, length)
		if _, err := io.ReadFull(body, frame); err != nil {
			t.Fatal(err)
		}
		var event metav1.WatchEvent
		if err := event.Unmarshal(frame); err != nil || event.Type != "ADDED" || !bytes.HasPrefix(event.Object.Raw, []byte("k8s\x00")) {
			t.Errorf("%v: %v", err, event)
		}
	})
	t.Run("table", func(t *testing.T) {
		reader := bufio.NewReader(d.openWatch(t, path, "application/json;as=Table;v=v1;g=meta.k8s.io"))
		d.must(t, 200, "PATCH", "/api/v1/namespaces/default/configmaps/a", `{"data":{"l":"w"}}`, "Content-Type", "application/merge-patch+json")
		for i, wantColumns := range []bool{true, false} {
			line, err := reader.ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			var event struct{ Object metav1.Table }
			if err := json.Unmarshal(line, &event); err != nil || (len(event.Object.ColumnDefinitions) > 0) != wantColumns || len(event.Object.Rows) != 1 {
				t.Errorf("event %d: %v: %s", i, err, line)
			}
		}
	})
}

func TestWatchEndsWithTheServer(t *testing.T) {
	var stream io.ReadCloser
	t.Run("a server", func(t *testing.T) {
		d := openDoor(t, nil)
		request, _ := http.NewRequest("GET", d.URL+"/api/v1/pods?watch=true", nil)
		request.Header.Set("Authorization", "Bearer "+adminToken)
		response, err := d.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		stream = response.Body
	}) // the cleanup waits until Serve has returned
	if rest, _ := io.ReadAll(stream); len(rest) != 0 {
		t.Errorf("left over: %s", rest)
	}
	stream.Close()
}

// TestTypedClient drives the server with client-go, in both encodings, as a user's program does.
func TestTypedClient(t *testing.T) {
	d := openDoor(t, nil)
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		t.Run(media, func(t *testing.T) {
			config := d.restConfig(adminToken)
			config.ContentType, config.AcceptContentTypes = media, media
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			maps := client.CoreV1().ConfigMaps("default")
			ctx := t.Context()
			events, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=c"})
			if err != nil {
				t.Fatal(err)
			}
			defer events.Stop()
			made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if event := <-events.ResultChan(); event.Type != watch.Added || cmp.Diff(made, event.Object) != "" {
				t.Errorf("%v", cmp.Diff(made, event.Object))
			}
			listed, err := maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=c"})
			if err != nil || len(listed.Items) != 1 || cmp.Diff(*made, listed.Items[0]) != "" {
				t.Errorf("%v %v", err, listed)
			}
			if err := maps.Delete(ctx, "c", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if event := <-events.ResultChan(); event.Type != watch.Deleted {
				t.Errorf("%v", event)
			}
		})
	}
}

func TestClientCertificates(t *testing.T) {
	d := openDoor(t, nil)
	certificate, key, err := d.CA.ClientCertificate("kubernetes-admin", "kubeadm:cluster-admins")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: d.URL, TLSClientConfig: rest.TLSClientConfig{CAData: d.CA.PEM(), CertData: certificate, KeyData: key}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	d := openDoor(t, func(c *apiserver.Config) { c.Authorizer = panics{} })
	if a := d.ask(t, adminToken, "GET", "/api/v1/nodes", ""); a.Code != 500 {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

type panics struct{}

func (panics) Authorize(_ context.Context, a apiserver.Attributes) (bool, string, error) {
	if a.Resource == "nodes" {
		panic("a mistake")
	}
	return true, "", nil
}
