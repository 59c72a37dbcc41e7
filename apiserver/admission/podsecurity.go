package admission

import (
	"context"
	"fmt"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	podsecurity "k8s.io/pod-security-admission/admission"
	podsecurityconfig "k8s.io/pod-security-admission/admission/api"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/metrics"
	"k8s.io/pod-security-admission/policy"

	"kubette/apiserver"
	"kubette/apiserver/kinds"
)

// PodSecurity holds pods to the security level that their namespace's labels name: privileged (anything, the default),
// baseline or restricted. The checks are Kubernetes' own.
type PodSecurity struct {
	validates
	checker func() (*podsecurity.Admission, error)
}

// NewPodSecurity makes the step. Its checks are put together when a namespace first names a level.
func NewPodSecurity() *PodSecurity {
	return &PodSecurity{checker: sync.OnceValues(newChecker)}
}

func (*PodSecurity) Name() string { return "PodSecurity" }

const podSecurityPrefix = "pod-security.kubernetes.io/"

func newChecker() (*podsecurity.Admission, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("put the pod security checks together: %w", err)
	}
	level, latest := string(api.LevelPrivileged), api.VersionLatest
	checker := &podsecurity.Admission{
		Configuration: &podsecurityconfig.PodSecurityConfiguration{Defaults: podsecurityconfig.PodSecurityDefaults{
			Enforce: level, EnforceVersion: latest, Audit: level, AuditVersion: latest, Warn: level, WarnVersion: latest,
		}},
		Evaluator: evaluator, Metrics: noMetrics{}, PodSpecExtractor: podsecurity.DefaultPodSpecExtractor{},
		NamespaceGetter: clusterReader{}, PodLister: clusterReader{},
	}
	if err := checker.CompleteConfiguration(); err != nil {
		return nil, fmt.Errorf("configure the pod security checks: %w", err)
	}
	return checker, nil
}

func (p *PodSecurity) Validate(ctx context.Context, r *apiserver.AdmissionRequest) error {
	if r.Operation != create && r.Operation != update || !p.concerns(r) {
		return nil
	}
	checker, err := p.checker()
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	a := r.Attributes
	response := checker.Validate(context.WithValue(ctx, clusterKey{}, r.Cluster), &api.AttributesRecord{
		Name: a.Name, Namespace: a.Namespace, Kind: r.Kind, Subresource: a.Subresource, Operation: admissionv1.Operation(r.Operation),
		Resource: schema.GroupVersionResource{Group: a.Group, Version: a.Version, Resource: a.Resource},
		Object:   r.Object, OldObject: r.Old, Username: userName(r),
	})
	for _, warning := range response.Warnings {
		r.Warn(warning)
	}
	if response.Allowed {
		return nil
	}
	return &apierrors.StatusError{ErrStatus: *response.Result}
}

// concerns says whether a level is named at all: in the namespace of the object, or in the namespace that is written.
func (*PodSecurity) concerns(r *apiserver.AdmissionRequest) bool {
	if of(r, "", "namespaces") {
		return labelled(r.Object) || labelled(r.Old)
	}
	resource := schema.GroupResource{Group: r.Attributes.Group, Resource: r.Attributes.Resource}
	if r.Attributes.Namespace == "" || !(podsecurity.DefaultPodSpecExtractor{}).HasPodSpec(resource) {
		return false
	}
	namespace, found := r.Cluster.Get("", "namespaces", "", r.Attributes.Namespace)
	return found && labelled(namespace)
}

func labelled(object any) bool {
	if object == nil {
		return false
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return false
	}
	for key := range accessor.GetLabels() {
		if strings.HasPrefix(key, podSecurityPrefix) {
			return true
		}
	}
	return false
}

func userName(r *apiserver.AdmissionRequest) string {
	if r.Attributes.User == nil {
		return ""
	}
	return r.Attributes.User.GetName()
}

type clusterKey struct{}

// clusterReader reads what the checks ask for from the cluster of the request.
type clusterReader struct{}

func clusterOf(ctx context.Context) kinds.Cluster {
	cluster, _ := ctx.Value(clusterKey{}).(kinds.Cluster)
	return cluster
}

func (clusterReader) GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	object, found := clusterOf(ctx).Get("", "namespaces", "", name)
	namespace, ok := object.(*corev1.Namespace)
	if !found || !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	return namespace, nil
}

func (clusterReader) ListPods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	for _, object := range clusterOf(ctx).List("", "pods", namespace) {
		if pod, ok := object.(*corev1.Pod); ok {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

type noMetrics struct{}

func (noMetrics) RecordEvaluation(metrics.Decision, api.LevelVersion, metrics.Mode, api.Attributes) {}
func (noMetrics) RecordExemption(api.Attributes)                                                    {}
func (noMetrics) RecordError(bool, api.Attributes)                                                  {}
