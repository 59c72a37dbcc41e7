package test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestProxies asks pods, services and nodes through the API server, as `kubectl get --raw` does.
func TestProxies(t *testing.T) {
	u := admin(t)
	u.apply(t, "deployments", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}},
		template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}],
			readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}]}}}}`)
	u.apply(t, "services", "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {a: b}, ports: [{name: http, port: 8080, targetPort: 80}]}}")
	var pod corev1.Pod
	eventually(t, "an endpoint", func() bool {
		pods, err := u.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) != 1 {
			return false
		}
		pod = pods.Items[0]
		slices, err := u.DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
		return err == nil && len(slices.Items) == 1 && len(slices.Items[0].Endpoints) == 1 && *slices.Items[0].Endpoints[0].Conditions.Ready
	})
	ask := func(by *user, path string) (string, error) {
		result := by.CoreV1().RESTClient().Get().AbsPath("/api/v1/" + path).Do(t.Context())
		answer, _ := result.Raw()
		return string(answer), result.Error()
	}
	for _, path := range []string{
		"namespaces/default/pods/" + pod.Name + "/proxy/", "namespaces/default/pods/" + pod.Name + ":80/proxy/",
		"namespaces/default/services/web/proxy/", "namespaces/default/services/web:http/proxy/", "namespaces/default/services/http:web:8080/proxy/",
	} {
		if page, err := ask(u, path); err != nil || !strings.Contains(page, pod.Name) {
			t.Errorf("%s: %q, %v", path, page, err)
		}
	}
	for path, message := range map[string]string{
		"namespaces/default/services/web:81/proxy/": `no service port "81" found for service "web"`,
		"namespaces/default/services/none/proxy/":   `services "none" not found`,
		"namespaces/default/pods/none/proxy/":       `pods "none" not found`,
		"nodes/none/proxy/healthz":                  `nodes "none" not found`,
		"nodes/" + pod.Spec.NodeName + "/proxy/no":  "the server could not find the requested resource",
	} {
		_, err := ask(u, path)
		wantMessage(t, err, message)
	}

	node := "nodes/" + pod.Spec.NodeName + "/proxy/"
	if answer, err := ask(u, node+"healthz"); err != nil || answer != "ok" {
		t.Errorf("healthz: %q, %v", answer, err)
	}
	var pods corev1.PodList
	if answer, err := ask(u, node+"pods"); err != nil || json.Unmarshal([]byte(answer), &pods) != nil || len(pods.Items) != 1 || pods.Items[0].UID != pod.UID {
		t.Errorf("pods: %q, %v", answer, err)
	}
	var summary struct {
		Node struct{ NodeName string }
		Pods []struct {
			PodRef     struct{ Name, Namespace, UID string }
			Containers []struct {
				Name   string
				Memory struct{ WorkingSetBytes int64 }
			}
		}
	}
	answer, err := ask(u, node+"stats/summary")
	if err != nil || json.Unmarshal([]byte(answer), &summary) != nil || summary.Node.NodeName != pod.Spec.NodeName || len(summary.Pods) != 1 ||
		summary.Pods[0].PodRef.UID != string(pod.UID) || len(summary.Pods[0].Containers) != 1 || summary.Pods[0].Containers[0].Memory.WorkingSetBytes == 0 {
		t.Errorf("summary: %s, %v", answer, err)
	}
	if answer, err := ask(u, node+"metrics/resource"); err != nil || !strings.Contains(answer, `container_memory_working_set_bytes{container="c",namespace="default",pod="`+pod.Name+`"} `) {
		t.Errorf("metrics: %s, %v", answer, err)
	}
	if _, err := ask(u, node+"containerLogs/default/"+pod.Name+"/c"); err != nil {
		t.Errorf("a log: %v", err)
	}

	// The way through is a right of its own: to read pods is not to visit them.
	u.apply(t, "rolebindings", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: viewer},
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: viewer}]}`)
	_, err = ask(u.posing(t, "viewer"), "namespaces/default/services/web/proxy/")
	wantMessage(t, err, `services "web" is forbidden: User "viewer" cannot get resource "services/proxy" in API group "" in the namespace "default"`)
}
