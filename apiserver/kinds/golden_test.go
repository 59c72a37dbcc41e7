package kinds

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	kjson "sigs.k8s.io/json"
)

// The cases in testdata/golden are requests to kube-apiserver v1.37 with its answers. Here each goes through its row as
// the server would take it: decode, default, prepare, validate, allocate. What the server or admission adds (times,
// service accounts, tolerations, …) is left out of the comparison.

const goldenNamespace = "golden-namespace"

type goldenCase struct {
	ID, Method, Path string
	Body             map[string]any
	Change           [][2]any
	Code             int
	Response         map[string]any
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/cases/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		for _, c := range readGolden[[]goldenCase](t, file) {
			t.Run(c.ID, func(t *testing.T) { replay(t, c) })
		}
	}
}

func readGolden[T any](t *testing.T, file string) (value T) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.ReplaceAll(string(data), "{ns}", goldenNamespace))
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return value
}

// replay sends one case through its row.
func replay(t *testing.T, c goldenCase) {
	row := rowOf(c.Path)
	if row == nil {
		t.Skip("the kind has no row yet")
	}
	if c.Code != http.StatusCreated && c.Code != http.StatusOK && c.Code != http.StatusUnprocessableEntity {
		t.Skip("answered before validation")
	}
	cluster := newFakeCluster()
	object, refused := create(t, row, c.Body, cluster)
	if c.Method == http.MethodPut {
		if len(refused) > 0 {
			t.Fatalf("cannot create the object to change: %v", refused)
		}
		object, refused = update(t, row, object, c.Change, cluster)
	}
	if c.Code == http.StatusUnprocessableEntity {
		if diff := cmp.Diff(causesOf(c.Response["details"]), refused); diff != "" {
			t.Errorf("causes (-want +got):\n%s", diff)
		}
		return
	}
	if len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	if diff := cmp.Diff(ours(c, c.Response), ours(c, toMap(t, object))); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

// rowOf finds the row of a path such as /apis/apps/v1/namespaces/NS/deployments.
func rowOf(path string) *Kind {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	group := ""
	if parts[0] == "apis" {
		group, parts = parts[1], parts[1:]
	}
	version, plural := parts[1], parts[len(parts)-1]
	for _, row := range All() {
		if row.Group == group && row.Version == version && row.Plural == plural {
			return row
		}
	}
	return nil
}

// create takes a new object through its row. It returns why the object is refused, nil when it is not.
func create(t *testing.T, row *Kind, body map[string]any, cluster Cluster) (object Object, refused []string) {
	object = decode(t, row, body)
	if object.GetName() == "" && object.GetGenerateName() != "" {
		object.SetName(object.GetGenerateName() + "XXXXX")
	}
	if row.Namespaced {
		object.SetNamespace(goldenNamespace)
	}
	object.SetUID("UID")
	admit(object)
	if row.PrepareForCreate != nil {
		row.PrepareForCreate(object)
	}
	if row.Validate != nil {
		if errs := row.Validate(object); len(errs) > 0 {
			return object, causesOf(invalidDetails(errs))
		}
	}
	return object, allocate(t, row, cluster, object, nil)
}

func update(t *testing.T, row *Kind, old Object, changes [][2]any, cluster Cluster) (object Object, refused []string) {
	live := toMap(t, old)
	for _, change := range changes {
		put(live, strings.Split(change[0].(string), "."), change[1])
	}
	object = decode(t, row, live)
	object.SetGeneration(old.GetGeneration())
	if row.PrepareForUpdate != nil {
		row.PrepareForUpdate(object, old)
	}
	if row.ValidateUpdate != nil {
		if errs := row.ValidateUpdate(object, old); len(errs) > 0 {
			return object, causesOf(invalidDetails(errs))
		}
	}
	return object, allocate(t, row, cluster, object, old)
}

func allocate(t *testing.T, row *Kind, cluster Cluster, object, old Object) (refused []string) {
	if row.Allocate == nil {
		return nil
	}
	_, err := row.Allocate(t.Context(), cluster, object, old)
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && status.Status().Details != nil:
		return causesOf(status.Status().Details)
	}
	return []string{err.Error()}
}

func invalidDetails(errs field.ErrorList) *metav1.StatusDetails {
	return apierrors.NewInvalid(schema.GroupKind{}, "", errs).Status().Details
}

func decode(t *testing.T, row *Kind, body map[string]any) Object {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	object := row.New()
	if strict, err := kjson.UnmarshalStrict(data, object); err != nil || len(strict) > 0 {
		t.Fatalf("decode: %v %v", err, strict)
	}
	if row.Default != nil {
		row.Default(object)
	}
	return object
}

func toMap(t *testing.T, object Object) (m map[string]any) {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// put sets a field by its path; nil removes it.
func put(at any, path []string, value any) {
	for i, key := range path {
		last := i == len(path)-1
		switch node := at.(type) {
		case []any:
			n, _ := strconv.Atoi(key)
			if last {
				node[n] = value
			}
			at = node[n]
		case map[string]any:
			switch {
			case last && value == nil:
				delete(node, key)
			case last:
				node[key] = value
			case node[key] == nil:
				node[key] = map[string]any{}
			}
			at = node[key]
		}
	}
}

// causesOf are the causes in a Status' details that a row finds: metadata is checked for every kind alike.
func causesOf(details any) (causes []string) {
	data, _ := json.Marshal(details)
	var d metav1.StatusDetails
	_ = json.Unmarshal(data, &d)
	for _, cause := range d.Causes {
		if !ofMetadata(cause.Field) {
			causes = append(causes, recorded.Replace(fmt.Sprintf("%s %s: %s", cause.Type, cause.Field, cause.Message)))
		}
	}
	return causes
}

func ofMetadata(field string) bool { return strings.HasPrefix(field, "metadata.") }

// ours leaves of an object what its row decides, with values that differ each time replaced as in the recording.
func ours(c goldenCase, object map[string]any) map[string]any {
	object = scrub(object).(map[string]any)
	delete(object, "kind")
	delete(object, "apiVersion")
	metadata := object["metadata"].(map[string]any)
	for _, key := range []string{"creationTimestamp", "resourceVersion", "uid", "namespace", "managedFields"} {
		delete(metadata, key)
	}
	if c.Method == http.MethodPut {
		// Controllers act between the two requests.
		delete(object, "status")
		delete(metadata, "annotations")
	}
	prune(object)
	return object
}

// prune removes empty objects, which a conversion adds or leaves out as it likes.
func prune(m map[string]any) {
	for key, value := range m {
		if inner, ok := value.(map[string]any); ok {
			prune(inner)
			if len(inner) == 0 {
				delete(m, key)
			}
		}
	}
}

// admit does what admission does in a new cluster.
func admit(object Object) {
	switch o := object.(type) {
	case *corev1.PersistentVolume:
		o.Finalizers = append(o.Finalizers, "kubernetes.io/pv-protection")
	case *corev1.PersistentVolumeClaim:
		o.Finalizers = append(o.Finalizers, "kubernetes.io/pvc-protection")
	case *corev1.Node:
		o.Spec.Taints = append(o.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	case *corev1.Pod:
		spec := &o.Spec
		setDefault(&spec.ServiceAccountName, "default")
		spec.DeprecatedServiceAccount = spec.ServiceAccountName
		setDefaultPointer(&spec.Priority, 0)
		setDefaultPointer(&spec.PreemptionPolicy, corev1.PreemptLowerPriority)
		for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
			spec.Tolerations = append(spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300),
			})
		}
		const token = "kube-api-access-abcde"
		for c := range allContainers(spec) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: token, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
		}
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: token, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			DefaultMode: ptr.To[int32](0o644),
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: ptr.To[int64](3607), Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{
					LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
					Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
				}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
					{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}},
				}}},
			},
		}}})
	}
}

// recorded replaces names as the recording did.
var recorded = strings.NewReplacer(goldenNamespace, "NS", "kube-api-access-abcde", "kube-api-access-XXXXX")

var volatile = map[string]bool{"uid": true, "lastTransitionTime": true, "lastUpdateTime": true, "lastProbeTime": true, "lastPhaseTransitionTime": true}

func scrub(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			text, isText := inner.(string)
			switch {
			case volatile[key] && isText && text != "":
				out[key] = "VOLATILE"
			case key == "clusterIP" && isText && strings.HasPrefix(text, "10."):
				out[key] = "IP"
			case key == "clusterIPs":
				var ips []any
				for _, ip := range inner.([]any) {
					if strings.HasPrefix(fmt.Sprint(ip), "10.") {
						ip = "IP"
					}
					ips = append(ips, ip)
				}
				out[key] = ips
			case key == "nodePort" && !slices.Contains([]any{30080.0, 30081.0, 30082.0}, inner), key == "healthCheckNodePort":
				out[key] = "PORT"
			default:
				out[key] = scrub(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = scrub(v[i])
		}
		return out
	case string:
		if strings.Count(v, "-") == 4 && len(v) == 36 { // a UID, which a nameless limit range has for its name
			return "UID"
		}
		return recorded.Replace(v)
	}
	return value
}

func TestGoldenColumns(t *testing.T) {
	wanted := readGolden[map[string][]metav1.TableColumnDefinition](t, "testdata/golden/table-columns.json")
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		t.Run(strings.Trim(path, "/"), func(t *testing.T) {
			row := rowOf(path)
			if row == nil {
				t.Skip("the kind has no row yet")
			}
			if row.Columns == nil {
				t.Skip("the row prints the common columns")
			}
			if diff := cmp.Diff(wanted[path], row.Columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
			if cells := row.Cells(row.New()); len(cells) != len(row.Columns) {
				t.Errorf("%d cells for %d columns", len(cells), len(row.Columns))
			}
		})
	}
}

// fakeCluster is empty and hands out addresses and ports in order.
type fakeCluster struct{ addresses, ports *fakeAllocator }

func newFakeCluster() *fakeCluster {
	return &fakeCluster{
		addresses: &fakeAllocator{format: "10.96.1.%d", next: 1},
		ports:     &fakeAllocator{format: "%d", next: 31000},
	}
}

func (c *fakeCluster) Get(group, plural, namespace, name string) (Object, bool) { return nil, false }
func (c *fakeCluster) List(group, plural, namespace string) []Object            { return nil }
func (c *fakeCluster) Addresses() Allocator                                     { return c.addresses }
func (c *fakeCluster) Ports() Allocator                                         { return c.ports }

type fakeAllocator struct {
	format string
	next   int
}

// Allocate refuses ports out of range, in the real allocator's words.
func (a *fakeAllocator) Allocate(value string) error {
	if port, err := strconv.Atoi(value); err == nil && (port < 30000 || port > 32767) {
		return errors.New("provided port is not in the valid range. The range of valid ports is 30000-32767")
	}
	return nil
}

func (a *fakeAllocator) Release(string) {}

func (a *fakeAllocator) Next() (string, error) {
	a.next++
	return fmt.Sprintf(a.format, a.next), nil
}
