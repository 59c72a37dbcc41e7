// Package clustertest runs whole clusters for tests, in real time.
package clustertest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kubette/cluster"
)

// dockerVariable set to "required" makes a missing engine an error.
const dockerVariable = "KUBETTE_TEST_DOCKER"

// Start runs a cluster until the test ends: in memory, on free ports, with a home and a name of its own. Where it asks for
// a Docker engine and none answers, the test is skipped, unless an engine must be there.
func Start(t testing.TB, config cluster.Config) *cluster.Cluster {
	t.Helper()
	t.Setenv("KUBETTE_HOME", t.TempDir())
	config.Name = fmt.Sprintf("test-%d", time.Now().UnixNano()%1e9)
	config.Ephemeral = true
	config.APIPort, config.HTTPPort, config.HTTPSPort, config.ConsolePort = cluster.AnyPort, cluster.AnyPort, cluster.AnyPort, cluster.AnyPort
	made, err := cluster.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- made.Run(context.Background()) }()
	select {
	case err := <-ended:
		if err != nil && strings.Contains(err.Error(), "no Docker engine answers") && os.Getenv(dockerVariable) != "required" {
			t.Skip(err)
		}
		t.Fatal(err)
	case <-made.Ready():
	}
	t.Cleanup(func() {
		made.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return made
}
