package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kubette/cluster"
	"kubette/kubelet/runtime/docker"
	"kubette/network/gateway"
	"kubette/toolbox"
)

// The scripts are what a user types. They lie in test/testdata/script: those in sim need nothing but this machine, those
// in docker an engine, and those in anykubectl are run with each kubectl that is named from outside. This test binary is
// the program that they call, under the names kubette and kubectl, and also the one inside the containers.
const scripts = "../../test/testdata/script"

const (
	// dockerVariable set to "required" makes a missing engine an error.
	dockerVariable = "KUBETTE_TEST_DOCKER"
	// kubectlsVariable names a directory with files kubectl.1.*: other versions to try.
	kubectlsVariable = "KUBETTE_TEST_KUBECTLS"
)

// scriptsTime bounds a folder's scripts: what hangs is killed and fails.
const scriptsTime = 3 * time.Minute

func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); name == gateway.Program || toolbox.IsProgram(name) {
		main() // inside a container
	}
	testscript.Main(m, map[string]func(){"kubette": main, "kubectl": main})
}

func TestCommandLine(t *testing.T) { runScripts(t, "sim", cluster.RuntimeSim) }

func TestCommandLineOnDocker(t *testing.T) {
	needEngine(t)
	runScripts(t, "docker", cluster.RuntimeDocker)
}

func TestOtherKubectls(t *testing.T) {
	directory := os.Getenv(kubectlsVariable)
	if directory == "" {
		t.Skip(kubectlsVariable + " names no directory with other versions of kubectl")
	}
	found, err := filepath.Glob(filepath.Join(directory, "kubectl.1.*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no kubectl.1.* in %s (%v)", directory, err)
	}
	for _, kubectl := range found {
		t.Run(filepath.Base(kubectl), func(t *testing.T) {
			runScripts(t, "anykubectl", cluster.RuntimeSim, "KUBECTL="+kubectl)
		})
	}
}

// needEngine skips a test where no Docker engine answers, unless one must be there.
func needEngine(t *testing.T) {
	engine, err := docker.Connect(t.Context())
	switch {
	case err == nil:
		engine.Close()
	case os.Getenv(dockerVariable) == "required":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// runScripts runs a folder of scripts, each with a home, a state folder and a cluster name of its own.
func runScripts(t *testing.T, folder, runtime string, variables ...string) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:      filepath.Join(scripts, folder),
		Deadline: time.Now().Add(scriptsTime),
		Condition: func(name string) (bool, error) {
			return name == "root" && os.Getuid() == 0, nil
		},
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Vars = append(env.Vars, append([]string{
				"HOME=" + home,
				"KUBETTE_HOME=" + filepath.Join(home, "clusters"),
				"KUBECONFIG=" + filepath.Join(home, "kubeconfig"),
				nameVariable + "=" + fmt.Sprintf("test-%08x", rand.Uint32()),
				"RUNTIME=" + runtime,
				"EXAMPLES=" + examples,
			}, variables...)...)
			env.Defer(func() { removeClusters(env) })
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": scriptUp, "retry": scriptRetry, "visit": scriptVisit, "capture": scriptCapture,
			"kill9": scriptKill9, "occupy": scriptOccupy, "freeport": scriptFreePort, "nothingleft": scriptNothingLeft,
		},
	})
}
