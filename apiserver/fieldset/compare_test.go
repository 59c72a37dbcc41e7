package fieldset

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// Our comparison of two objects is that of structured-merge-diff with client-go's schema.
func TestCompareIsTheLibrarys(t *testing.T) {
	converter := applyconfigurations.NewTypeConverter(scheme.Scheme)
	var types Types
	for _, kind := range []runtime.Object{&corev1.Pod{}, &corev1.Service{}, &corev1.Node{}, &corev1.ConfigMap{}, &corev1.PersistentVolume{},
		&corev1.ServiceAccount{}, &corev1.Event{}, &appsv1.Deployment{}, &appsv1.ControllerRevision{}, &batchv1.CronJob{}, &networkingv1.Ingress{}} {
		t.Run(fmt.Sprintf("%T", kind), func(t *testing.T) {
			random, fill := rand.New(rand.NewPCG(1, 2)), filler()
			for round := range 30 {
				before, after := fresh(kind), fresh(kind)
				fill.Fill(before)
				fill.Fill(after)
				if round%3 != 0 {
					other := after
					after = before.DeepCopyObject()
					mix(random, reflect.ValueOf(after).Elem(), reflect.ValueOf(other).Elem())
				}
				want, wantErr := libraryCompare(converter, before, after)
				got, err := types.Compare(before, after, "")
				if wantErr != nil {
					continue // the library refuses objects for more reasons
				}
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				for name, sets := range map[string][2]string{
					"added":    {want.Added.String(), got.Added.String()},
					"modified": {want.Modified.String(), got.Modified.String()},
					"removed":  {want.Removed.String(), got.Removed.String()},
				} {
					if diff := cmp.Diff(sets[0], sets[1]); diff != "" {
						t.Fatalf("round %d: %s (-library +own): %s", round, name, diff)
					}
				}
			}
		})
	}
}

func fresh(kind runtime.Object) runtime.Object {
	return reflect.New(reflect.TypeOf(kind).Elem()).Interface().(runtime.Object)
}

func libraryCompare(converter interface {
	ObjectToTyped(runtime.Object, ...typed.ValidationOptions) (*typed.TypedValue, error)
}, before, after runtime.Object) (*typed.Comparison, error) {
	var values [2]*typed.TypedValue
	for i, object := range []runtime.Object{before, after} {
		gvks, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			return nil, err
		}
		named := object.DeepCopyObject()
		named.GetObjectKind().SetGroupVersionKind(gvks[0])
		if values[i], err = converter.ObjectToTyped(named, typed.AllowDuplicates); err != nil {
			return nil, err
		}
	}
	return values[0].Compare(values[1])
}

// filler makes random objects.
func filler() *randfill.Filler {
	return randfill.NewWithSeed(7).NilChance(.4).NumElements(0, 3).MaxDepth(12).Funcs(
		func(*metav1.FieldsV1, randfill.Continue) {},
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			m.Name, m.Namespace, m.UID = "x", "default", "u"
			c.Fill(&m.Labels)
			c.Fill(&m.Annotations)
			c.Fill(&m.Finalizers)
			c.Fill(&m.OwnerReferences)
		},
		func(*metav1.TypeMeta, randfill.Continue) {},
		func(s *string, c randfill.Continue) { *s = []string{"", "a", "b", "c", "d"}[c.Intn(5)] },
		func(e *runtime.RawExtension, c randfill.Continue) { e.Raw = fmt.Appendf(nil, `{"a":%d}`, c.Intn(3)) },
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(c.Int63n(1e6), resource.DecimalSI)
		},
		func(t *metav1.Time, c randfill.Continue) { *t = metav1.Unix(c.Int63n(1e9)+1, 0) },
	)
}

// mix takes over some parts of another object.
func mix(random *rand.Rand, to, from reflect.Value) {
	for i := range to.NumField() {
		x, y := to.Field(i), from.Field(i)
		switch {
		case x.Kind() == reflect.Struct && !x.Addr().Type().Implements(marshaler):
			mix(random, x, y)
		case x.Kind() == reflect.Slice && x.Len() > 0 && y.Len() > 0 && random.IntN(2) == 0:
			x.Set(reflect.Append(x, y.Index(0)))
		case random.IntN(4) == 0:
			x.Set(y)
		}
	}
}

// Two changes have the same sum when they are the same, and only then.
func TestSumTellsChangesApart(t *testing.T) {
	var types Types
	changes, sums := map[uint64]string{}, map[string]uint64{}
	random, fill := rand.New(rand.NewPCG(3, 4)), filler()
	for range 200 {
		before, other := &corev1.Pod{}, &corev1.Pod{}
		fill.Fill(before)
		fill.Fill(other)
		after := before.DeepCopy()
		mix(random, reflect.ValueOf(after).Elem(), reflect.ValueOf(other).Elem())
		for _, pair := range [][2]*corev1.Pod{{before, after}, {before.DeepCopy(), after.DeepCopy()}, {after, before}, {&corev1.Pod{}, after}} {
			sum, address, err := types.Sum(pair[0], pair[1], "", true)
			if err != nil {
				continue
			}
			change, err := types.Compare(pair[0], pair[1], address)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprint(change.Added, change.Modified, change.Removed)
			if known, ok := changes[sum]; ok && known != text {
				t.Fatalf("two changes have the sum %x:\n%s\n%s", sum, known, text)
			}
			if known, ok := sums[text]; ok && known != sum {
				t.Fatalf("a change has the sums %x and %x:\n%s", known, sum, text)
			}
			changes[sum], sums[text] = text, sum
		}
	}
	if len(sums) < 100 {
		t.Errorf("only %d different changes were compared", len(sums))
	}
}

// Values do not count, nor does the order in which maps are walked.
func TestSumIsOfTheFieldsOnly(t *testing.T) {
	var types Types
	pod := func(value string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			p.Labels[name] = value
		}
		p.Spec.Containers = []corev1.Container{{Name: "app", Image: value, Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}
		return p
	}
	first, _, err := types.Sum(&corev1.Pod{}, pod("one"), "", true)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _, err := types.Sum(&corev1.Pod{}, pod("other"), "", true); err != nil || again != first {
			t.Fatalf("%x, then %x (%v)", first, again, err)
		}
	}
	port := pod("one")
	port.Spec.Containers[0].Ports[0].ContainerPort = 81
	if other, _, _ := types.Sum(&corev1.Pod{}, port, "", true); other == first {
		t.Error("another port has the same sum")
	}
}

// The address of a pod is hidden, so that what is reported of many pods changes the same; shown again, the fields are as if
// nothing had been hidden. Of two addresses none is hidden: they would be in the wrong order.
func TestAnAddressIsHidden(t *testing.T) {
	var types Types
	reported := func(ips ...string) *corev1.Pod {
		p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		for _, ip := range ips {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
		}
		return p
	}
	sums := map[uint64]bool{}
	for _, ip := range []string{"10.97.2.3", "fd00::1"} {
		sum, address, err := types.Sum(&corev1.Pod{}, reported(ip), "", true)
		if err != nil || address != ip {
			t.Fatalf("%q is hidden (%v)", address, err)
		}
		sums[sum] = true
		plain, err := types.Compare(&corev1.Pod{}, reported(ip), "")
		if err != nil {
			t.Fatal(err)
		}
		change, err := types.Compare(&corev1.Pod{}, reported(ip), address)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := plain.Added.ToJSON()
		covered, _ := change.Added.ToJSON()
		if diff := cmp.Diff(string(want), string(Show(covered, address))); diff != "" {
			t.Errorf("shown (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(string(covered), string(Hide(want, address))); diff != "" {
			t.Errorf("hidden again (-want +got):\n%s", diff)
		}
		if found, only := AddressIn(want, ""); found != ip || !only {
			t.Errorf("found %q, the only one: %v", found, only)
		}
		if _, only := AddressIn(want, "10.97.9.9"); only {
			t.Error("another address is taken for the same")
		}
	}
	if len(sums) != 1 {
		t.Errorf("%d different changes, want one", len(sums))
	}
	for _, several := range [][2]*corev1.Pod{{{}, reported("10.97.2.3", "fd00::1")}, {reported("10.97.2.3"), reported("fd00::1")}, {{}, reported("@")}} {
		if _, address, err := types.Sum(several[0], several[1], "", true); err != nil || address != "" {
			t.Errorf("of %v and %v %q is hidden (%v)", several[0].Status.PodIPs, several[1].Status.PodIPs, address, err)
		}
	}
}
