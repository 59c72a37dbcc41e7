package apiserver_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestFieldSelectors selects by each field that v1.37 has for a kind, over HTTPS: what the field says, and anything else.
func TestFieldSelectors(t *testing.T) {
	d := openDoor(t, nil)
	const all = "/api/v1/namespaces/default/"
	d.must(t, 201, "POST", all+"pods", `{"metadata":{"name":"p"},"spec":{"schedulerName":"mine","restartPolicy":"Never","hostNetwork":true,"nodeName":"n","containers":[{"name":"c","image":"i"}]}}`)
	d.must(t, 200, "PATCH", all+"pods/p/status", `{"status":{"phase":"Running","podIPs":[{"ip":"10.97.1.2"}],"podIP":"10.97.1.2","nominatedNodeName":"m"}}`, "Content-Type", "application/merge-patch+json")
	d.must(t, 201, "POST", all+"secrets", `{"metadata":{"name":"s"},"type":"example.com/t"}`)
	d.must(t, 201, "POST", all+"services", `{"metadata":{"name":"v"},"spec":{"type":"NodePort","clusterIP":"10.96.7.7","ports":[{"port":80}]}}`)
	d.must(t, 201, "POST", all+"events", `{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p","uid":"u","apiVersion":"v1","resourceVersion":"7","fieldPath":"spec"},
		"reason":"R","type":"Warning","source":{"component":"k"}}`)
	d.must(t, 201, "POST", "/api/v1/nodes", `{"metadata":{"name":"n"},"spec":{"unschedulable":true}}`)
	for _, c := range []struct{ path, name, fields string }{
		{all + "pods", "p", "spec.nodeName=n spec.restartPolicy=Never spec.schedulerName=mine spec.serviceAccountName=default spec.hostNetwork=true status.phase=Running status.podIP=10.97.1.2 status.nominatedNodeName=m"},
		{all + "secrets", "s", "type=example.com/t"},
		{all + "services", "v", "spec.clusterIP=10.96.7.7 spec.type=NodePort"},
		{all + "events", "e", "involvedObject.kind=Pod involvedObject.namespace=default involvedObject.name=p involvedObject.uid=u involvedObject.apiVersion=v1 involvedObject.resourceVersion=7 involvedObject.fieldPath=spec reason=R type=Warning source=k reportingComponent="},
		{"/apis/events.k8s.io/v1/namespaces/default/events", "e", "regarding.kind=Pod regarding.namespace=default regarding.name=p regarding.uid=u regarding.apiVersion=v1 regarding.resourceVersion=7 regarding.fieldPath=spec reason=R type=Warning"},
		{"/api/v1/nodes", "n", "spec.unschedulable=true"},
		{"/api/v1/namespaces", "default", "status.phase=Active"},
	} {
		for _, field := range append(strings.Fields(c.fields), "metadata.name="+c.name) {
			names := func(selector string) string {
				list, _ := d.must(t, 200, "GET", c.path+"?limit=5&fieldSelector="+selector, "").object(t)["items"].([]any)
				var found []string
				for _, item := range list {
					found = append(found, item.(map[string]any)["metadata"].(map[string]any)["name"].(string))
				}
				return fmt.Sprint(found)
			}
			both := "metadata.name%3D" + c.name + ","
			if got := names(both + strings.Replace(field, "=", "%3D", 1)); got != "["+c.name+"]" {
				t.Errorf("%s by %s: %s", c.path, field, got)
			}
			if got := names(both + strings.Replace(field, "=", "%21%3D", 1)); got != "[]" {
				t.Errorf("%s by the opposite of %s: %s", c.path, field, got)
			}
		}
	}
	for path, field := range map[string]string{
		all + "replicationcontrollers": "status.replicas=0", "/apis/apps/v1/namespaces/default/replicasets": "status.replicas=0",
		"/apis/batch/v1/namespaces/default/jobs": "status.successful=0", all + "pods": "status.podIPs=x",
		"/apis/certificates.k8s.io/v1/certificatesigningrequests": "spec.signerName=a/b",
	} {
		d.must(t, 200, "GET", path+"?fieldSelector="+strings.Replace(field, "=", "%3D", 1), "")
	}
}
