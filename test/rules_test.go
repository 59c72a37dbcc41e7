package test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// warnings collects the Warning headers of a client's answers, as kubectl prints them.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

// TestPodSecurityLevels sets a namespace's levels, with pods there that break them.
func TestPodSecurityLevels(t *testing.T) {
	u := admin(t)
	heard := &warnings{}
	u = u.as(t, func(c *rest.Config) {
		*c = *rest.CopyConfig(u.config)
		c.WarningHandler = heard
	})
	u.apply(t, "namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: strict}}")
	pods := u.CoreV1().Pods("strict")
	eventually(t, "the account", func() bool {
		_, err := u.CoreV1().ServiceAccounts("strict").Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	plain := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx"}}}}
	}
	if _, err := pods.Create(t.Context(), plain("before"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	u.apply(t, "namespaces", `{apiVersion: v1, kind: Namespace, metadata: {name: strict, labels: {
		pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}`)
	if len(heard.texts) != 2 || heard.texts[0] != `existing pods in namespace "strict" violate the new PodSecurity enforce level "restricted:latest"` {
		t.Errorf("warned of %q", heard.texts)
	}
	_, err := pods.Create(t.Context(), plain("after"), metav1.CreateOptions{})
	wantMessage(t, err, `pods "after" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set `+
		`securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), `+
		`runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set `+
		`securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`)
	good := plain("good")
	good.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	good.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	if _, err := pods.Create(t.Context(), good, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	u.apply(t, "namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: baseline}}}")
	host := plain("host")
	host.Spec.HostPID = true
	_, err = pods.Create(t.Context(), host, metav1.CreateOptions{})
	wantMessage(t, err, `pods "host" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)`)
}

// TestQuotaAgainstManyAtOnce lets many programs make pods at the same moment. No more are let in than the quota has room for,
// and what is deleted makes room again.
func TestQuotaAgainstManyAtOnce(t *testing.T) {
	u := admin(t)
	u.apply(t, "resourcequotas", "{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {pods: 5, requests.memory: 1Gi}}}")
	eventually(t, "the quota's first count", func() bool {
		q, err := u.CoreV1().ResourceQuotas("default").Get(t.Context(), "few", metav1.GetOptions{})
		return err == nil && len(q.Status.Used) == 2
	})
	make := func(name, memory string) error {
		_, err := u.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"no": "such"},
			Containers: []corev1.Container{{Name: "c", Image: "nginx", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}}}}}, metav1.CreateOptions{})
		return err
	}
	var group sync.WaitGroup
	var let atomic.Int32
	for i := range 40 {
		group.Go(func() {
			switch err := make(fmt.Sprint("p", i), "10Mi"); {
			case err == nil:
				let.Add(1)
			case !apierrors.IsForbidden(err):
				t.Errorf("p%d: %v", i, err)
			}
		})
	}
	group.Wait()
	if let.Load() != 5 {
		t.Errorf("%d pods are let in, the quota is 5", let.Load())
	}
	wantMessage(t, make("more", "10Mi"), `pods "more" is forbidden: exceeded quota: few, requested: pods=1, used: pods=5, limited: pods=5`)
	if err := u.CoreV1().Pods("default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota's room", func() bool { return make("again", "10Mi") == nil })
	wantMessage(t, make("big", "2Gi"), `pods "big" is forbidden: exceeded quota: few, requested: requests.memory=2Gi, used: requests.memory=10Mi, limited: requests.memory=1Gi`)
	_, err := u.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "none"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx"}}}}, metav1.CreateOptions{})
	wantMessage(t, err, `pods "none" is forbidden: failed quota: few: must specify requests.memory for: c`)
}

// TestLimitsAndPriority: what a pod does not say comes from the namespace's limits and from its priority class.
func TestLimitsAndPriority(t *testing.T) {
	u := admin(t)
	u.apply(t, "limitranges", `{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [
		{type: Container, default: {cpu: 500m, memory: 64Mi}, defaultRequest: {cpu: 100m}, max: {cpu: "1"}, min: {memory: 16Mi}, maxLimitRequestRatio: {cpu: "5"}}]}}`)
	u.apply(t, "priorityclasses", "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000, preemptionPolicy: Never}")
	u.apply(t, "priorityclasses", "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: usual}, value: 7, globalDefault: true}")
	u.apply(t, "pods", "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: nginx}]}}")
	u.apply(t, "pods", "{apiVersion: v1, kind: Pod, metadata: {name: q}, spec: {priorityClassName: high, containers: [{name: c, image: nginx}]}}")
	p, err := u.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Spec.Containers[0].Resources
	if got := fmt.Sprintln(r.Limits.Cpu(), r.Limits.Memory(), r.Requests.Cpu(), r.Requests.Memory(), *p.Spec.Priority, p.Spec.PriorityClassName, *p.Spec.PreemptionPolicy); got != "500m 64Mi 100m 64Mi 7 usual PreemptLowerPriority\n" {
		t.Errorf("the pod is let in as %s", got)
	}
	if q, err := u.CoreV1().Pods("default").Get(t.Context(), "q", metav1.GetOptions{}); err != nil || *q.Spec.Priority != 1000 || *q.Spec.PreemptionPolicy != corev1.PreemptNever {
		t.Errorf("the urgent pod: %v, %v", q.Spec.Priority, err)
	}
	_, err = u.tryApply(t, "pods", "{apiVersion: v1, kind: Pod, metadata: {name: big}, spec: {containers: [{name: c, image: nginx, resources: {requests: {cpu: 100m}, limits: {cpu: 2, memory: 1Mi}}}]}}")
	wantMessage(t, err, `pods "big" is forbidden: [minimum memory usage per Container is 16Mi, but request is 1Mi, maximum cpu usage per Container is 1, but limit is 2, `+
		`cpu max limit to request ratio per Container is 5, but provided ratio is 20.000000]`)
	_, err = u.tryApply(t, "priorityclasses", "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: other}, value: 8, globalDefault: true}")
	wantMessage(t, err, `priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. Only one default can exist`)
}

// TestDefaultIngressClass chooses one of several.
func TestDefaultIngressClass(t *testing.T) {
	u := admin(t)
	classes := u.NetworkingV1().IngressClasses()
	if err := classes.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	class := func(name string) {
		u.apply(t, "ingressclasses", `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: `+name+
			`, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}, spec: {controller: example.com/c}}`)
	}
	ingress := func(name string) string {
		made, err := u.NetworkingV1().Ingresses("default").Create(t.Context(), &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "s", Port: networkingv1.ServiceBackendPort{Number: 80}}}}},
			metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if made.Spec.IngressClassName == nil {
			return ""
		}
		return *made.Spec.IngressClassName
	}
	if got := ingress("none"); got != "" {
		t.Errorf("without a default: %s", got)
	}
	class("b")
	if got := ingress("one"); got != "b" {
		t.Errorf("with a default: %s", got)
	}
}

// TestClaimsGrow: a claim may ask for more when its class lets it.
func TestClaimsGrow(t *testing.T) {
	u := admin(t)
	for name, may := range map[string]string{"fixed": "false", "growing": "true"} {
		u.apply(t, "storageclasses", `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: `+name+`}, provisioner: example.com/p, allowVolumeExpansion: `+may+`}`)
		u.apply(t, "persistentvolumes", `{apiVersion: v1, kind: PersistentVolume, metadata: {name: `+name+`}, spec: {storageClassName: `+name+
			`, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}, claimRef: {namespace: default, name: `+name+`}}}`)
		u.apply(t, "persistentvolumeclaims", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: `+name+`}, spec: {storageClassName: `+name+
			`, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`)
	}
	claims := u.CoreV1().PersistentVolumeClaims("default")
	ask := func(name, size string) error {
		_, err := claims.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"resources":{"requests":{"storage":"`+size+`"}}}}`), metav1.PatchOptions{})
		return err
	}
	for _, name := range []string{"fixed", "growing"} {
		eventually(t, "the claim "+name, func() bool {
			c, err := claims.Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && c.Status.Phase == corev1.ClaimBound
		})
	}
	wantMessage(t, ask("fixed", "2Gi"), `persistentvolumeclaims "fixed" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize`)
	if err := ask("growing", "2Gi"); err != nil {
		t.Error(err)
	}
	if err := ask("growing", "1Mi"); !apierrors.IsInvalid(err) {
		t.Errorf("a smaller claim: %v", err)
	}
}
