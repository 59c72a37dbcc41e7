package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	requests    = 1000 // one after the other
	connections = 32   // beside each other
	listed      = 5000
	busy        = 3 * time.Second
)

func measureAPI(ctx context.Context, p *program, t *table) error {
	c, err := p.up(ctx, "api", "--runtime", "sim")
	if err != nil {
		return err
	}
	defer c.down()
	api, err := c.client()
	if err != nil {
		return err
	}
	if err := sequential(ctx, api, t); err != nil {
		return err
	}
	return concurrent(ctx, c, t)
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"key": "value"}}
}

// sequential makes one request after the other, while a watch tells of each write.
func sequential(ctx context.Context, api kubernetes.Interface, t *table) error {
	maps := api.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	watch, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: "!kubernetes.io/none"})
	if err != nil {
		return err
	}
	defer watch.Stop()
	var creates, gets, delivered samples
	for i := range requests {
		name := fmt.Sprintf("sequential-%d", i)
		begun := time.Now()
		if _, err := maps.Create(ctx, configMap(name), metav1.CreateOptions{}); err != nil {
			return err
		}
		answered := time.Now()
		creates = append(creates, answered.Sub(begun))
		for event := range watch.ResultChan() {
			if object, ok := event.Object.(*corev1.ConfigMap); ok && object.Name == name {
				delivered = append(delivered, max(0, time.Since(answered)))
				break
			}
		}
	}
	for i := range requests {
		begun := time.Now()
		if _, err := maps.Get(ctx, fmt.Sprintf("sequential-%d", i), metav1.GetOptions{}); err != nil {
			return err
		}
		gets = append(gets, time.Since(begun))
	}
	t.add("create, one after the other", creates.tail(), "p50 < 1 ms", "Kubernetes p50 1.8 ms")
	t.add("get, one after the other", gets.tail(), "", "")
	t.add("event at a watcher, after the answer", delivered.tail(), "p50 < 1 ms", "")
	return nil
}

// concurrent loads the API from several connections, and then lists what came of it.
func concurrent(ctx context.Context, c *process, t *table) error {
	config, err := c.access()
	if err != nil {
		return err
	}
	clients := make([]kubernetes.Interface, connections)
	for i := range clients {
		if clients[i], err = ownConnection(config); err != nil {
			return err
		}
	}
	var names atomic.Int64
	made, err := load(clients, func(api kubernetes.Interface) error {
		_, err := api.CoreV1().ConfigMaps("kube-public").Create(ctx, configMap(fmt.Sprintf("m-%d", names.Add(1))), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	read, err := load(clients, func(api kubernetes.Interface) error {
		_, err := api.CoreV1().ConfigMaps("kube-public").Get(ctx, "m-1", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	var lists samples
	for range 10 {
		begun := time.Now()
		if _, err := clients[0].CoreV1().ConfigMaps("kube-public").List(ctx, metav1.ListOptions{Limit: listed}); err != nil {
			return err
		}
		lists = append(lists, time.Since(begun))
	}
	t.add(fmt.Sprintf("creates from %d connections", connections), fmt.Sprintf("%.0f/s", made), "5,000/s", "Kubernetes 1,670/s")
	t.add(fmt.Sprintf("gets from %d connections", connections), fmt.Sprintf("%.0f/s", read), "12,000/s", "Kubernetes 3,590/s")
	t.add(fmt.Sprintf("list of %d objects, decoded by the client", min(listed, int(names.Load()))), lists.spread(), "30 ms", "Kubernetes 44 ms")
	return nil
}

// ownConnection makes a client that shares no connection with others.
func ownConnection(config *rest.Config) (kubernetes.Interface, error) {
	secure, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	transport, err := rest.HTTPWrappersForConfig(config, &http.Transport{TLSClientConfig: secure})
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfigAndClient(config, &http.Client{Transport: transport})
}

// load has every client make requests for some time, and returns how many there were in a second.
func load(clients []kubernetes.Interface, request func(api kubernetes.Interface) error) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	begun := time.Now()
	for _, api := range clients {
		group.Go(func() {
			for time.Since(begun) < busy {
				if err := request(api); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(begun).Seconds(), nil
}
