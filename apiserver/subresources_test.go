package apiserver_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubette/client"
)

func TestBinding(t *testing.T) {
	_, c := start(t)
	pods := client.Of[*corev1.Pod](c)
	before := must(pods.Create(t.Context(), pod("p")))(t)
	expected := before.DeepCopy()
	expected.Status.NominatedNodeName = "worker-1"
	must(pods.UpdateStatus(t.Context(), expected))(t)
	bind := func(node string) error {
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
		_, err := c.Create(t.Context(), podsGVR, "default", "p", binding, metav1.CreateOptions{}, "binding")
		return err
	}
	if err := bind("worker-1"); err != nil {
		t.Fatal(err)
	}
	bound := must(pods.Get(t.Context(), "default", "p"))(t)
	if bound.Spec.NodeName != "worker-1" || before.Spec.NodeName != "" {
		t.Errorf("bound to %q, before to %q", bound.Spec.NodeName, before.Spec.NodeName)
	}
	if bound.Status.NominatedNodeName != "" {
		t.Errorf("still expected on %q", bound.Status.NominatedNodeName)
	}
	if c := bound.Status.Conditions; len(c) != 1 || c[0].Type != corev1.PodScheduled || c[0].Status != corev1.ConditionTrue || c[0].LastTransitionTime.IsZero() {
		t.Errorf("conditions are %v", c)
	}
	wantStatus(t, bind("worker-2"), 409, `Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "worker-1"`)
	wantStatus(t, bind(""), 500, "target.name: Required value")
}

func TestEvictionRespectsBudgets(t *testing.T) {
	_, c := start(t)
	pods, budgets := client.Of[*corev1.Pod](c), client.Of[*policyv1.PodDisruptionBudget](c)
	running := func(name string) {
		p := must(pods.Create(t.Context(), pod(name)))(t).DeepCopy()
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		must(pods.UpdateStatus(t.Context(), p))(t)
	}
	running("a")
	running("b")
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
	budget = must(budgets.Create(t.Context(), budget))(t)
	evict := func(name string) error {
		_, err := c.Create(t.Context(), podsGVR, "default", name, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}},
			metav1.CreateOptions{}, "eviction")
		return err
	}
	const violated = "Cannot evict pod as it would violate the pod's disruption budget."
	wantStatus(t, evict("a"), 429, violated) // nobody has counted yet
	budget = budget.DeepCopy()
	budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: budget.Generation, DisruptionsAllowed: 1, CurrentHealthy: 2, DesiredHealthy: 1, ExpectedPods: 2}
	must(budgets.UpdateStatus(t.Context(), budget))(t)
	if err := evict("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(t.Context(), "default", "a"); !apierrors.IsNotFound(err) {
		t.Errorf("the evicted pod: %v", err)
	}
	err := evict("b")
	wantStatus(t, err, 429, violated)
	if causes := err.(apierrors.APIStatus).Status().Details.Causes; len(causes) != 1 || //nolint:errorlint // it is one
		causes[0].Message != "The disruption budget web needs 1 healthy pods and has 2 currently" {
		t.Errorf("causes are %v", causes)
	}
}

func TestEphemeralContainersAreOnlyAdded(t *testing.T) {
	_, c := start(t)
	pods := client.Of[*corev1.Pod](c)
	p := must(pods.Create(t.Context(), pod("p")))(t)
	update := func(p *corev1.Pod) (*corev1.Pod, error) {
		object, err := c.Update(t.Context(), podsGVR, "default", "p", p, metav1.UpdateOptions{}, "ephemeralcontainers")
		if err != nil {
			return nil, err
		}
		return object.(*corev1.Pod), nil
	}
	debug := p.DeepCopy()
	debug.Spec.Containers[0].Image = "ignored"
	debug.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox",
		TerminationMessagePolicy: "File", ImagePullPolicy: "Always"}}}
	p = must(update(debug))(t)
	if len(p.Spec.EphemeralContainers) != 1 || p.Spec.Containers[0].Image != "nginx" {
		t.Errorf("got %+v", p.Spec)
	}
	none := p.DeepCopy()
	none.Spec.EphemeralContainers = nil
	if _, err := update(none); apierrors.ReasonForError(err) != metav1.StatusReasonInvalid {
		t.Errorf("removing it: %v", err)
	}
}

func TestServiceAddresses(t *testing.T) {
	_, c := start(t)
	services := client.Of[*corev1.Service](c)
	service := func(name, address string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
			Spec: corev1.ServiceSpec{ClusterIP: address, Ports: []corev1.ServicePort{{Port: 80}}, Type: corev1.ServiceTypeNodePort}}
	}
	a := must(services.Create(t.Context(), service("a", "10.96.0.77")))(t)
	if a.Spec.ClusterIP != "10.96.0.77" || a.Spec.Ports[0].NodePort < 30000 {
		t.Errorf("got %+v", a.Spec)
	}
	_, err := services.Create(t.Context(), service("b", "10.96.0.77"))
	wantStatus(t, err, 422, `Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.77"]: failed to allocate IP 10.96.0.77: provided IP is already allocated`)
	b := must(services.Create(t.Context(), service("b", "")))(t)
	if b.Spec.ClusterIP == "" || b.Spec.ClusterIP == a.Spec.ClusterIP || b.Spec.Ports[0].NodePort == a.Spec.Ports[0].NodePort {
		t.Errorf("got %+v", b.Spec)
	}
	if err := services.Delete(t.Context(), "default", "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	must(services.Create(t.Context(), service("c", "10.96.0.77")))(t)
}

func TestCreateRefuses(t *testing.T) {
	_, c := start(t)
	maps := client.Of[*corev1.ConfigMap](c)
	must(maps.Create(t.Context(), configMap("a", nil)))(t)
	_, err := maps.Create(t.Context(), configMap("a", nil))
	wantStatus(t, err, 409, `configmaps "a" already exists`)
	_, err = c.Create(t.Context(), configMaps, "other", "", configMap("b", nil), metav1.CreateOptions{})
	wantStatus(t, err, 400, "the namespace of the provided object does not match the namespace sent on the request")
	versioned := configMap("b", nil)
	versioned.ResourceVersion = "1"
	_, err = maps.Create(t.Context(), versioned)
	wantStatus(t, err, 500, "resourceVersion should not be set on objects to be created")
	_, err = maps.Create(t.Context(), configMap("", nil))
	wantStatus(t, err, 422, `ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required`)
	generated := configMap("", nil)
	generated.GenerateName = "g-"
	one, two := must(maps.Create(t.Context(), generated))(t), must(maps.Create(t.Context(), generated))(t)
	if one.Name == two.Name || len(one.Name) != len("g-")+5 {
		t.Errorf("generated %q and %q", one.Name, two.Name)
	}
}
