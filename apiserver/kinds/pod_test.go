package kinds

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const basicPod = `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`

// fromJSON makes an object as a create does, up to its validation.
func fromJSON(t *testing.T, row *Kind, body string) Object {
	t.Helper()
	object := decode(t, row, jsonMap(t, body))
	object.SetUID("UID")
	if row.PrepareForCreate != nil {
		row.PrepareForCreate(object)
	}
	return object
}

func jsonMap(t *testing.T, body string) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// changed is an object with some fields set to other values, as a PUT would send it.
func changed(t *testing.T, row *Kind, object Object, changes map[string]any) Object {
	t.Helper()
	live := toMap(t, object)
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		put(live, strings.Split(path, "/"), changes[path])
	}
	next := decode(t, row, live)
	next.SetGeneration(object.GetGeneration())
	return next
}

// messages are what errors say, the first line of each.
func messages(errs field.ErrorList) (said []string) {
	for _, err := range errs {
		line, _, _ := strings.Cut(err.Error(), "\n")
		said = append(said, line)
	}
	return said
}

func sameMessages(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, messages(errs)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestPodIsRefused(t *testing.T) {
	row := pod()
	for _, c := range []struct {
		name    string
		changes map[string]any
		want    []string
	}{
		{"no containers", map[string]any{"spec/containers": []any{}}, []string{`spec.containers: Required value`}},
		{"two containers of one name", map[string]any{"spec/initContainers": []any{map[string]any{"name": "c", "image": "i"}}},
			[]string{`spec.initContainers[0].name: Duplicate value: "c"`}},
		{"a probe of an init container", map[string]any{"spec/initContainers": []any{map[string]any{"name": "d", "image": "i",
			"livenessProbe": map[string]any{"exec": map[string]any{"command": []any{"a"}}}}}},
			[]string{`spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always`}},
		{"a probe that does two things", map[string]any{"spec/containers/0/livenessProbe": map[string]any{
			"exec": map[string]any{"command": []any{"a"}}, "tcpSocket": map[string]any{"port": 80}}},
			[]string{`spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type`}},
		{"a port of the node for two", map[string]any{"spec/containers/0/ports": []any{
			map[string]any{"containerPort": 80, "hostPort": 80}, map[string]any{"containerPort": 81, "hostPort": 80}}},
			[]string{`spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"`}},
		{"limits below requests", map[string]any{"spec/containers/0/resources": map[string]any{
			"limits": map[string]any{"cpu": "1"}, "requests": map[string]any{"cpu": "2"}}},
			[]string{`spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`}},
		{"a mount of no volume", map[string]any{"spec/containers/0/volumeMounts": []any{map[string]any{"name": "v", "mountPath": "/v"}}},
			[]string{`spec.containers[0].volumeMounts[0].name: Not found: "v"`}},
		{"a volume of two kinds", map[string]any{"spec/volumes": []any{map[string]any{"name": "v",
			"emptyDir": map[string]any{}, "hostPath": map[string]any{"path": "/"}}}},
			[]string{`spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type`}},
		{"a signal, whose feature is off, is forgotten before it is looked at", map[string]any{"spec/os": map[string]any{"name": "windows"},
			"spec/containers/0/lifecycle": map[string]any{"stopSignal": "SIGHUP"}}, nil},
		{"a toleration of no key", map[string]any{"spec/tolerations": []any{map[string]any{"operator": "Equal", "value": "x"}}},
			[]string{"spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""}},
		{"identical errors, said once", map[string]any{"spec/containers": []any{
			map[string]any{"name": "c", "image": "i", "ports": []any{map[string]any{"containerPort": 1, "hostPort": 1}}},
			map[string]any{"name": "c", "image": "i"}, map[string]any{"name": "c", "image": "i"}}},
			[]string{`spec.containers[1].name: Duplicate value: "c"`, `spec.containers[2].name: Duplicate value: "c"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := jsonMap(t, basicPod)
			for _, path := range slices.Sorted(maps.Keys(c.changes)) {
				put(body, strings.Split(path, "/"), c.changes[path])
			}
			object := decode(t, row, body)
			row.PrepareForCreate(object)
			sameMessages(t, row.Validate(object), c.want...)
		})
	}
}

func TestPodUpdate(t *testing.T) {
	const refused = "spec: Forbidden: pod updates may not change fields other than " +
		"`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`," +
		"`spec.tolerations` (only additions to existing tolerations)," +
		"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
	gated := map[string]any{"spec/schedulingGates": []any{map[string]any{"name": "wait"}}, "spec/nodeSelector": map[string]any{"a": "b"}}
	for _, c := range []struct {
		name           string
		before, change map[string]any
		want           []string
		generation     int64
	}{
		{"image", nil, map[string]any{"spec/containers/0/image": "j"}, nil, 2},
		{"label", nil, map[string]any{"metadata/labels": map[string]any{"a": "b"}}, nil, 1},
		{"status", nil, map[string]any{"status/phase": "Running"}, nil, 1},
		{"deadline", nil, map[string]any{"spec/activeDeadlineSeconds": 5}, nil, 2},
		{"later deadline", map[string]any{"spec/activeDeadlineSeconds": 5}, map[string]any{"spec/activeDeadlineSeconds": 6},
			[]string{"spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"}, 2},
		{"command", nil, map[string]any{"spec/containers/0/command": []any{"a"}}, []string{refused}, 2},
		{"node selector", nil, map[string]any{"spec/nodeSelector": map[string]any{"a": "b"}}, []string{refused}, 2},
		{"node selector while gated", gated, map[string]any{"spec/nodeSelector/c": "d"}, nil, 2},
		{"other node selector while gated", gated, map[string]any{"spec/nodeSelector/a": "d"},
			[]string{`spec.nodeSelector: Invalid value: {"a":"d"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)`}, 2},
		{"gate gone", gated, map[string]any{"spec/schedulingGates": nil}, nil, 2},
		{"gate added", nil, map[string]any{"spec/schedulingGates": []any{map[string]any{"name": "wait"}}},
			[]string{"spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'wait'"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := pod()
			old := changed(t, row, fromJSON(t, row, basicPod), c.before)
			now := changed(t, row, old, c.change)
			row.PrepareForUpdate(now, old)
			sameMessages(t, row.ValidateUpdate(now, old), c.want...)
			if now.GetGeneration() != c.generation {
				t.Errorf("generation %d, want %d", now.GetGeneration(), c.generation)
			}
		})
	}
}

func TestEndedContainersStayEnded(t *testing.T) {
	row := pod()
	for policy, want := range map[string][]string{
		"Always":    nil,
		"OnFailure": {"status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
		"Never":     {"status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
	} {
		t.Run(policy, func(t *testing.T) {
			old := changed(t, row, fromJSON(t, row, basicPod), map[string]any{"spec/restartPolicy": policy,
				"status/containerStatuses": []any{map[string]any{"name": "c", "state": map[string]any{"terminated": map[string]any{"exitCode": 0}}}}})
			now := changed(t, row, old, map[string]any{"status/containerStatuses/0/state": map[string]any{"running": map[string]any{}}})
			row.Status.Prepare(now, old)
			sameMessages(t, row.Status.Validate(now, old), want...)
		})
	}
}

// Fields of features that are off are taken and forgotten.
func TestDisabledFieldsAreDropped(t *testing.T) {
	row := pod()
	object := fromJSON(t, row, `{"metadata":{"name":"p"},"spec":{
		"schedulingGroup":{"podGroupName":"g"},
		"containers":[{"name":"c","image":"i","volumeMounts":[{"name":"v","mountPath":"/v","bindMountOptions":["noexec"]}],
			"livenessProbe":{"grpc":{"port":1,"mode":"TLS"}}}],
		"volumes":[{"name":"v","secret":{"secretName":"s","defaultUser":1,"items":[{"key":"k","path":"p","user":2}]}}]}}`).(*corev1.Pod)
	if errs := row.Validate(object); len(errs) > 0 {
		t.Fatal(errs)
	}
	c, v := object.Spec.Containers[0], object.Spec.Volumes[0].Secret
	if object.Spec.SchedulingGroup != nil || c.VolumeMounts[0].BindMountOptions != nil || c.LivenessProbe.GRPC.Mode != nil ||
		v.DefaultUser != nil || v.Items[0].User != nil {
		t.Errorf("still there: %+v", object.Spec)
	}
}

func TestPodWarnings(t *testing.T) {
	row := pod()
	object := fromJSON(t, row, `{"metadata":{"name":"p"},"spec":{
		"nodeSelector":{"beta.kubernetes.io/os":"linux"},
		"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"name":"a"}],"env":[{"name":"A"},{"name":"A"}],
			"resources":{"limits":{"memory":"100m"}}}, {"name":"d","image":"i","ports":[{"containerPort":80,"name":"a"}]}]}}`)
	want := []string{
		`spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`,
		`spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer`,
		`spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer`,
		`spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply`,
		`spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]`,
		`spec.containers[1].ports[0].name: duplicate port name "a" with spec.containers[0].ports[0].name, services and probes that select ports by name will use spec.containers[0].ports[0].name`,
	}
	if diff := cmp.Diff(want, row.Warnings(object, nil)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
