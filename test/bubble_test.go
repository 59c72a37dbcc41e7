package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"

	"kubette/client"
	"kubette/cluster"
	"kubette/store"
)

// bubble is a whole cluster in virtual time, as a test sees it.
type bubble struct {
	*cluster.Cluster
	t        *testing.T
	loopback *loopback
	begun    time.Time
	config   cluster.Config
	ended    chan error
}

// inBubble runs a test on a cluster of its own that is ready. Time begins then, and stands still while anybody is busy.
func inBubble(t *testing.T, workers int, test func(c *bubble)) {
	t.Helper()
	inBubbleOver(t, workers, nil, test)
}

// inBubbleOver is inBubble over a store of the test's, so that the cluster can be stopped and begin again with what it had.
func inBubbleOver(t *testing.T, workers int, over func() store.Store, test func(c *bubble)) {
	t.Helper()
	t.Setenv("KUBETTE_HOME", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		ports := &loopback{}
		c := &bubble{t: t, loopback: ports, config: cluster.Config{Name: "bubble", Workers: workers, Runtime: cluster.RuntimeSim, Loopback: ports}}
		if over == nil {
			c.config.Ephemeral = true
		} else {
			c.config.Store = over()
			defer func() { _ = c.config.Store.Close() }()
		}
		c.up()
		defer c.down()
		c.Pass(time.Second)
		c.begun = time.Now()
		test(c)
	})
}

// up runs the cluster, and returns when it is ready.
func (c *bubble) up() {
	c.t.Helper()
	made, err := cluster.New(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- made.Run(context.Background()) }()
	select {
	case err := <-ended:
		c.t.Fatal(err)
	case <-made.Ready():
	}
	c.Cluster, c.ended = made, ended
}

// down stops the cluster.
func (c *bubble) down() {
	c.Stop()
	if err := <-c.ended; err != nil {
		c.t.Error(err)
	}
}

// Apply applies manifests, as kubectl apply --server-side does.
func (c *bubble) Apply(manifests ...string) {
	c.t.Helper()
	for _, document := range strings.Split(strings.Join(manifests, "\n---\n"), "\n---\n") {
		object, kind, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(document), nil, nil)
		if err != nil {
			c.t.Fatalf("%v in\n%s", err, document)
		}
		about, err := meta.Accessor(object)
		if err != nil {
			c.t.Fatal(err)
		}
		resource, _ := meta.UnsafeGuessKindToResource(*kind)
		force := true
		_, err = c.AdminClient().Patch(c.t.Context(), resource, metav1.NamespaceDefault, about.GetName(), types.ApplyPatchType, []byte(document),
			metav1.PatchOptions{FieldManager: "test", Force: &force})
		if err != nil {
			c.t.Fatalf("%v in\n%s", err, document)
		}
	}
}

// Settle returns when nobody in the cluster has anything more to do at this moment.
func (c *bubble) Settle() { synctest.Wait() }

// Pass lets time pass, and settles.
func (c *bubble) Pass(d time.Duration) {
	time.Sleep(d)
	c.Settle()
}

// Want compares what is there now with lines of text.
func (c *bubble) Want(what string, got []string, want ...string) {
	c.t.Helper()
	if difference := cmp.Diff(want, got); difference != "" {
		c.t.Fatalf("%s after %s (-want +got):\n%s", what, time.Since(c.begun), difference)
	}
}

// Visit requests a page through the ingress.
func (c *bubble) Visit(host, path string) string {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.State().Running.HTTPURL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Host = host
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return c.loopback.Dial(ctx, address) }}}
	answer, err := browser.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(body)))
}

// each describes the objects of one kind in the default namespace, in the order of their names.
func each[T client.Object](c *bubble, describe func(T) string) []string {
	c.t.Helper()
	all, err := client.Of[T](c.AdminClient()).List(c.t.Context(), metav1.NamespaceDefault, metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var lines []string
	for _, object := range all {
		lines = append(lines, describe(object))
	}
	return lines
}

// follow calls a function with the objects of a kind, by name, after each single change. It returns how to end that.
func follow[T client.Object](c *bubble, seen func(at time.Duration, all map[string]T)) (end func()) {
	c.t.Helper()
	watching, err := client.Of[T](c.AdminClient()).Watch(c.t.Context(), metav1.NamespaceDefault, metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		all := map[string]T{}
		for event := range watching.ResultChan() {
			object, ok := event.Object.(T)
			if !ok {
				c.t.Errorf("the watch says %v", event.Object)
				return
			}
			if event.Type == "DELETED" {
				delete(all, object.GetName())
			} else {
				all[object.GetName()] = object
			}
			seen(time.Since(c.begun), all)
		}
	})
	return func() {
		watching.Stop()
		group.Wait()
	}
}
