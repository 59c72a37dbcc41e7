package apiserver

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/randfill"

	"kubette/apiserver/kinds"
)

// Our own record of managed fields must be the library's, to the letter: random objects are created and changed by
// several managers, both ways.
func TestRecordIsTheLibrarys(t *testing.T) {
	builtinTypes() // its lock does not belong to a bubble
	r, err := newRegistry(kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range r.ordered {
		if res.Virtual || res.custom() {
			continue
		}
		t.Run(res.Plural, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { compareRecords(t, res) })
		})
	}
}

var addresses = []string{"10.97.2.3", "10.97.2.4", "fd00::1", "@", `"`}

func compareRecords(t *testing.T, res *resource) {
	random := rand.New(rand.NewPCG(1, 2))
	fill := randfill.NewWithSeed(7).NilChance(.4).NumElements(0, 3).MaxDepth(12).Funcs(
		func(u *metav1.FieldsV1, c randfill.Continue) {},
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			m.Name, m.Namespace, m.UID = "x", "default", "u"
			c.Fill(&m.Labels)
			c.Fill(&m.Annotations)
			c.Fill(&m.Finalizers)
		},
		func(m *metav1.TypeMeta, c randfill.Continue) {},
		func(e *runtime.RawExtension, c randfill.Continue) { e.Raw = fmt.Appendf(nil, `{"a":%d}`, c.Intn(3)) },
		func(q *quantity.Quantity, c randfill.Continue) {
			*q = *quantity.NewMilliQuantity(c.Int63n(1e6), quantity.DecimalSI)
		},
		func(t *metav1.Time, c randfill.Continue) { *t = metav1.Unix(c.Int63n(1e9)+1, 0) },
		// By addresses items are told apart, too; and there are texts that are none.
		func(p *corev1.PodIP, c randfill.Continue) { p.IP = addresses[c.Intn(len(addresses))] },
		func(a *corev1.HostAlias, c randfill.Continue) { a.IP = addresses[c.Intn(len(addresses))] },
	)
	rounds := 3
	if res.Plural == "pods" {
		rounds = 60 // of which few have one address
	}
	for round := range rounds {
		var old kinds.Object
		for step := range 6 {
			object := res.New()
			fill.Fill(object)
			if old != nil {
				object = mixed(random, old, object)
				object.SetManagedFields(old.GetManagedFields())
			}
			op := &operation{resource: res, manager: []string{"a", "b", ""}[random.IntN(3)]}
			if res.Status != nil && random.IntN(2) == 0 {
				op.Subresource = "status"
			}
			before := object.DeepCopyObject().(kinds.Object)
			fast := object.DeepCopyObject().(kinds.Object)
			done, err := res.managers.record(op, old, fast)
			if err != nil {
				continue // the library does not record this, either: an item lacks its keys
			}
			if !done {
				t.Fatalf("round %d step %d: not done, %v", round, step, err)
			}
			slow := res.managers.updatedByLibrary(op, old, object.DeepCopyObject().(kinds.Object))
			if diff := cmp.Diff(entriesOf(slow), entriesOf(fast)); diff != "" {
				t.Fatalf("round %d step %d (-library +own): %s", round, step, diff)
			}
			fast.SetManagedFields(before.GetManagedFields())
			if !reflect.DeepEqual(before, fast) {
				t.Fatal("recording changed the object")
			}
			old = slow
		}
	}
}

// mixed takes some parts from one object and some from another.
func mixed(random *rand.Rand, a, b kinds.Object) kinds.Object {
	result := a.DeepCopyObject().(kinds.Object)
	mix(random, reflect.ValueOf(result).Elem(), reflect.ValueOf(b).Elem())
	return result
}

func mix(random *rand.Rand, to, from reflect.Value) {
	for i := range to.NumField() {
		x, y := to.Field(i), from.Field(i)
		switch {
		case x.Kind() == reflect.Struct && !x.Addr().Type().Implements(reflect.TypeFor[json.Marshaler]()):
			mix(random, x, y)
		case x.Kind() == reflect.Slice && x.Len() > 0 && y.Len() > 0 && random.IntN(2) == 0:
			x.Set(reflect.Append(x, y.Index(0)))
		case random.IntN(4) == 0:
			x.Set(y)
		}
	}
}

func entriesOf(object kinds.Object) []map[string]string {
	entries := []map[string]string{}
	for _, e := range object.GetManagedFields() {
		entries = append(entries, map[string]string{"manager": e.Manager, "operation": string(e.Operation), "version": e.APIVersion,
			"subresource": e.Subresource, "type": e.FieldsType, "time": e.Time.String(), "fields": string(rawFields(e.FieldsV1))})
	}
	return entries
}
