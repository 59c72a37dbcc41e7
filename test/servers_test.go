package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/utils/exec"

	"kubette/store/etcdtest"
)

// A pod of one server's node is reached through the other server: its log, a command in it, its port.
func TestPodOfAnotherServer(t *testing.T) {
	t.Setenv("KUBETTE_HOME", t.TempDir())
	etcd := etcdtest.Start(t)
	one := startServer(t, "one", etcd.URL)
	two := startServer(t, "two", etcd.URL)
	pods := one.CoreV1().Pods(metav1.NamespaceDefault)
	waitUntil(t, "the namespace has its service account", func() bool {
		_, err := one.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{NodeName: "worker-51", Containers: []corev1.Container{{Name: "web", Image: "nginx"}}}}
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the pod runs", func() bool {
		p, err := two.CoreV1().Pods(metav1.NamespaceDefault).Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodRunning
	})

	waitUntil(t, "its log says that it listens", func() bool {
		log, err := pods.GetLogs("web", &corev1.PodLogOptions{}).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(log), "listens on port 80")
	})

	if out, err := execIn(t, one, "hostname"); err != nil || strings.TrimSpace(out) != "web" {
		t.Errorf("hostname: %q, %v", out, err)
	}
	var exit utilexec.ExitError
	if _, err := execIn(t, one, "sh", "-c", "exit 3"); !asExit(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("exit 3: %v", err)
	}

	answer, err := http.Get("http://" + forwarded(t, one) + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || len(body) == 0 {
		t.Errorf("through a forwarded port: %s, %v", answer.Status, err)
	}

	// A service leads to it from everywhere, too.
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{Selector: pod.Labels, Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := one.CoreV1().Services(metav1.NamespaceDefault).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the service answers through the other server", func() bool {
		page, err := one.CoreV1().Services(metav1.NamespaceDefault).ProxyGet("http", "web", "80", "/", nil).DoRaw(t.Context())
		return err == nil && len(page) > 0
	})
}

func asExit(err error, exit *utilexec.ExitError) bool {
	e, is := err.(utilexec.ExitError)
	*exit = e
	return is
}

func execIn(t *testing.T, s server, command ...string) (string, error) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	request := s.CoreV1().RESTClient().Get().Resource("pods").Namespace(metav1.NamespaceDefault).Name("web").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer // two, as both are written at the same time
	err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &complaints})
	return out.String(), err
}

// forwarded opens a port of this machine that leads to the pod's port 80, until the test ends.
func forwarded(t *testing.T, s server) (address string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	url := s.CoreV1().RESTClient().Get().Resource("pods").Namespace(metav1.NamespaceDefault).Name("web").SubResource("portforward").URL()
	dialer, err := portforward.NewSPDYOverWebsocketDialer(url, config)
	if err != nil {
		t.Fatal(err)
	}
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.New(dialer, []string{"0:80"}, stop, ready, io.Discard, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	t.Cleanup(func() { close(stop); <-ended })
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local)
}
