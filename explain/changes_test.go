package explain

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubette/client"
)

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"an image", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: one}, {name: b, image: x}]}}",
			"{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: b, image: x}, {name: a, image: two}]}}",
			[]string{`spec.containers[a].image: "one" -> "two"`}},
		{"a condition comes", "{apiVersion: v1, kind: Pod, metadata: {name: p}}",
			"{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}",
			[]string{`status.conditions[Ready]: null -> {"lastProbeTime":null,"lastTransitionTime":null,"status":"True","type":"Ready"}`, `status.phase: null -> "Running"`}},
		{"spec before status before metadata", "{apiVersion: v1, kind: Node, metadata: {name: node}}",
			"{apiVersion: v1, kind: Node, metadata: {name: node, labels: {example.com/a: b}}, spec: {unschedulable: true}, status: {phase: x}}",
			[]string{`spec.unschedulable: null -> true`, `status.phase: null -> "x"`, `metadata.labels[example.com/a]: null -> "b"`}},
		{"a number in a map", "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '1', b: '2'}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '1', b: '3', c: '4'}}",
			[]string{`data.b: "2" -> "3"`, `data.c: null -> "4"`}},
		{"a list without names", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, args: [x]}]}}",
			"{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, args: [x, z]}]}}",
			[]string{`spec.containers[a].args: ["x"] -> ["x","z"]`}},
		{"a secret is not told", "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {KEY: YWJj}}",
			"{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {KEY: YWJjZA==}}",
			[]string{`data.KEY: "(3 bytes)" -> "(4 bytes)"`}},
		{"what the server keeps for itself", "{apiVersion: v1, kind: Secret, metadata: {name: s, resourceVersion: '1'}}",
			"{apiVersion: v1, kind: Secret, metadata: {name: s, resourceVersion: '2', annotations: {kubectl.kubernetes.io/last-applied-configuration: hush}, managedFields: [{manager: m}]}}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := parse(t, c.before+"\n---\n"+c.after)
			changes, err := Changes(objects[0], objects[1])
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, change := range changes {
				old, _ := json.Marshal(change.Old)
				now, _ := json.Marshal(change.New)
				got = append(got, change.Path+": "+string(old)+" -> "+string(now))
			}
			if difference := cmp.Diff(c.want, got); difference != "" {
				t.Errorf("(-want +got):\n%s", difference)
			}
		})
	}
}

// A created object differs from nothing in every field, and a deleted one, too.
func TestChangesOfCreationAndDeletion(t *testing.T) {
	object := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: b}}")[0]
	for _, pair := range [][2]client.Object{{nil, object}, {object, nil}} {
		changes, err := Changes(pair[0], pair[1])
		if err != nil || len(changes) == 0 || !strings.HasPrefix(changes[0].Path, "data") {
			t.Errorf("%v %v", changes, err)
		}
	}
}
