package test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"kubette/cluster"
	"kubette/cluster/clustertest"
)

// user is a program outside the cluster, with client-go's clients, over HTTPS.
type user struct {
	kubernetes.Interface
	dynamic dynamic.Interface
	config  *rest.Config
}

// admin runs a whole cluster in real time, on simulated containers, and is its administrator.
func admin(t *testing.T) *user {
	t.Helper()
	made := clustertest.Start(t, cluster.Config{Workers: 1, Runtime: cluster.RuntimeSim})
	config, err := clientcmd.BuildConfigFromFlags("", made.State().Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	return newUser(t, config)
}

func newUser(t *testing.T, config *rest.Config) *user {
	t.Helper()
	config.QPS, config.Burst = -1, -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &user{typed, untyped, config}
}

// as is the same program with other credentials: none, or what change sets.
func (u *user) as(t *testing.T, change func(*rest.Config)) *user {
	t.Helper()
	config := rest.AnonymousClientConfig(u.config)
	change(config)
	return newUser(t, config)
}

// posing impersonates somebody.
func (u *user) posing(t *testing.T, name string, groups ...string) *user {
	t.Helper()
	config := rest.CopyConfig(u.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	return newUser(t, config)
}

// apply applies a manifest as a server-side apply does. Namespaced objects land in the namespace default.
func (u *user) apply(t *testing.T, resource, manifest string) *unstructured.Unstructured {
	t.Helper()
	made, err := u.tryApply(t, resource, manifest)
	if err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	return made
}

func (u *user) tryApply(t *testing.T, resource, manifest string) (*unstructured.Unstructured, error) {
	t.Helper()
	object := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if err := object.UnmarshalJSON(data); err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	version := object.GroupVersionKind().GroupVersion()
	var to dynamic.ResourceInterface = u.dynamic.Resource(version.WithResource(resource))
	if !clusterWide[resource] {
		to = u.dynamic.Resource(version.WithResource(resource)).Namespace(metav1.NamespaceDefault)
	}
	return to.Patch(t.Context(), object.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: "test", Force: new(true)})
}

var clusterWide = map[string]bool{"namespaces": true, "customresourcedefinitions": true, "ingressclasses": true, "storageclasses": true,
	"clusterroles": true, "clusterrolebindings": true, "persistentvolumes": true, "priorityclasses": true}

// at is where the objects of a kind in the namespace default are.
func (u *user) at(group, version, resource string) dynamic.ResourceInterface {
	return u.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource}).Namespace(metav1.NamespaceDefault)
}

// eventually waits for what the cluster does by itself.
func eventually(t *testing.T, what string, seen func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !seen() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wantMessage wants an answer to be a refusal with a message.
func wantMessage(t *testing.T, err error, message string) {
	t.Helper()
	if err == nil || err.Error() != message {
		t.Errorf("got  %v\nwant %s", err, message)
	}
}
