package disruption_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"kubette/controllers"
	"kubette/controllers/controllertest"
	"kubette/controllers/disruption"
)

func start(t *testing.T) *controllertest.Cluster {
	return controllertest.Start(t, func(base controllers.Base) []controllers.Controller {
		return []controllers.Controller{disruption.New(base)}
	})
}

// pod makes a pod of the app web, of an owner if there is a kind.
func pod(c *controllertest.Cluster, name, ownerKind string) *corev1.Pod {
	template := controllertest.Template("web", "web:1")
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: template.Labels}, Spec: template.Spec}
	if ownerKind != "" {
		made.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: ownerKind, Name: "web", UID: "1", Controller: ptr.To(true)}}
	}
	return controllertest.Create(c, made)
}

func budget(c *controllertest.Cluster, name string, disrupted ...string) {
	controllertest.Create(c, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}})
	if len(disrupted) > 0 {
		c.Settle()
		controllertest.ChangeStatus(c, "default", name, func(b *policyv1.PodDisruptionBudget) {
			b.Status.DisruptedPods = map[string]metav1.Time{}
			for _, name := range disrupted {
				b.Status.DisruptedPods[name] = metav1.Now()
			}
		})
	}
}

// A pod that was to be deleted and was not is no target any more after two minutes.
func TestAMarkThatIsStale(t *testing.T) {
	for name, test := range map[string]struct {
		change func(pod *corev1.Pod)
		reason string
		stays  bool
	}{
		"of an eviction":             {reason: "EvictionByEvictionAPI"},
		"of a kubelet":               {reason: corev1.PodReasonTerminationByKubelet, stays: true},
		"of a pod that has finished": {reason: "EvictionByEvictionAPI", change: func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodSucceeded }, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				pod(c, "web", "")
				controllertest.ChangeStatus(c, "default", "web", func(pod *corev1.Pod) {
					controllers.SetPodCondition(&pod.Status, corev1.PodCondition{
						Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: test.reason, Message: "because",
					})
					if test.change != nil {
						test.change(pod)
					}
				})
				mark := func() corev1.PodCondition {
					return *controllers.PodCondition(&controllertest.Get[*corev1.Pod](c, "default", "web").Status, corev1.DisruptionTarget)
				}
				c.Pass(119 * time.Second)
				if got := mark(); got.Status != corev1.ConditionTrue {
					t.Fatalf("after 119 s it is %+v", got)
				}
				c.Pass(2 * time.Second)
				if got := mark(); (got.Status == corev1.ConditionTrue) != test.stays || !test.stays && got.Reason+got.Message != "" {
					t.Errorf("after two minutes it is %+v", got)
				}
			})
		})
	}
}

func TestWhatIsSaidAboutBudgets(t *testing.T) {
	for name, test := range map[string]struct {
		make        func(c *controllertest.Cluster)
		budget, pod []string
	}{
		"the pods' owner is gone": {
			make: func(c *controllertest.Cluster) {
				pod(c, "web-1", "ReplicaSet")
				c.Settle()
				budget(c, "web")
			},
			budget: []string{`CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: found no controllers for pod "web-1"`},
		},
		"the pods have no owner": {
			make: func(c *controllertest.Cluster) {
				pod(c, "web-1", "")
				c.Settle()
				budget(c, "web")
			},
			budget: []string{"UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string" +
				"{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged. As a result, the status of the PDB cannot be " +
				"calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."},
		},
		"two budgets take a pod": {
			make: func(c *controllertest.Cluster) {
				budget(c, "api")
				budget(c, "web")
				c.Settle()
				pod(c, "web-1", "ReplicaSet")
			},
			budget: []string{"NoPods: No matching pods found", `CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: found no controllers for pod "web-1"`},
			pod:    []string{`MultiplePodDisruptionBudgets: Pod "default"/"web-1" matches multiple PodDisruptionBudgets.  Chose "api" arbitrarily.`},
		},
		"a pod outlives its eviction": {
			make: func(c *controllertest.Cluster) {
				pod(c, "web-1", "")
				c.Settle()
				budget(c, "web", "web-1")
				c.Settle()
				controllertest.Change(c, "default", "web", func(b *policyv1.PodDisruptionBudget) {
					b.Spec.MaxUnavailable, b.Spec.MinAvailable = nil, ptr.To(intstr.FromInt32(1))
				})
				c.Pass(3 * time.Minute)
			},
			pod: []string{"NotDeleted: Pod was expected by PDB default/default to be deleted but it wasn't"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t)
				test.make(c)
				c.Settle()
				if test.budget != nil {
					if diff := cmp.Diff(test.budget, c.Events("PodDisruptionBudget", "web")); diff != "" {
						t.Errorf("events of the budget (-want +got):\n%s", diff)
					}
				}
				if diff := cmp.Diff(test.pod, c.Events("Pod", "web-1")); diff != "" {
					t.Errorf("events of the pod (-want +got):\n%s", diff)
				}
			})
		})
	}
}
