package apiserver_test

import (
	"context"
	"net"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/client"
	"kubette/store"
)

// admin is who the tests are.
var admin = &user.DefaultInfo{Name: "kubernetes-admin", Groups: []string{"system:authenticated"}}

// start makes a server on an empty store, with the namespace default.
func start(t testing.TB, change ...func(*apiserver.Config)) (*apiserver.Server, client.Interface) {
	t.Helper()
	_, services, _ := net.ParseCIDR("10.96.0.0/16")
	config := apiserver.Config{Store: store.NewMemory(), ServiceCIDR: services}
	for _, f := range change {
		f(&config)
	}
	server, err := apiserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c := client.InProcess(server, admin)
	must(client.Of[*corev1.Namespace](c).Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}))(t)
	return server, c
}

// must fails the test when a call has failed.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: labels}, Data: map[string]string{"a": "1"}}
}

func TestCreateAndGet(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	created := must(maps.Create(t.Context(), configMap("one", nil)))(t)
	if created.UID == "" || created.ResourceVersion == "" || created.CreationTimestamp.IsZero() {
		t.Errorf("created object lacks its identity: %+v", created.ObjectMeta)
	}
	if len(created.ManagedFields) != 1 || created.ManagedFields[0].Manager != "kubernetes-admin" {
		t.Errorf("managed fields are %v", created.ManagedFields)
	}
	read := must(maps.Get(context.Background(), "default", "one"))(t)
	if read != created {
		t.Error("a read gives another object than the write did")
	}
}
