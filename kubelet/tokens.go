package kubelet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// tokens are the service account tokens of this node's pods. Each is bound to its pod, asked for through the API, kept for
// as long as it is fresh, and renewed when four fifths of its time are over or after a day.
type tokens struct {
	client client.Interface

	mu    sync.Mutex
	byPod map[types.UID]map[string]token
}

type token struct {
	text  string
	renew time.Time
}

func newTokens(c client.Interface) *tokens {
	return &tokens{client: c, byPod: map[types.UID]map[string]token{}}
}

// get returns a fresh token for a projected volume, and makes the pod be looked at again when it is to be renewed.
func (t *tokens) get(ctx context.Context, w *worker, pod *corev1.Pod, from *corev1.ServiceAccountTokenProjection) (string, error) {
	seconds := valueOr(from.ExpirationSeconds, 3600)
	id := fmt.Sprintf("%s %d", from.Audience, seconds)
	t.mu.Lock()
	kept, ok := t.byPod[pod.UID][id]
	t.mu.Unlock()
	if ok && time.Now().Before(kept.renew) {
		w.renewAt(kept.renew)
		return kept.text, nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if from.Audience != "" {
		request.Spec.Audiences = []string{from.Audience}
	}
	account := pod.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	answer, err := t.client.Create(ctx, client.ResourceOf[*corev1.ServiceAccount](), pod.Namespace, account, request, metav1.CreateOptions{}, "token")
	if err != nil {
		if ok && strings.TrimSpace(kept.text) != "" {
			return kept.text, nil // the old one is still good for a while
		}
		return "", err
	}
	granted, ok := answer.(*authenticationv1.TokenRequest)
	if !ok {
		return "", fmt.Errorf("the API answered a %T to a token request", answer)
	}
	life := time.Until(granted.Status.ExpirationTimestamp.Time)
	fresh := token{text: granted.Status.Token, renew: time.Now().Add(min(life*4/5, 24*time.Hour))}
	t.mu.Lock()
	if t.byPod[pod.UID] == nil {
		t.byPod[pod.UID] = map[string]token{}
	}
	t.byPod[pod.UID][id] = fresh
	t.mu.Unlock()
	w.renewAt(fresh.renew)
	return fresh.text, nil
}

// forget drops a pod's tokens.
func (t *tokens) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byPod, uid)
}
