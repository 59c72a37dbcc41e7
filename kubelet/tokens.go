package kubelet

import (
	"context"
	"fmt"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

// token is a service account token of a pod. It is bound to the pod, asked for through the API, kept for as long as it is
// fresh, and renewed when four fifths of its time are over or after a day.
type token struct {
	audience string
	seconds  int64
	text     string
	renew    time.Time
}

// wanted says that a token is for the same use.
func (t *token) wanted(audience string, seconds int64) bool {
	return t.audience == audience && t.seconds == seconds
}

// token returns a fresh token for a projected volume, and makes the pod be looked at again when it is to be renewed.
func (s *session) token(ctx context.Context, w *worker, pod *corev1.Pod, from *corev1.ServiceAccountTokenProjection) (string, error) {
	seconds := valueOr(from.ExpirationSeconds, 3600)
	var kept token
	w.mu.Lock()
	at := slices.IndexFunc(w.tokens, func(t token) bool { return t.wanted(from.Audience, seconds) })
	if at >= 0 {
		kept = w.tokens[at]
	}
	w.mu.Unlock()
	if time.Now().Before(kept.renew) {
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
	answer, err := s.client.Create(ctx, client.ResourceOf[*corev1.ServiceAccount](), pod.Namespace, account, request, metav1.CreateOptions{}, "token")
	if err != nil {
		if kept.text != "" {
			return kept.text, nil // the old one is still good for a while
		}
		return "", err
	}
	granted, ok := answer.(*authenticationv1.TokenRequest)
	if !ok {
		return "", fmt.Errorf("the API answered a %T to a token request", answer)
	}
	life := time.Until(granted.Status.ExpirationTimestamp.Time)
	fresh := token{from.Audience, seconds, granted.Status.Token, time.Now().Add(min(life*4/5, 24*time.Hour))}
	w.mu.Lock()
	w.tokens = slices.DeleteFunc(w.tokens, func(t token) bool { return t.wanted(from.Audience, seconds) })
	w.tokens = append(w.tokens, fresh)
	w.mu.Unlock()
	w.renewAt(fresh.renew)
	return fresh.text, nil
}
