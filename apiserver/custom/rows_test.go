package custom_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"kubette/apiserver/custom"
	"kubette/apiserver/kinds"
)

// cronTabs is the definition of Kubernetes' own documentation, with a little of everything.
const cronTabs = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    selectableFields: [{jsonPath: .spec.image}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: when it runs}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Ratio, type: number, jsonPath: .spec.ratio, priority: 1}
    - {name: Ready, type: boolean, jsonPath: .status.ready}
    - {name: Ports, type: string, jsonPath: ".spec.ports[*].name"}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [cronSpec]
            x-kubernetes-validations:
            - {rule: "self.replicas <= 10", message: too many, fieldPath: .replicas}
            - {rule: "self.image == oldSelf.image", message: the image stays}
            properties:
              cronSpec: {type: string, pattern: '^\S+ \S+ \S+ \S+ \S+$', default: "5 0 * * *"}
              image: {type: string, default: busybox}
              replicas: {type: integer, minimum: 1, default: 1}
              ratio: {type: number}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              pod: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, port: {type: integer, default: 80}}
          status:
            type: object
            properties: {replicas: {type: integer}, selector: {type: string}, ready: {type: boolean}}
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  - name: v1alpha1
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object}}
`

// define reads a definition, and makes of it what the API server would store.
func define(t testing.TB, text string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(text), definition); err != nil {
		t.Fatal(err)
	}
	rows := kinds.All()
	row := rows[slices.IndexFunc(rows, func(k *kinds.Kind) bool { return k.Kind == "CustomResourceDefinition" })]
	row.Default(definition)
	row.PrepareForCreate(definition)
	if errs := row.Validate(definition); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	return definition
}

func rowsOf(t testing.TB, text string) []*kinds.Kind {
	t.Helper()
	rows, err := custom.Rows(define(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// object reads a CronTab: of v1 and called x, unless the text says otherwise.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]any{}
	if err := json.Unmarshal(data, &content); err != nil {
		t.Fatal(err)
	}
	defaults := map[string]any{"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": map[string]any{"name": "x"}}
	for key, value := range defaults {
		if _, ok := content[key]; !ok {
			content[key] = value
		}
	}
	return &unstructured.Unstructured{Object: content}
}

func TestRowsOfADefinition(t *testing.T) {
	rows := rowsOf(t, cronTabs)
	var got []string
	for _, row := range rows {
		got = append(got, row.GroupVersionKind().String())
	}
	if diff := cmp.Diff([]string{"stable.example.com/v1, Kind=CronTab", "stable.example.com/v1beta1, Kind=CronTab"}, got); diff != "" {
		t.Fatal(diff)
	}
	stored, shown := rows[0], rows[1]
	if stored.Status == nil || stored.Scale == nil || stored.Storage != nil || stored.Deprecation != "" || !stored.Namespaced {
		t.Errorf("the stored version is %+v", stored)
	}
	if shown.Status != nil || shown.Storage == nil || shown.Storage.Kind != "CronTab" || shown.Deprecation != "stable.example.com/v1beta1 CronTab is deprecated" {
		t.Errorf("the other version is %+v", shown)
	}
	if diff := cmp.Diff([]string{"ct"}, stored.ShortNames); diff != "" {
		t.Error(diff)
	}
}

func TestPruneAndDefault(t *testing.T) {
	row := rowsOf(t, cronTabs)[0]
	for name, test := range map[string]struct {
		give, want string
		unknown    []string
	}{
		"defaults": {
			`spec: {}`,
			`spec: {cronSpec: 5 0 * * *, image: busybox, replicas: 1}`, nil,
		},
		"no spec: nothing to default in": {`{}`, `{}`, nil},
		"defaults in lists": {
			`spec: {cronSpec: a, image: b, replicas: 2, ports: [{name: p}, {name: q, port: 1}]}`,
			`spec: {cronSpec: a, image: b, replicas: 2, ports: [{name: p, port: 80}, {name: q, port: 1}]}`, nil,
		},
		"unknown fields": {
			`{spec: {cronSpec: a, image: b, replicas: 2, colour: red, ports: [{name: p, port: 1, size: 1}]}, other: 1}`,
			`spec: {cronSpec: a, image: b, replicas: 2, ports: [{name: p, port: 1}]}`,
			[]string{"other", "spec.colour", "spec.ports[0].size"},
		},
		"unknown metadata": {
			`{metadata: {name: x, colour: red}, spec: {cronSpec: a, image: b, replicas: 2}}`,
			`spec: {cronSpec: a, image: b, replicas: 2}`, []string{"metadata.colour"},
		},
		"kept where the schema says so": {
			`spec: {cronSpec: a, image: b, replicas: 2, free: {any: {thing: 1}}}`,
			`spec: {cronSpec: a, image: b, replicas: 2, free: {any: {thing: 1}}}`, nil,
		},
		"null is no value where none may be": {
			`spec: {cronSpec: null, image: b, replicas: 2, ratio: null}`,
			`spec: {cronSpec: 5 0 * * *, image: b, replicas: 2}`, nil,
		},
		"metadata of embedded objects": {
			`spec: {cronSpec: a, image: b, replicas: 2, pod: {apiVersion: v1, kind: Pod, metadata: {name: p, colour: red}, spec: {x: 1}}}`,
			`spec: {cronSpec: a, image: b, replicas: 2, pod: {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {x: 1}}}`,
			[]string{"spec.pod.metadata.colour"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := object(t, test.give)
			unknown, err := row.Prune(got)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(unknown)
			if diff := cmp.Diff(test.unknown, unknown); diff != "" {
				t.Errorf("unknown (-want +got): %s", diff)
			}
			row.Default(got)
			if diff := cmp.Diff(object(t, test.want).Object, got.Object); diff != "" {
				t.Errorf("object (-want +got): %s", diff)
			}
		})
	}
	if _, err := row.Prune(object(t, `metadata: {name: x, labels: [1]}`)); err == nil {
		t.Error("labels that are a list were read")
	}
	// Whoever calls Default alone gets a pruned object too.
	got := object(t, `spec: {colour: red}`)
	row.Default(got)
	if _, found, _ := unstructured.NestedString(got.Object, "spec", "colour"); found {
		t.Error("an unknown field stays")
	}
}

func messages(errs field.ErrorList) (texts []string) {
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return texts
}

func TestValidate(t *testing.T) {
	row := rowsOf(t, cronTabs)[0]
	const notChecked = `<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation`
	for name, test := range map[string]struct {
		give string
		want []string
	}{
		"good":     {`spec: {cronSpec: a b c d e}`, nil},
		"required": {`spec: {cronSpec: null, ports: [{port: 1}]}`, []string{`spec.ports[0].name: Required value`, notChecked}},
		"type": {`spec: {replicas: two}`, []string{`spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"`,
			`.spec.replicas: Invalid value: 0: .spec.replicas accessor error: two is of the type string, expected int64`, notChecked}},
		"pattern": {`spec: {cronSpec: a}`, []string{`spec.cronSpec: Invalid value: "a": spec.cronSpec in body should match '^\S+ \S+ \S+ \S+ \S+$'`}},
		"minimum": {`spec: {replicas: 0}`, []string{`spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1`}},
		"rule":    {`spec: {replicas: 11}`, []string{`spec.replicas: Invalid value: too many`}},
		"scale":   {`spec: {replicas: 3000000000}`, []string{`.spec.replicas: Invalid value: 3000000000: should be less than or equal to 2147483647`, `spec.replicas: Invalid value: too many`}},
		"set":     {`spec: {tags: [a, b, a]}`, []string{`spec.tags[2]: Duplicate value: "a"`}},
		"map":     {`spec: {ports: [{name: a}, {name: a}]}`, []string{`spec.ports[1]: Duplicate value: {"name":"a"}`}},
		"embedded": {`spec: {pod: {metadata: {name: A_}}}`, []string{
			`spec.pod.apiVersion: Required value`, `spec.pod.kind: Required value`, notChecked,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := object(t, test.give)
			row.Default(got)
			row.PrepareForCreate(got)
			if diff := cmp.Diff(test.want, messages(row.Validate(got))); diff != "" {
				t.Errorf("(-want +got): %s", diff)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	row := rowsOf(t, cronTabs)[0]
	for name, test := range map[string]struct {
		old, give  string
		want       []string
		generation int64
	}{
		"nothing":               {`spec: {replicas: 2}`, `spec: {replicas: 2}`, nil, 1},
		"spec":                  {`spec: {replicas: 2}`, `spec: {replicas: 3}`, nil, 2},
		"labels":                {`spec: {replicas: 2}`, `{metadata: {name: x, labels: {a: b}}, spec: {replicas: 2}}`, nil, 1},
		"status is not touched": {`{spec: {replicas: 2}, status: {ready: true}}`, `{spec: {replicas: 2}, status: {ready: false}}`, nil, 1},
		"transition rule":       {`spec: {image: a}`, `spec: {image: b}`, []string{`spec: Invalid value: the image stays`}, 2},
		"what was wrong may stay": {
			`spec: {tags: [a, a], replicas: 11}`, `{metadata: {name: x, labels: {a: b}}, spec: {tags: [a, a], replicas: 11}}`, nil, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			old, got := object(t, test.old), object(t, test.give)
			for _, o := range []*unstructured.Unstructured{old, got} {
				row.Default(o)
				o.SetGeneration(1)
			}
			row.PrepareForUpdate(got, old)
			errs := messages(row.ValidateUpdate(got, old))
			if diff := cmp.Diff(test.want, errs); diff != "" {
				t.Errorf("(-want +got): %s", diff)
			}
			if got.GetGeneration() != test.generation {
				t.Errorf("the generation is %d", got.GetGeneration())
			}
			if diff := cmp.Diff(old.Object["status"], got.Object["status"]); diff != "" {
				t.Errorf("the status changed: %s", diff)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	row := rowsOf(t, cronTabs)[0]
	old := object(t, `{metadata: {name: x, labels: {a: b}}, spec: {cronSpec: a b c d e, replicas: 2, image: a}}`)
	got := object(t, `{spec: {replicas: 7, image: b}, status: {replicas: 2, ready: true}}`)
	row.Status.Prepare(got, old)
	want := object(t, `{metadata: {name: x, labels: {a: b}}, spec: {cronSpec: a b c d e, replicas: 2, image: a}, status: {replicas: 2, ready: true}}`)
	if diff := cmp.Diff(want.Object, got.Object); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
	if errs := row.Status.Validate(got, old); len(errs) > 0 {
		t.Error(errs)
	}
	wrong := object(t, `{status: {replicas: -1, ready: maybe}}`)
	row.Status.Prepare(wrong, old)
	errs := messages(row.Status.Validate(wrong, old))
	wantErrs := []string{
		`status.ready: Invalid value: "string": ready in body must be of type boolean: "string"`,
		`.status.replicas: Invalid value: -1: should be a non-negative integer`,
	}
	if diff := cmp.Diff(wantErrs, errs[:min(2, len(errs))]); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
}

func TestScale(t *testing.T) {
	row := rowsOf(t, cronTabs)[0]
	got := object(t, `{spec: {replicas: 2}, status: {replicas: 1, selector: app=x}}`)
	row.Scale.Set(got, 5)
	wanted, present, selector := row.Scale.Get(got)
	if wanted != 5 || present != 1 || selector != "app=x" {
		t.Errorf("got %d, %d, %s", wanted, present, selector)
	}
	if wanted, present, selector := row.Scale.Get(object(t, `{}`)); wanted != 0 || present != 0 || selector != "" {
		t.Errorf("got %d, %d, %s of nothing", wanted, present, selector)
	}
}

func TestColumnsAndFields(t *testing.T) {
	rows := rowsOf(t, cronTabs)
	row := rows[0]
	var names []string
	for _, c := range row.Columns {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"Name", "Spec", "Replicas", "Ratio", "Ready", "Ports", "Age"}, names); diff != "" {
		t.Error(diff)
	}
	o := object(t, `{spec: {cronSpec: a, replicas: 2, ratio: 1.5, image: i, ports: [{name: p}, {name: q}]}, status: {ready: true}}`)
	if diff := cmp.Diff([]any{"x", "a", int64(2), 1.5, true, "p", nil}, row.Cells(o)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"x", nil, nil, nil, nil, nil, nil}, row.Cells(object(t, `spec: {replicas: two, ratio: x}`))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"spec.image"}, row.FieldNames); diff != "" {
		t.Error(diff)
	}
	if got := row.Fields(o)["spec.image"]; got != "i" {
		t.Errorf("the field is %q", got)
	}
	if got := row.Fields(object(t, `{}`)); got["spec.image"] != "" {
		t.Errorf("the field is %q", got)
	}
	if columns := rows[1].Columns; len(columns) != 2 || columns[1].Name != "Age" {
		t.Errorf("the columns of a version without any are %v", columns)
	}
}

func TestVersions(t *testing.T) {
	rows := rowsOf(t, cronTabs)
	o := object(t, `{apiVersion: stable.example.com/v1beta1, kind: CronTab, metadata: {name: x}, spec: {replicas: 2}}`)
	stored, err := rows[1].ToStorage(o)
	if err != nil {
		t.Fatal(err)
	}
	if got := stored.GetObjectKind().GroupVersionKind().Version; got != "v1" {
		t.Errorf("stored as %s", got)
	}
	shown, err := rows[1].FromStorage(stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o.Object, shown.(*unstructured.Unstructured).Object); diff != "" {
		t.Errorf("an object does not survive its way through the store: %s", diff)
	}
}

func TestFinalizerWarnings(t *testing.T) {
	row := rowsOf(t, cronTabs)[0]
	o := object(t, `metadata: {name: x, finalizers: [mine, example.com/mine, foregroundDeletion, my.domain]}`)
	want := []string{
		`metadata.finalizers: "mine": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers`,
		`metadata.finalizers: "my.domain": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers`,
	}
	if diff := cmp.Diff(want, row.Warnings(o, nil)); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
	if got := row.Warnings(o, o); len(got) > 0 {
		t.Errorf("warned again: %v", got)
	}
}

func TestNoWebhooks(t *testing.T) {
	definition := define(t, cronTabs)
	definition.Spec.Conversion.Strategy = apiextensionsv1.WebhookConverter
	if _, err := custom.Rows(definition); err == nil || !strings.Contains(err.Error(), "strategy None only") {
		t.Errorf("got %v", err)
	}
}
