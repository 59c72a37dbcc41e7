package admission

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"kubette/apiserver"
)

// ServiceAccount gives every pod an identity: the account that it names, or its namespace's default one. The account's
// token, the cluster's CA and the namespace's name are mounted into its containers, where clients look for them.
type ServiceAccount struct{}

func (ServiceAccount) Name() string { return "ServiceAccount" }

const (
	defaultAccount = "default"
	// tokenMountPath is where in-cluster clients find their credentials.
	tokenMountPath    = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenVolumePrefix = "kube-api-access-"
	tokenSeconds      = 3607 // an hour and a little: the sign that pods' own tokens may live longer
	rootCA            = "kube-root-ca.crt"
)

func (ServiceAccount) Admit(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := newPod(r)
	if !ok || isMirror(pod) {
		return nil
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultAccount
	}
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	account, err := accountOf(r, pod)
	if err != nil {
		return forbidden(r, err)
	}
	if automount(account, pod) {
		mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = slices.Clone(account.ImagePullSecrets)
	}
	return nil
}

// Validate keeps mirror pods, which stand for pods that a node runs without asking, away from the API's secrets.
func (ServiceAccount) Validate(_ context.Context, r *apiserver.AdmissionRequest) error {
	pod, ok := newPod(r)
	if !ok {
		return nil
	}
	if !isMirror(pod) {
		_, err := accountOf(r, pod)
		if err != nil {
			return forbidden(r, err)
		}
		return nil
	}
	if pod.Spec.ServiceAccountName != "" {
		return forbidden(r, fmt.Errorf("a mirror pod may not reference service accounts"))
	}
	return nil
}

// isMirror says that the pod stands for one that a kubelet runs from a file.
func isMirror(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror
}

func accountOf(r *apiserver.AdmissionRequest, pod *corev1.Pod) (*corev1.ServiceAccount, error) {
	name := pod.Spec.ServiceAccountName
	object, found := r.Cluster.Get("", "serviceaccounts", r.Attributes.Namespace, name)
	account, ok := object.(*corev1.ServiceAccount)
	if !found || !ok {
		return nil, fmt.Errorf("error looking up service account %s/%s: serviceaccount %q not found", r.Attributes.Namespace, name, name)
	}
	return account, nil
}

// automount asks the pod first, then its account.
func automount(account *corev1.ServiceAccount, pod *corev1.Pod) bool {
	for _, wish := range []*bool{pod.Spec.AutomountServiceAccountToken, account.AutomountServiceAccountToken} {
		if wish != nil {
			return *wish
		}
	}
	return true
}

// mountToken mounts the token into every container that has nothing else in its place.
func mountToken(pod *corev1.Pod) {
	name, there := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolumePrefix) {
			name, there = v.Name, true
			break
		}
	}
	if !there {
		name = tokenVolumePrefix + tokenVolumeSuffix(pod)
	}
	mounted := false
	eachContainer(&pod.Spec, func(c *corev1.Container) {
		if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenMountPath }) {
			return
		}
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenMountPath})
		mounted = true
	})
	if mounted && !there {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: tokenSources()}})
	}
}

// tokenVolumeSuffix is five letters, as in Kubernetes; there they are random. Here the pods of one controller have the same,
// so that they can share the containers and volumes that name it.
func tokenVolumeSuffix(pod *corev1.Pod) string {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return utilrand.String(5)
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(owner.UID)) // a hash takes everything
	return utilrand.SafeEncodeString(fmt.Sprint(sum.Sum64()))[:5]
}

func tokenSources() *corev1.ProjectedVolumeSource {
	mode, seconds := corev1.ProjectedVolumeSourceDefaultMode, int64(tokenSeconds)
	return &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: rootCA},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}
}
