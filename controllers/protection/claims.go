package protection

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

const (
	// ClaimsName is the claims' controller's, in traces.
	ClaimsName = "persistentvolumeclaim-protection-controller"

	claimFinalizer = "kubernetes.io/pvc-protection"
	claimIndex     = "claim" // pods by namespace/claim
)

// Claims protects claims that pods use.
type Claims struct {
	controllers.Base
	claims client.Informer[*corev1.PersistentVolumeClaim]
	pods   client.Informer[*corev1.Pod]
	loop   *loop.Loop[string]
}

// NewClaims makes the controller of claims.
func NewClaims(base controllers.Base) *Claims {
	c := &Claims{
		Base:   base,
		claims: client.InformerFor[*corev1.PersistentVolumeClaim](base.Informers),
		pods:   client.InformerFor[*corev1.Pod](base.Informers),
	}
	c.loop = loop.New(ClaimsName, c.Reconcile, loop.Options{Machine: base.Machine})
	c.pods.AddIndex(claimIndex, claimsOf)
	c.claims.Handle(client.Handler[*corev1.PersistentVolumeClaim]{
		Add:    func(claim *corev1.PersistentVolumeClaim) { c.ask(claim, "added") },
		Update: func(_, claim *corev1.PersistentVolumeClaim) { c.ask(claim, "changed") },
	})
	c.pods.Handle(client.Handler[*corev1.Pod]{
		Add: func(pod *corev1.Pod) { c.askOf(pod, "added") },
		Update: func(old, pod *corev1.Pod) {
			if old.UID != pod.UID { // the old one's deletion was not seen: another took its name meanwhile
				c.askOf(old, "deleted")
				c.askOf(pod, "added")
			} else if shutDown(pod) != shutDown(old) || ended(pod) != ended(old) {
				c.askOf(pod, "has ended")
			}
		},
		Delete: func(pod *corev1.Pod) { c.askOf(pod, "deleted") },
	})
	return c
}

// Run works until the context ends.
func (c *Claims) Run(ctx context.Context) { c.loop.Run(ctx) }

func claimsOf(pod *corev1.Pod) []string {
	var keys []string
	for i := range pod.Spec.Volumes {
		if name := controllers.ClaimName(pod, &pod.Spec.Volumes[i]); name != "" {
			keys = append(keys, pod.Namespace+"/"+name)
		}
	}
	return keys
}

func (c *Claims) ask(claim *corev1.PersistentVolumeClaim, what string) {
	protected := slices.Contains(claim.Finalizers, claimFinalizer)
	if protected == (claim.DeletionTimestamp != nil) || unused(claim) == nil {
		c.loop.Add(controllers.Key(claim), controllers.Cause("persistentvolumeclaims", claim, what))
	}
}

// askOf looks at the claims of a pod.
func (c *Claims) askOf(pod *corev1.Pod, what string) {
	for _, key := range claimsOf(pod) {
		c.loop.Add(key, controllers.Cause("pods", pod, what))
	}
}

// Reconcile notes whether a claim is used, and protects it, or lets a deleted one go that no pod uses.
func (c *Claims) Reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	claim, ok := c.claims.Get(namespace, name)
	if !ok {
		return 0, nil
	}
	if claim, err = c.noteUse(ctx, claim); err != nil {
		return 0, controllers.IgnoreNotFound(err)
	}
	protected := slices.Contains(claim.Finalizers, claimFinalizer)
	changed := claim.DeepCopy()
	switch {
	case claim.DeletionTimestamp == nil && !protected:
		loop.Say(ctx, "Protect")
		changed.Finalizers = append(changed.Finalizers, claimFinalizer)
	case claim.DeletionTimestamp != nil && protected:
		user, err := c.user(ctx, claim, uses)
		if err != nil {
			return 0, err
		}
		if user != "" {
			loop.Say(ctx, "InUse", "pod", user)
			return 0, nil
		}
		loop.Say(ctx, "Free")
		changed.Finalizers = slices.DeleteFunc(changed.Finalizers, func(f string) bool { return f == claimFinalizer })
	default:
		return 0, nil
	}
	_, err = client.Of[*corev1.PersistentVolumeClaim](c.Client).Update(ctx, changed)
	return 0, controllers.IgnoreNotFound(err)
}

// user is a pod that uses a claim, in the sense of a function. A claim that was freed cannot be protected again, so that
// the API itself is asked when the cache knows none: a pod may just have got its node.
func (c *Claims) user(ctx context.Context, claim *corev1.PersistentVolumeClaim,
	uses func(*corev1.Pod, *corev1.PersistentVolumeClaim) bool) (string, error) {
	for _, pod := range c.pods.ByIndex(claimIndex, controllers.Key(claim)) {
		if uses(pod, claim) {
			return pod.Name, nil
		}
	}
	pods, err := client.Of[*corev1.Pod](c.Client).List(ctx, claim.Namespace, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, pod := range pods {
		if uses(pod, claim) {
			return pod.Name, nil
		}
	}
	return "", nil
}

// uses says whether a pod uses a claim of its namespace. One that waits for its node does not yet: a kubelet starts no pod
// with a claim on its way out. One that has finished still does, until it is deleted.
func uses(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	return pod.Spec.NodeName != "" && slices.ContainsFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool {
		return isOf(pod, volume, claim) && (volume.Ephemeral == nil || !shutDown(pod))
	})
}

// shutDown says that the kubelet is done with a pod, which only waits for others to take their finalizers off. Its own
// claims must not wait for it: who holds it may wait for them.
func shutDown(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
}
