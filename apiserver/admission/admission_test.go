package admission_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/apiserver"
	"kubette/apiserver/admission"
	"kubette/apiserver/auth"
	"kubette/client"
	"kubette/store"
)

type cluster struct {
	client.Interface
	server *apiserver.Server
	store  store.Store
}

var admin = &user.DefaultInfo{Name: "admin"}

// newServer is an API server with the default admission.
func newServer(t *testing.T, s store.Store) *apiserver.Server {
	t.Helper()
	ca, err := auth.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := apiserver.New(apiserver.Config{Store: s, Admission: admission.Default(), Tokens: &auth.Tokens{Key: ca.Key}})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// newCluster is an API server with the default admission, a namespace default and its account.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	memory := store.NewMemory()
	server := newServer(t, memory)
	c := &cluster{client.InProcess(server, admin), server, memory}
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	create(t, c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "default"}})
	return c
}

func create[T client.Object](t *testing.T, c client.Interface, object T) T {
	t.Helper()
	made, err := client.Of[T](c).Create(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// refused wants a creation to fail with a message.
func refused[T client.Object](t *testing.T, c client.Interface, object T, message string) {
	t.Helper()
	_, err := client.Of[T](c).Create(t.Context(), object)
	if err == nil || err.Error() != message {
		t.Errorf("got  %v\nwant %s", err, message)
	}
}

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func list(cpu, memory string) corev1.ResourceList {
	l := corev1.ResourceList{}
	if cpu != "" {
		l[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		l[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return l
}

func TestNamespaceLifecycle(t *testing.T) {
	c := newCluster(t)
	refused(t, c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "nowhere"}}, `namespaces "nowhere" not found`)
	err := c.Delete(t.Context(), corev1.SchemeGroupVersion.WithResource("namespaces"), "", "default", metav1.DeleteOptions{})
	if want := `namespaces "default" is forbidden: this namespace may not be deleted`; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}})
	if err := c.Delete(t.Context(), corev1.SchemeGroupVersion.WithResource("namespaces"), "", "going", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = client.Of[*corev1.ConfigMap](c).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "going"}})
	if want := `configmaps "a" is forbidden: unable to create new content in namespace going because it is being terminated`; err == nil || err.Error() != want ||
		!apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("%v", err)
	}
}

func TestServiceAccount(t *testing.T) {
	c := newCluster(t)
	no := false
	create(t, c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "quiet", Namespace: "default"}, AutomountServiceAccountToken: &no,
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}}})
	plain := create(t, c, pod("plain"))
	if v, m := plain.Spec.Volumes, plain.Spec.Containers[0].VolumeMounts; len(v) != 1 || len(m) != 1 || m[0].Name != v[0].Name || !strings.HasPrefix(v[0].Name, "kube-api-access-") {
		t.Errorf("%v %v", v, m)
	}
	quiet := create(t, c, pod("quiet", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "quiet" }))
	if len(quiet.Spec.Volumes) != 0 || cmp.Diff(quiet.Spec.ImagePullSecrets, []corev1.LocalObjectReference{{Name: "registry"}}) != "" {
		t.Errorf("%+v", quiet.Spec)
	}
	own := create(t, c, pod("own", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "mine"}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "mine", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	}))
	if len(own.Spec.Volumes) != 1 {
		t.Errorf("%v", own.Spec.Volumes)
	}
	refused(t, c, pod("lost", func(p *corev1.Pod) { p.Spec.ServiceAccountName = "none" }),
		`pods "lost" is forbidden: error looking up service account default/none: serviceaccount "none" not found`)
}

func TestPriority(t *testing.T) {
	c := newCluster(t)
	never := corev1.PreemptNever
	create(t, c, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000, PreemptionPolicy: &never})
	high := create(t, c, pod("high", func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" }))
	if *high.Spec.Priority != 1000 || *high.Spec.PreemptionPolicy != never {
		t.Errorf("%v %v", *high.Spec.Priority, *high.Spec.PreemptionPolicy)
	}
	refused(t, c, pod("x", func(p *corev1.Pod) { p.Spec.Priority = new(int32(7)) }), `pods "x" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name`)
	create(t, c, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "usual"}, Value: 5, GlobalDefault: true})
	if usual := create(t, c, pod("usual")); *usual.Spec.Priority != 5 || usual.Spec.PriorityClassName != "usual" {
		t.Errorf("%v", usual.Spec)
	}
	refused(t, c, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "second"}, Value: 6, GlobalDefault: true},
		`priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is already marked as default. Only one default can exist`)
}

func TestLimitRanger(t *testing.T) {
	c := newCluster(t)
	create(t, c, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l", Namespace: "default"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Default: list("500m", ""), DefaultRequest: list("100m", ""), Max: list("1", ""), Min: list("50m", "")}}}})
	filled := create(t, c, pod("filled"))
	r := filled.Spec.Containers[0].Resources
	if r.Limits.Cpu().String() != "500m" || r.Requests.Cpu().String() != "100m" {
		t.Errorf("%v", r)
	}
	if got := filled.Annotations["kubernetes.io/limit-ranger"]; got != "LimitRanger plugin set: cpu request for container c; cpu limit for container c" {
		t.Errorf("%q", got)
	}
	refused(t, c, pod("big", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Limits = list("2", "") }),
		`pods "big" is forbidden: maximum cpu usage per Container is 1, but limit is 2`)
	refused(t, c, pod("small", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list("10m", "") }),
		`pods "small" is forbidden: minimum cpu usage per Container is 50m, but request is 10m`)
}

func TestResourceQuota(t *testing.T) {
	c := newCluster(t)
	hard := corev1.ResourceList{"pods": resource.MustParse("2"), "requests.cpu": resource.MustParse("1"), "count/configmaps": resource.MustParse("1"), "count/events": resource.MustParse("0")}
	create(t, c, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "default"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}})
	asks := func(cpu string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = list(cpu, "") }
	}
	refused(t, c, pod("silent"), `pods "silent" is forbidden: failed quota: q: must specify requests.cpu for: c`)
	create(t, c, pod("a", asks("600m")))
	refused(t, c, pod("b", asks("500m")), `pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1`)
	create(t, c, pod("b", asks("100m")))
	refused(t, c, pod("d", asks("100m")), `pods "d" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`)
	if err := client.Of[*corev1.Pod](c).Delete(t.Context(), "default", "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	create(t, c, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "said", Namespace: "default"}, InvolvedObject: corev1.ObjectReference{Namespace: "default"}})
	const full = `pods "d" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=800m, used: pods=2,requests.cpu=700m, limited: pods=2,requests.cpu=1`
	refused(t, c, pod("d", asks("800m")), full) // until somebody counts
	recount(t, c, "q")
	create(t, c, pod("d", asks("800m")))
	create(t, c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "default"}})
	refused(t, c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "two", Namespace: "default"}},
		`configmaps "two" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1`)
	quota, err := client.Of[*corev1.ResourceQuota](c).Get(t.Context(), "default", "q")
	if err != nil {
		t.Fatal(err)
	}
	used := quota.Status.Used // d took the place of a, and "two" is not counted
	if owners := quota.ManagedFields; owners[len(owners)-1].Manager != "kube-apiserver" || owners[len(owners)-1].Subresource != "status" {
		t.Errorf("the status was written by %+v", owners)
	}
	if pods, cpu := used["pods"], used["requests.cpu"]; pods.String() != "2" || cpu.String() != "900m" {
		t.Errorf("%v", used)
	}
}

// recount does what the controller does.
func recount(t *testing.T, c *cluster, name string) {
	t.Helper()
	quotas := client.Of[*corev1.ResourceQuota](c)
	quota, err := quotas.Get(t.Context(), "default", name)
	if err != nil {
		t.Fatal(err)
	}
	quota = quota.DeepCopy()
	quota.Status.Used = new(admission.ResourceQuota).Usage(c.server.Cluster(), quota)
	if _, err := quotas.UpdateStatus(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
}

// However many ask at the same time, of one server or of two that share a store, no more get in than the quota allows, and
// all that it allows do.
func TestResourceQuotaUnderConcurrency(t *testing.T) {
	first := newCluster(t)
	second := &cluster{Interface: client.InProcess(newServer(t, first.store), admin)}
	for name, servers := range map[string][]*cluster{"one server": {first}, "two servers": {first, second}} {
		t.Run(name, func(t *testing.T) {
			namespace := strings.ReplaceAll(name, " ", "-")
			create(t, first, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
			create(t, first, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: namespace},
				Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/configmaps": resource.MustParse("10")}}})
			var in atomic.Int32
			var all sync.WaitGroup
			for i := range 60 {
				all.Go(func() {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					one := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("c", i), Namespace: namespace}}
					for {
						_, err := client.Of[*corev1.ConfigMap](servers[i%len(servers)]).Create(ctx, one.DeepCopy())
						switch {
						case apierrors.IsConflict(err): // the other server was faster four times
							continue
						case err == nil:
							in.Add(1)
						case !apierrors.IsForbidden(err):
							t.Error(err)
						}
						return
					}
				})
			}
			all.Wait()
			if in.Load() != 10 {
				t.Errorf("%d got in, want 10", in.Load())
			}
			quota, err := client.Of[*corev1.ResourceQuota](first).Get(t.Context(), namespace, "q")
			if err != nil {
				t.Fatal(err)
			}
			if used := quota.Status.Used["count/configmaps"]; used.String() != "10" {
				t.Errorf("the status says %s, want 10", used.String())
			}
		})
	}
}

func TestPodSecurity(t *testing.T) {
	c := newCluster(t)
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "strict", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}}})
	create(t, c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "strict"}})
	privileged := pod("p", func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	})
	create(t, c, privileged)
	privileged.Namespace = "strict"
	refused(t, c, privileged, `pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`)
	create(t, c, pod("fine", func(p *corev1.Pod) { p.Namespace = "strict" }))
}

func TestStorageAndIngressDefaults(t *testing.T) {
	c := newCluster(t)
	claim := func(name string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}}}}
	}
	if before := create(t, c, claim("before")); before.Spec.StorageClassName != nil || before.Finalizers[0] != "kubernetes.io/pvc-protection" {
		t.Errorf("%v", before)
	}
	create(t, c, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}, Provisioner: "p"})
	if after := create(t, c, claim("after")); after.Spec.StorageClassName == nil || *after.Spec.StorageClassName != "fast" {
		t.Errorf("%v", after.Spec.StorageClassName)
	}
	create(t, c, &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "own", Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
		Spec: networkingv1.IngressClassSpec{Controller: "kubette.io/ingress"}})
	ingress := create(t, c, &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "i", Namespace: "default"}, Spec: networkingv1.IngressSpec{
		DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "s", Port: networkingv1.ServiceBackendPort{Number: 80}}}}})
	if ingress.Spec.IngressClassName == nil || *ingress.Spec.IngressClassName != "own" {
		t.Errorf("%v", ingress.Spec.IngressClassName)
	}
}

func TestNodeRestriction(t *testing.T) {
	c := newCluster(t)
	kubelet := client.InProcess(c.server, &user.DefaultInfo{Name: "system:node:n", Groups: []string{user.NodesGroup, user.AllAuthenticated}})
	create(t, kubelet, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
	refused(t, kubelet, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, `nodes "m" is forbidden: node "n" is not allowed to modify node "m"`)
	refused(t, kubelet, pod("p"), `pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n" can only create mirror pods`)
	node, err := client.Of[*corev1.Node](kubelet).Get(t.Context(), "", "n")
	if err != nil {
		t.Fatal(err)
	}
	changed := node.DeepCopy()
	changed.Labels = map[string]string{"node-restriction.kubernetes.io/team": "a", "kubernetes.io/hostname": "n"}
	if _, err := client.Of[*corev1.Node](kubelet).Update(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "is not allowed to modify labels: node-restriction.kubernetes.io/team") {
		t.Errorf("%v", err)
	}
	theirs := create(t, c, pod("theirs", func(p *corev1.Pod) { p.Spec.NodeName = "m" }))
	if _, err := client.Of[*corev1.Pod](kubelet).UpdateStatus(t.Context(), theirs); !apierrors.IsForbidden(err) {
		t.Errorf("%v", err)
	}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{
		APIVersion: "v1", Kind: "Pod", Name: "theirs", UID: theirs.UID}}}
	_, err = kubelet.Create(t.Context(), corev1.SchemeGroupVersion.WithResource("serviceaccounts"), "default", "default", token, metav1.CreateOptions{}, "token")
	if err == nil || !strings.Contains(err.Error(), "node requested token bound to a pod scheduled on a different node") {
		t.Errorf("%v", err)
	}
}
