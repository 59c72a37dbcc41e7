package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"

	"kubette/apiserver"
)

// wire is a network that can be cut.
type wire struct {
	mu    sync.Mutex
	mend  chan struct{} // closed when it is whole
	conns []net.Conn
}

func newWire() *wire {
	w := &wire{mend: make(chan struct{})}
	close(w.mend)
	return w
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	whole := w.mend
	w.mu.Unlock()
	select {
	case <-whole:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		w.mu.Lock()
		w.conns = append(w.conns, conn)
		w.mu.Unlock()
	}
	return conn, err
}

// cut ends all connections; new ones wait until repair is called.
func (w *wire) cut() (repair func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mend = make(chan struct{})
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
	return sync.OnceFunc(func() { close(w.mend) })
}

// diary writes down what an informer tells.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(what string, object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, what+" "+object.(metav1.Object).GetName())
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

// follow runs an informer of ConfigMaps with a label until the test ends.
func (d *door) follow(t *testing.T, w *wire) (cache.SharedIndexInformer, *diary) {
	t.Helper()
	config := d.restConfig(adminToken)
	config.Dial = w.dial
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace("default"),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "seen=yes" }))
	informer, notes := factory.Core().V1().ConfigMaps().Informer(), &diary{}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { notes.add("add", object) },
		UpdateFunc: func(_, object any) { notes.add("update", object) },
		DeleteFunc: func(object any) { notes.add("delete", object) },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	for kind, synced := range factory.WaitForCacheSync(t.Context().Done()) {
		if !synced {
			t.Fatalf("%v did not sync", kind)
		}
	}
	return informer, notes
}

func labelled(name, seen string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"seen": seen}}}
}

func (d *door) clientset(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	config := d.restConfig(adminToken)
	config.QPS = -1 // as fast as it can
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// An informer of client-go sees objects come, change, go, and begin and cease to match; and when it was away for so long
// that its revision is compacted, it lists anew and misses nothing.
func TestInformersFollow(t *testing.T) {
	d, w := openDoor(t, nil), newWire()
	maps := d.clientset(t).CoreV1().ConfigMaps("default")
	create := func(object *corev1.ConfigMap) {
		t.Helper()
		if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	update := func(object *corev1.ConfigMap) {
		t.Helper()
		if _, err := maps.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := maps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create(labelled("before", "yes"))
	informer, notes := d.follow(t, w)

	create(labelled("a", "yes"))
	create(labelled("b", "no"))
	update(labelled("b", "yes")) // begins to match
	changed := labelled("a", "yes")
	changed.Data = map[string]string{"k": "v"}
	update(changed)
	update(labelled("a", "no")) // ceases
	remove("b")
	want := []string{"add before", "add a", "add b", "update a", "delete a", "delete b"}
	d.eventually(t, "all that happened", func() bool { return len(notes.all()) == len(want) })
	if diff := cmp.Diff(want, notes.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}

	repair := w.cut()
	defer repair()
	remove("before")
	create(labelled("after", "yes"))
	apiserver.CompactForTest(t, d.Server)
	repair()
	d.eventually(t, "the present state", func() bool {
		keys := informer.GetStore().ListKeys()
		return len(keys) == 1 && keys[0] == "default/after"
	})
	d.eventually(t, "what happened meanwhile", func() bool {
		told := strings.Join(notes.all(), ", ")
		return strings.Contains(told, "delete before") && strings.Contains(told, "add after")
	})
	create(labelled("later", "yes"))
	d.eventually(t, "what happens then", func() bool { return strings.HasSuffix(strings.Join(notes.all(), ", "), "add later") })
}

// Many programs that add to one number, each as client-go has it done, lose none.
func TestRetriesOnConflictLoseNothing(t *testing.T) {
	d := openDoor(t, nil)
	maps := d.clientset(t).CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Data: map[string]string{"n": "0"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const writers, each = 6, 20
	patient := retry.DefaultBackoff
	patient.Steps = 100
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				err := retry.RetryOnConflict(patient, func() error {
					object, err := maps.Get(t.Context(), "n", metav1.GetOptions{})
					if err != nil {
						return err
					}
					n, err := strconv.Atoi(object.Data["n"])
					if err != nil {
						return err
					}
					object.Data["n"] = strconv.Itoa(n + 1)
					_, err = maps.Update(t.Context(), object, metav1.UpdateOptions{})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if object, err := maps.Get(t.Context(), "n", metav1.GetOptions{}); err != nil || object.Data["n"] != strconv.Itoa(writers*each) {
		t.Errorf("%v, %v, wanted %d", object.Data, err, writers*each)
	}
}

// The dynamic client finds a kind by discovery and works on it without its Go type: apply with conflicts, watch, paged
// lists, deletecollection.
func TestDynamicClient(t *testing.T) {
	d := openDoor(t, nil)
	config := d.restConfig(adminToken)
	finder, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(finder)
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	deployments := client.Resource(mapping.Resource).Namespace("default")
	wanted := func(name string, replicas int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name},
			"spec": map[string]any{
				"replicas": replicas, "selector": map[string]any{"matchLabels": map[string]any{"app": name}},
				"template": map[string]any{
					"metadata": map[string]any{"labels": map[string]any{"app": name}},
					"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": "nginx"}}},
				},
			},
		}}
	}
	ctx := t.Context()
	if _, err := deployments.Apply(ctx, "web", wanted("web", 2), metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		t.Fatal(err)
	}
	_, err = deployments.Apply(ctx, "web", wanted("web", 5), metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "one": .spec.replicas`) {
		t.Errorf("a field of somebody else's: %v", err)
	}
	taken, err := deployments.Apply(ctx, "web", wanted("web", 5), metav1.ApplyOptions{FieldManager: "two", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(taken.Object, "spec", "replicas"); n != 5 {
		t.Errorf("%d replicas", n)
	}

	events, err := deployments.Watch(ctx, metav1.ListOptions{ResourceVersion: taken.GetResourceVersion()})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	for i := range 5 {
		if _, err := deployments.Create(ctx, wanted(fmt.Sprint("d", i), 0), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if event := <-events.ResultChan(); event.Type != "ADDED" || event.Object.(*unstructured.Unstructured).GetName() != fmt.Sprint("d", i) {
			t.Errorf("the watch tells %v", event)
		}
	}
	var names []string
	for next, first := "", true; first || next != ""; first = false {
		page, err := deployments.List(ctx, metav1.ListOptions{Limit: 2, Continue: next})
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Items {
			names = append(names, page.Items[i].GetName())
		}
		if next = page.GetContinue(); first { // what is made now belongs to no page
			if _, err := deployments.Create(ctx, wanted("d9", 0), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff([]string{"d0", "d1", "d2", "d3", "d4", "web"}, names); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	if err := deployments.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if left, err := deployments.List(ctx, metav1.ListOptions{}); err != nil || len(left.Items) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A client that asks for a watch and does not read it costs the others nothing, and is let go with 410 Gone when what it
// has not read is compacted.
func TestAClientThatDoesNotRead(t *testing.T) {
	d := openDoor(t, nil)
	maps := d.clientset(t).CoreV1().ConfigMaps("default")
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begin := url.Values{"watch": {"true"}, "resourceVersion": {list.ResourceVersion}}.Encode()
	address := strings.TrimPrefix(d.URL, "https://")
	stuck, err := tls.Dial("tcp", address, &tls.Config{RootCAs: d.CA.Pool(), ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprintf(stuck, "GET /api/v1/namespaces/default/configmaps?%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", begin, address, adminToken)

	attentive := json.NewDecoder(d.openWatch(t, "/api/v1/namespaces/default/configmaps?"+begin, "application/json"))
	const many = 3000
	big := strings.Repeat("x", 20_000) // 60 MB in all: more than is kept for a connection anywhere
	for i := range many {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("c", i)}, Data: map[string]string{"big": big}}
		if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		var event struct{ Object corev1.ConfigMap }
		if err := attentive.Decode(&event); err != nil || event.Object.Name != object.Name {
			t.Fatalf("who reads is told of %s, %v, and not of %s", event.Object.Name, err, object.Name)
		}
	}
	apiserver.CompactForTest(t, d.Server)

	_ = stuck.SetReadDeadline(time.Now().Add(30 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(stuck), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	events := json.NewDecoder(response.Body)
	for told := 0; ; told++ {
		var event struct {
			Type   string
			Object struct{ Code int }
		}
		err := events.Decode(&event)
		switch {
		case err != nil:
			t.Fatalf("after %d events: %v", told, err)
		case event.Type == "ERROR" && event.Object.Code == http.StatusGone:
			if err := events.Decode(&event); err != io.EOF {
				t.Errorf("after 410: %v", err)
			}
			return
		case event.Type != "ADDED" || told >= many:
			t.Fatalf("event %d is %+v", told, event)
		}
	}
}
