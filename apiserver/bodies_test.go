package apiserver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzBodies sends anything as the body of a create or a server-side apply. The answer is never a failure of the server,
// and a refusal is a Status with the code that HTTP says.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`,
		`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"port":80}]}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","labels":{"a":null}},"spec":{"replicas":1e3}}`,
		`{"kind":"List","items":[{"a":1}]}`, "a: &x [1,2]\nb: *x", "k8s\x00\n\x0b\n\x02v1\x12\x03Pod\x12\x04\n\x02\n\x00", "{", "[]", "null", "- \"", "\xff",
		`{"apiVersion":"v1","kind":"Pod","0":0}`,
	} {
		for kind := range 4 {
			f.Add(kind, kind, body)
		}
	}
	d := openDoor(f, nil)
	handler := d.Handler()
	places := []string{"/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services", "/apis/apps/v1/namespaces/default/deployments"}
	media := []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/apply-patch+yaml"}
	f.Fuzz(func(t *testing.T, place, kind int, body string) {
		method, path := http.MethodPost, places[uint(place)%uint(len(places))]
		content := media[uint(kind)%uint(len(media))]
		if content == "application/apply-patch+yaml" {
			method, path = http.MethodPatch, path+"/x"
		}
		request := httptest.NewRequest(method, path+"?dryRun=All&fieldManager=fuzz&fieldValidation=Strict", strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+adminToken)
		request.Header.Set("Content-Type", content)
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		if response.Code < 300 {
			return
		}
		var status metav1.Status
		if err := json.Unmarshal(response.Body.Bytes(), &status); err != nil || int(status.Code) != response.Code || status.Message == "" {
			t.Errorf("%s %s as %s: %d %s", method, path, content, response.Code, response.Body)
		}
		if strings.HasPrefix(status.Message, "failed to create typed patch object") {
			return // a field that an applied object cannot have is the server's failure in Kubernetes, too
		}
		if response.Code >= 500 {
			t.Errorf("%s %s as %s: %d %s", method, path, content, response.Code, status.Message)
		}
	})
}
