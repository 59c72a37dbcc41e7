package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"kubette/cluster"
	"kubette/cluster/clustertest"
)

// The transcripts in testdata/kubectl were recorded with kubectl v1.32 on Kubernetes v1.37.2: one command each, what it
// printed, and its exit code. The linked-in kubectl must print the same here, but for what varies.

// recordedOrder is the order in which the commands build on each other. Those of `explain` need nothing.
var recordedOrder = []string{
	"api-resources", "api-versions", "whoami", "get-nothing", "get-missing", "get-unknown", "can-i-no",
	"create-dep", "create-dep-again", "get-dep", "rollout-history", "expose", "get-svc", "label", "annotate", "set-image", "set-env",
	"patch", "patch-json", "autoscale", "scale-missing", "create-cm", "create-ing", "create-quota", "create-role", "create-rb", "can-i",
	"get-all", "logs-missing", "delete-missing", "token", "delete-all",
}

// unserved is what Kubernetes v1.37 serves and kubette does not (README names what that is about). Whoever serves one of them
// takes it from here.
var unserved = map[string][]string{
	"api-resources": {"mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
		"mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
		"validatingwebhookconfigurations", "apiservices", "clustertrustbundles", "podcertificaterequests", "flowschemas",
		"prioritylevelconfigurations", "ipaddresses", "servicecidrs", "deviceclasses", "devicetaintrules", "resourceclaims",
		"resourceclaimtemplates", "resourceslices", "csidrivers", "csinodes", "csistoragecapacities", "volumeattachments",
		"volumeattributesclasses", "storageversionmigrations"},
	"api-versions": {"admissionregistration.k8s.io/v1", "apiregistration.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1",
		"resource.k8s.io/v1", "storagemigration.k8s.io/v1"},
}

// ownServed is what kubette serves itself, where Kubernetes needs the metrics server.
var ownServed = regexp.MustCompile(`(?m)^.*metrics\.k8s\.io/v1beta1.*\n`)

// newerKubectl are the texts of v1.32 that kubectl v1.37 has others for. They come from kubectl, and not from the server.
var newerKubectl = map[string][2]string{
	"delete-all":    {" deleted\n", " deleted from default namespace\n"},
	"scale-missing": {"error: no objects passed to scale deployments", "Error from server (NotFound): deployments"},
	"autoscale": {"\nhorizontal", "\nFlag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format " +
		"(e.g., '70%' for utilization or '500m' for milliCPU).\nhorizontal"},
}

// varying is what differs from one time to the next, or from one installation to the next, by the command.
var varying = map[string][]struct{ pattern, replacement string }{
	"whoami":  {{`(?m)^Username +\S+$`, "Username NAME"}, {`(?m)^UID .*\n`, ""}, {`(?m)^Groups .*$`, "Groups GROUPS"}},
	"get-all": {{`\b10\.\d+\.\d+\.\d+\b`, "IP"}, {`(?m)\b(\d+[dhms])+$`, "AGE"}, {` +`, " "}},
	"get-dep": {{`(?m)\b(\d+[dhms])+$`, "AGE"}},
	"token":   {{`ey[\w-]+\.[\w-]+\.[\w-]+exit`, "JWT"}},
}

func TestRecordedTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/kubectl/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	order := recordedOrder
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); strings.HasPrefix(name, "explain-") {
			order = append(slices.Clip(order), name)
		} else if !slices.Contains(order, name) {
			t.Errorf("%s has no place in the order", name)
		}
	}
	startCluster(t)
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			recorded, err := os.ReadFile(filepath.Join("testdata/kubectl", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			want, newer := string(recorded), newerKubectl[name]
			want = strings.ReplaceAll(want, cmp.Or(newer[0], "\x00"), newer[1])
			got := typed(t, want[:strings.Index(want, "\n")])
			want, got = served(name, want), served(name, got)
			for _, v := range varying[name] {
				pattern := regexp.MustCompile(v.pattern)
				want, got = pattern.ReplaceAllString(want, v.replacement), pattern.ReplaceAllString(got, v.replacement)
			}
			if difference := diff.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); difference != "" {
				t.Errorf("(-recorded +here):\n%s", difference)
			}
		})
	}
}

// startCluster runs a cluster of its own until the test ends; kubectl finds it.
func startCluster(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv(nameVariable, clustertest.Start(t, cluster.Config{Runtime: cluster.RuntimeSim, Workers: 1}).State().Name)
}

// typed types a line, and gives it with what is printed and with its exit code, as recorded. What a recorded line quotes,
// it does not show: its words are what stands between the blanks.
func typed(t *testing.T, line string) string {
	t.Helper()
	var printed bytes.Buffer
	command := exec.CommandContext(t.Context(), "kubectl", strings.Split(strings.TrimPrefix(line, "$ kubectl "), " ")...)
	command.Stdout, command.Stderr = &printed, &printed
	var failed *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\n%sexit: %d\n", line, printed.String(), command.ProcessState.ExitCode())
}

// served takes the lines away that only one of the two has for a stated reason. The width of a column depends on all
// lines, and so it is not compared.
func served(name, text string) string {
	without, listing := unserved[name]
	if !listing {
		return text
	}
	lines := strings.SplitAfter(ownServed.ReplaceAllString(text, ""), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		words := strings.Fields(line)
		return len(words) > 0 && slices.Contains(without, words[0])
	})
	return regexp.MustCompile(` +`).ReplaceAllString(strings.Join(lines, ""), " ")
}
