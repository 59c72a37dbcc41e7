package kinds

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
)

const (
	basicTemplate   = `{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	basicDeployment = `{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":` + basicTemplate + `}}`
	basicSet        = `{"metadata":{"name":"s"},"spec":{"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":` + basicTemplate + `}}`
	basicJob        = `{"metadata":{"name":"j"},"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}`
)

// Rules about names that only some kinds have; the rules for all are the server's.
func TestWorkloadNames(t *testing.T) {
	long := strings.Repeat("n", 60)
	cron := `{"metadata":{"name":"` + long + `"},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":` +
		`{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}`
	indexed := strings.Replace(strings.Replace(basicJob, `"j"`, `"`+long+`"`, 1), `"spec":{`, `"spec":{"completionMode":"Indexed","completions":10000,`, 1)
	for _, c := range []struct {
		row        *Kind
		body, want string
	}{
		{cronJob(), cron, `metadata.name: Invalid value: "` + long + `": must be no more than 52 characters`},
		{job(), indexed, `metadata.name: Invalid value: "` + long + `": will not able to create pod with invalid DNS label: ` + long + `-9999`},
	} {
		sameMessages(t, c.row.Validate(fromJSON(t, c.row, c.body)), c.want)
	}
}

func TestWorkloadUpdates(t *testing.T) {
	for _, c := range []struct {
		name       string
		row        *Kind
		body       string
		change     map[string]any
		want       []string
		generation int64
	}{
		{"deployment scaled", deployment(), basicDeployment, map[string]any{"spec/replicas": 3}, nil, 2},
		{"deployment annotated", deployment(), basicDeployment, map[string]any{"metadata/annotations": map[string]any{"a": "b"}}, nil, 2},
		{"deployment labelled", deployment(), basicDeployment, map[string]any{"metadata/labels": map[string]any{"a": "b"}}, nil, 1},
		{"deployment reported on", deployment(), basicDeployment, map[string]any{"status/replicas": 3}, nil, 1},
		{"deployment selects others", deployment(), basicDeployment,
			map[string]any{"spec/selector/matchLabels/c": "d", "spec/template/metadata/labels/c": "d"},
			[]string{`spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable`}, 2},
		{"set scaled", statefulSet(), basicSet, map[string]any{"spec/replicas": 3}, nil, 2},
		{"set with another service", statefulSet(), basicSet, map[string]any{"spec/serviceName": "t"},
			[]string{"spec.serviceName: Invalid value: \"t\": field is immutable"}, 2},
		{"job with more parallelism", job(), basicJob, map[string]any{"spec/parallelism": 2}, nil, 2},
		{"job with more completions", job(), basicJob, map[string]any{"spec/completions": 2},
			[]string{`spec.completions: Invalid value: 2: field is immutable`}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := fromJSON(t, c.row, c.body)
			now := changed(t, c.row, old, c.change)
			c.row.PrepareForUpdate(now, old)
			sameMessages(t, c.row.ValidateUpdate(now, old), c.want...)
			if now.GetGeneration() != c.generation {
				t.Errorf("generation %d, want %d", now.GetGeneration(), c.generation)
			}
		})
	}
}

func TestScale(t *testing.T) {
	for name, row := range map[string]*Kind{"deployment": deployment(), "replicaset": replicaSet(), "statefulset": statefulSet()} {
		t.Run(name, func(t *testing.T) {
			body := basicDeployment
			if name == "statefulset" {
				body = basicSet
			}
			object := fromJSON(t, row, body)
			row.Scale.Set(object, 4)
			if wanted, present, selector := row.Scale.Get(object); wanted != 4 || present != 0 || selector != "a=b" {
				t.Errorf("scale is %d, %d, %q", wanted, present, selector)
			}
		})
	}
}

// What a job says of its end must hold together, and stay.
func TestJobStatus(t *testing.T) {
	row := job()
	condition := func(types ...string) (list []any) {
		for _, typ := range types {
			list = append(list, map[string]any{"type": typ, "status": "True"})
		}
		return list
	}
	const start, end = "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z"
	done := map[string]any{"status/conditions": condition("SuccessCriteriaMet", "Complete"), "status/startTime": start, "status/completionTime": end}
	for _, c := range []struct {
		name           string
		before, change map[string]any
		want           []string
	}{
		{"complete", nil, done, nil},
		{"complete without times", nil, map[string]any{"status/conditions": condition("SuccessCriteriaMet", "Complete")}, []string{
			"status.completionTime: Required value: completionTime is required for Complete jobs",
			"status.startTime: Required value: startTime is required for finished job"}},
		{"complete and not", done, map[string]any{"status/conditions": condition("SuccessCriteriaMet"), "status/completionTime": nil},
			[]string{"status.conditions: Invalid value: cannot disable the terminal Complete=True condition"}},
		{"failed of itself", nil, map[string]any{"status/conditions": condition("Failed"), "status/startTime": start},
			[]string{"status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"}},
		{"indexes of a plain job", nil, map[string]any{"status/completedIndexes": "0"},
			[]string{`status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := changed(t, row, fromJSON(t, row, basicJob), c.before)
			now := changed(t, row, old, c.change)
			row.Status.Prepare(now, old)
			sameMessages(t, row.Status.Validate(now, old), c.want...)
		})
	}
}

func TestIndexes(t *testing.T) {
	for _, c := range []struct {
		list, err string
		count     int32
	}{
		{"", "", 0}, {"1,3-5,7", "", 5}, {"0-9", "", 10},
		{"3,2", "non-increasing order, previous: 3, current: 2", 0},
		{"5-4", "non-increasing order, previous: 5, current: 4", 0},
		{"10", `too large index: "10"`, 0},
		{"a", `cannot convert string to integer for index: "a"`, 0},
		{"1-2-3", `the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`, 0},
	} {
		count, err := countIndexes(c.list, 10)
		if said := errorText(err); said != c.err || count != c.count {
			t.Errorf("%q: %d %q, want %d %q", c.list, count, said, c.count, c.err)
		}
	}
	a, _ := parseIndexes("1,3-5", 10)
	b, _ := parseIndexes("2,5-7", 10)
	if index, found := overlap(a, b); !found || index != 5 {
		t.Errorf("overlap at %d, %t", index, found)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The selector of a job comes from its uid; a user's own is refused unless asked for.
func TestJobSelector(t *testing.T) {
	row := job()
	made := fromJSON(t, row, basicJob).(*batchv1.Job)
	if got := made.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; got != "UID" {
		t.Errorf("selector %v", made.Spec.Selector)
	}
	if got := made.Spec.Template.Labels[batchv1.JobNameLabel]; got != "j" {
		t.Errorf("template labels %v", made.Spec.Template.Labels)
	}
}

// A daemon set counts the changes of its template for those that still read the old annotation.
func TestTemplateGeneration(t *testing.T) {
	row := daemonSet()
	old := fromJSON(t, row, basicDeployment)
	for change, want := range map[string]string{"spec/minReadySeconds": "1", "spec/template/spec/terminationGracePeriodSeconds": "2"} {
		now := changed(t, row, old, map[string]any{change: 7})
		row.PrepareForUpdate(now, old)
		if got := now.GetAnnotations()[appsv1.DeprecatedTemplateGeneration]; got != want {
			t.Errorf("%s: template generation %q, want %q", change, got, want)
		}
	}
}
