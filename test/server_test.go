package test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kubette/cluster"
	"kubette/store"
)

// serverVariable makes this test program a kubette server of that name, whose etcd, if any, is the second word.
const serverVariable = "KUBETTE_TEST_SERVER"

// TestMain lets the test program be a server in a process of its own, that can be killed and run out of disk.
func TestMain(m *testing.M) {
	if said := os.Getenv(serverVariable); said != "" {
		name, url, _ := strings.Cut(said, " ")
		if err := serve(name, url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(name, url string) error {
	config := cluster.Config{Name: name, Workers: 1, Runtime: cluster.RuntimeSim,
		APIPort: cluster.AnyPort, HTTPPort: cluster.AnyPort, HTTPSPort: cluster.AnyPort, ConsolePort: cluster.AnyPort}
	if url != "" {
		config.Etcd = store.EtcdOptions{Endpoints: []string{url}}
	}
	c, err := cluster.New(config)
	if err != nil {
		return err
	}
	go func() {
		<-c.Ready()
		fmt.Println(c.State().Kubeconfig())
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test
		c.Stop()
	}()
	return c.Run(context.Background())
}

// server is another process.
type server struct {
	*exec.Cmd
	kubernetes.Interface
	kubeconfig string
}

// startServer runs a server until the test ends. KUBETTE_HOME says where its data is.
func startServer(t *testing.T, name, etcd string) server {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serverVariable+"="+name+" "+etcd)
	command.Stderr = t.Output()
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	s := server{Cmd: command}
	if _, err := fmt.Fscanln(stdout, &s.kubeconfig); err != nil {
		t.Fatalf("server %s does not start: %v", name, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	if s.Interface, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return s
}

// waitUntil waits for something that other processes do.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}
