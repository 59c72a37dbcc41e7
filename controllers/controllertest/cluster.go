// Package controllertest runs controllers against a real API server on a memory store, for tests. Everything happens on
// the virtual time of a testing/synctest bubble: Start must be called in one.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
//			return []controllers.Controller{replicaset.New(base)}
//		})
//		controllertest.Create(c, set)
//		c.Settle()
//		…
//	})
package controllertest

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
	"kubette/store"
)

// Cluster is an API server and the controllers under test.
type Cluster struct {
	T       *testing.T
	Client  client.Interface // the user's
	Server  *apiserver.Server
	Machine *loop.Machine
	Faults  *Faults // of the controllers' client
}

// Start makes a cluster with the namespaces default and kube-system, and runs the controllers until the test ends.
func Start(t *testing.T, make func(base controllers.Base) []controllers.Controller) *Cluster {
	t.Helper()
	_, services, _ := net.ParseCIDR("10.96.0.0/16")
	server, err := apiserver.New(apiserver.Config{Store: store.NewMemory(), ServiceCIDR: services})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{T: t, Server: server, Machine: loop.NewMachine(10_000),
		Client: client.InProcess(server, &user.DefaultInfo{Name: "kubernetes-admin", Groups: []string{"system:masters", "system:authenticated"}})}
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
		Create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	manager := client.InProcess(server, &user.DefaultInfo{Name: "system:kube-controller-manager", Groups: []string{"system:masters", "system:authenticated"}})
	c.Faults = &Faults{Interface: manager}
	base := controllers.Base{Client: c.Faults, Informers: client.NewInformers(c.Faults, nil), Events: client.NewRecorder(manager, "test", ""), Machine: c.Machine}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	running := make(base)
	serving, stopServing := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { server.Run(serving) })
	base.Informers.Start(ctx)
	if !base.Informers.Sync(ctx) {
		t.Fatal("the informers did not sync")
	}
	group.Go(func() { base.Events.Run(ctx) })
	for _, controller := range running {
		group.Go(func() { controller.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		group.Wait()
		base.Informers.Wait()
		stopServing() // the last to go: watches may be opened until the end
		served.Wait()
	})
	return c
}

// Settle waits until nobody has anything to do at this moment.
func (c *Cluster) Settle() { synctest.Wait() }

// Pass lets virtual time pass.
func (c *Cluster) Pass(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
	synctest.Wait()
}

// Create stores an object.
func Create[T client.Object](c *Cluster, object T) T {
	c.T.Helper()
	created, err := client.Of[T](c.Client).Create(context.Background(), object)
	if err != nil {
		c.T.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
	return created
}

// Get reads an object, which must be there.
func Get[T client.Object](c *Cluster, namespace, name string) T {
	c.T.Helper()
	object, err := client.Of[T](c.Client).Get(context.Background(), namespace, name)
	if err != nil {
		c.T.Fatalf("get %T %s: %v", object, name, err)
	}
	return object
}

// List reads the objects of a namespace.
func List[T client.Object](c *Cluster, namespace string) []T {
	c.T.Helper()
	objects, err := client.Of[T](c.Client).List(context.Background(), namespace, metav1.ListOptions{})
	if err != nil {
		c.T.Fatal(err)
	}
	return objects
}

// Change updates an object by a function.
func Change[T client.Object](c *Cluster, namespace, name string, change func(T)) T {
	c.T.Helper()
	object := Get[T](c, namespace, name).DeepCopyObject().(T)
	change(object)
	updated, err := client.Of[T](c.Client).Update(context.Background(), object)
	if err != nil {
		c.T.Fatalf("update %T %s: %v", object, name, err)
	}
	return updated
}

// ChangeStatus updates an object's status by a function.
func ChangeStatus[T client.Object](c *Cluster, namespace, name string, change func(T)) T {
	c.T.Helper()
	object := Get[T](c, namespace, name).DeepCopyObject().(T)
	change(object)
	updated, err := client.Of[T](c.Client).UpdateStatus(context.Background(), object)
	if err != nil {
		c.T.Fatalf("update status of %T %s: %v", object, name, err)
	}
	return updated
}

// Delete deletes an object, with the options given or none.
func Delete[T client.Object](c *Cluster, namespace, name string, options ...metav1.DeleteOptions) {
	c.T.Helper()
	options = append(options, metav1.DeleteOptions{})
	if err := client.Of[T](c.Client).Delete(context.Background(), namespace, name, options[0]); err != nil {
		var none T
		c.T.Fatalf("delete %T %s: %v", none, name, err)
	}
}

// Events returns what was said about an object: reason and message, in order of time.
func (c *Cluster) Events(kind, name string) []string {
	c.T.Helper()
	var said []string
	for _, event := range List[*corev1.Event](c, "") {
		if event.InvolvedObject.Kind == kind && event.InvolvedObject.Name == name {
			said = append(said, event.Reason+": "+event.Message)
		}
	}
	return said
}
