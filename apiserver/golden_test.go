package apiserver_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The recorded answers in testdata/golden are Kubernetes v1.37.2's. Each case is sent anew, and must be answered in the
// same way: code, reason, causes and message, or the object with every default.

// recordedCase is a request with its recorded answer.
type recordedCase struct {
	ID, Method, Path, Query, Name string
	Body                          map[string]any
	Change                        [][2]any // of the live object, for a PUT
	Code                          int
	Response                      any
}

// needsControllers are the cases whose recorded answers have what a controller wrote in the meantime; they are sent, and
// only their code is compared.
var needsControllers = map[string]bool{"deployment.update-image": true}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded cases: %v", err)
	}
	d := openDoor(t, nil)
	same, all := 0, 0
	for _, file := range files {
		kind := strings.TrimSuffix(filepath.Base(file), ".json")
		var cases []recordedCase
		readJSON(t, file, &cases)
		all += len(cases)
		t.Run(kind, func(t *testing.T) {
			namespace := "golden-" + kind
			d.makeNamespace(t, namespace)
			for _, c := range cases {
				t.Run(c.ID, func(t *testing.T) {
					code, got := d.replay(t, &c, namespace)
					problem := ""
					if code != c.Code {
						problem = fmt.Sprintf("code %d, want %d\n", code, c.Code)
					}
					if !needsControllers[c.ID] {
						problem += cmp.Diff(c.Response, got)
					}
					if problem != "" {
						t.Error(problem)
						return
					}
					same++
				})
			}
		})
	}
	t.Logf("same %d of %d", same, all)
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// makeNamespace makes a namespace and waits for its default account, without which no pod is let in.
func (d *door) makeNamespace(t testing.TB, name string) {
	t.Helper()
	d.must(t, 201, "POST", "/api/v1/namespaces", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+name+`"}}`)
	d.eventually(t, "the default account of "+name, func() bool {
		return d.ask(t, adminToken, "GET", "/api/v1/namespaces/"+name+"/serviceaccounts/default", "").Code == 200
	})
}

// eventually waits for what other goroutines do.
func (d *door) eventually(t testing.TB, what string, seen func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !seen() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (d *door) replay(t *testing.T, c *recordedCase, namespace string) (int, any) {
	t.Helper()
	path := strings.ReplaceAll(c.Path, "{ns}", namespace)
	body, err := json.Marshal(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(body), `"{ns}"`, `"`+namespace+`"`)
	a := d.ask(t, adminToken, "POST", path+"?"+c.Query, text)
	name := c.Name
	if c.Method == "PUT" {
		if a.Code != 200 && a.Code != 201 {
			t.Fatalf("the object to update could not be created: %d %s", a.Code, a.Body)
		}
		live := d.must(t, 200, "GET", path+"/"+name, "").object(t)
		for _, change := range c.Change {
			put(live, change[0].(string), change[1])
		}
		changed, err := json.Marshal(live)
		if err != nil {
			t.Fatal(err)
		}
		a = d.ask(t, adminToken, "PUT", path+"/"+name+"?"+c.Query, string(changed))
	}
	got := parsed(a.Body)
	if object, ok := got.(map[string]any); ok && object["kind"] != "Status" && c.Method != "PUT" {
		name, _ = object["metadata"].(map[string]any)["name"].(string)
	}
	if name != "" {
		d.ask(t, adminToken, "DELETE", path+"/"+name+"?gracePeriodSeconds=0&propagationPolicy=Background", "")
		d.unhold(t, path+"/"+name)
	}
	return a.Code, scrub(got, namespace)
}

// unhold takes the finalizers of a deleted object away, as its controller does.
func (d *door) unhold(t *testing.T, path string) {
	t.Helper()
	if a := d.ask(t, adminToken, "GET", path, ""); a.Code == 200 {
		if object := a.object(t); object["kind"] == "Namespace" {
			object["spec"] = map[string]any{}
			data, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			d.ask(t, adminToken, "PUT", path+"/finalize", string(data))
			return
		}
		d.ask(t, adminToken, "PATCH", path, `{"metadata":{"finalizers":null}}`, "Content-Type", "application/merge-patch+json")
	}
}

func parsed(data []byte) any {
	var value any
	if json.Unmarshal(data, &value) != nil {
		return string(data)
	}
	return value
}

// put sets a value in an object by its path; nil removes it.
func put(object map[string]any, path string, value any) {
	parts := strings.Split(path, ".")
	var at any = object
	for _, part := range parts[:len(parts)-1] {
		switch inner := at.(type) {
		case map[string]any:
			if inner[part] == nil {
				inner[part] = map[string]any{}
			}
			at = inner[part]
		case []any:
			i, _ := strconv.Atoi(part)
			at = inner[i]
		}
	}
	last := parts[len(parts)-1]
	switch inner := at.(type) {
	case map[string]any:
		if value == nil {
			delete(inner, last)
		} else {
			inner[last] = value
		}
	case []any:
		i, _ := strconv.Atoi(last)
		inner[i] = value
	}
}

// The values that vary, as the recording replaced them.
var (
	volatile = map[string]string{"uid": "UID", "creationTimestamp": "TIME", "resourceVersion": "RV", "lastTransitionTime": "TIME",
		"lastUpdateTime": "TIME", "lastProbeTime": "TIME", "lastPhaseTransitionTime": "TIME", "time": "TIME"}
	uids      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	volumes   = regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`)
	generated = regexp.MustCompile(`\bgen-[a-z0-9]{5}\b`)
	fixed     = []any{30080.0, 30081.0, 30082.0}
)

// scrub replaces the values that vary.
func scrub(value any, namespace string) any {
	switch v := value.(type) {
	case map[string]any:
		clean := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if key != "managedFields" {
				clean[key] = scrubField(key, v[key], namespace)
			}
		}
		return clean
	case []any:
		clean := make([]any, len(v))
		for i := range v {
			clean[i] = scrub(v[i], namespace)
		}
		return clean
	case string:
		v = strings.ReplaceAll(v, namespace, "NS")
		v = uids.ReplaceAllString(v, "UID")
		v = volumes.ReplaceAllString(v, "kube-api-access-XXXXX")
		return generated.ReplaceAllString(v, "gen-XXXXX")
	}
	return value
}

func scrubField(key string, value any, namespace string) any {
	text, isText := value.(string)
	switch replacement, varies := volatile[key]; {
	case varies && isText && text != "":
		return replacement
	case key == "clusterIP" && strings.HasPrefix(text, "10."):
		return "IP"
	case key == "clusterIPs":
		list, _ := value.([]any)
		clean := make([]any, len(list))
		for i, ip := range list {
			clean[i] = scrubField("clusterIP", ip, namespace)
		}
		return clean
	case key == "nodePort" && !slices.Contains(fixed, value), key == "healthCheckNodePort":
		return "PORT"
	case key == "nodePort":
		return value
	}
	return scrub(value, namespace)
}

// TestGoldenDiscovery compares the discovery documents of every resource that is served with the recorded ones.
func TestGoldenDiscovery(t *testing.T) {
	d := openDoor(t, nil)
	var recorded map[string]struct {
		Resources []map[string]any
	}
	readJSON(t, "testdata/golden/discovery.json", &recorded)
	for path, document := range recorded {
		if path == "/api" || path == "/apis" {
			continue
		}
		a := d.ask(t, adminToken, "GET", path, "")
		if a.Code == 404 {
			continue
		}
		want := map[string]map[string]any{}
		for _, resource := range document.Resources {
			want[resource["name"].(string)] = resource
		}
		for _, listed := range a.object(t)["resources"].([]any) {
			resource := listed.(map[string]any)
			if diff := cmp.Diff(want[resource["name"].(string)], resource); diff != "" {
				t.Errorf("%s %s: %s", path, resource["name"], diff)
			}
		}
	}
}

// TestGoldenAggregatedDiscovery does so for the form that newer clients ask for.
func TestGoldenAggregatedDiscovery(t *testing.T) {
	d := openDoor(t, nil)
	var recorded map[string]map[string]any
	readJSON(t, "testdata/golden/discovery-aggregated.json", &recorded)
	for path, document := range recorded {
		a := d.must(t, 200, "GET", path, "", "Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
		want, got := aggregatedResources(document), aggregatedResources(a.object(t))
		for name, resource := range got {
			if diff := cmp.Diff(want[name], resource); diff != "" {
				t.Errorf("%s %s: %s", path, name, diff)
			}
		}
		if len(got) == 0 {
			t.Errorf("%s lists nothing", path)
		}
	}
}

func aggregatedResources(document map[string]any) map[string]any {
	resources := map[string]any{}
	items, _ := document["items"].([]any)
	for _, item := range items {
		group := item.(map[string]any)
		name, _ := group["metadata"].(map[string]any)["name"].(string)
		for _, v := range group["versions"].([]any) {
			version := v.(map[string]any)
			for _, r := range version["resources"].([]any) {
				resource := r.(map[string]any)
				resources[fmt.Sprintf("%s/%s %s", name, version["version"], resource["resource"])] = resource
			}
		}
	}
	return resources
}

// TestGoldenColumns compares the columns of every listable resource that is served with the recorded ones.
func TestGoldenColumns(t *testing.T) {
	d := openDoor(t, nil)
	var recorded map[string]any
	readJSON(t, "testdata/golden/table-columns.json", &recorded)
	for _, path := range slices.Sorted(maps.Keys(recorded)) {
		a := d.ask(t, adminToken, "GET", path, "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		if a.Code == 404 {
			continue
		}
		if diff := cmp.Diff(recorded[path], a.object(t)["columnDefinitions"]); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}
