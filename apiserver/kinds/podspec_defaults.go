package kinds

import (
	"slices"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// defaultPodTemplate fills in a pod template. A template gets the defaults of a pod's spec, but not those of a pod
// (enableServiceLinks, requests from limits): its pods get them when they are created.
func defaultPodTemplate(template *corev1.PodTemplateSpec) {
	if template != nil {
		defaultPodSpec(&template.Spec)
	}
}

// defaultPodSpec fills in what pods and pod templates have in common.
func defaultPodSpec(spec *corev1.PodSpec) {
	setDefault(&spec.DNSPolicy, corev1.DNSClusterFirst)
	setDefault(&spec.RestartPolicy, corev1.RestartPolicyAlways)
	setDefault(&spec.SchedulerName, corev1.DefaultSchedulerName)
	setDefaultPointer(&spec.SecurityContext, corev1.PodSecurityContext{})
	setDefaultPointer(&spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	// serviceAccount is the old name of serviceAccountName; both are always shown.
	setDefault(&spec.ServiceAccountName, spec.DeprecatedServiceAccount)
	spec.DeprecatedServiceAccount = spec.ServiceAccountName

	for i := range spec.Volumes {
		defaultVolume(&spec.Volumes[i])
	}
	for c := range allContainers(spec) {
		defaultContainer(c)
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		defaultContainer(&c)
		spec.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
	if spec.Resources != nil {
		roundUp(spec.Resources.Limits)
		roundUp(spec.Resources.Requests)
	}
	roundUp(spec.Overhead)
}

// allContainers ranges over the init containers and then the containers.
func allContainers(spec *corev1.PodSpec) func(yield func(*corev1.Container) bool) {
	return func(yield func(*corev1.Container) bool) {
		for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

func defaultContainer(c *corev1.Container) {
	setDefault(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	setDefault(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	setDefault(&c.ImagePullPolicy, defaultPullPolicy(c.Image))
	for i := range c.Ports {
		setDefault(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil {
			defaultFieldRef(from.FieldRef)
			if from.FileKeyRef != nil {
				setDefaultPointer(&from.FileKeyRef.Optional, false)
			}
		}
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		defaultProbe(probe)
	}
	if c.Lifecycle != nil {
		for _, handler := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if handler != nil {
				defaultHTTPGet(handler.HTTPGet)
			}
		}
	}
	roundUp(c.Resources.Limits)
	roundUp(c.Resources.Requests)
}

// defaultPullPolicy is Always for the tag latest, named or implied, because what it means changes; a name with any
// other tag or a digest is pulled once.
func defaultPullPolicy(image string) corev1.PullPolicy {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return corev1.PullIfNotPresent
	}
	_, digested := ref.(reference.Digested)
	tagged, hasTag := ref.(reference.Tagged)
	if hasTag && tagged.Tag() == "latest" || !hasTag && !digested {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	setDefault(&p.TimeoutSeconds, 1)
	setDefault(&p.PeriodSeconds, 10)
	setDefault(&p.SuccessThreshold, 1)
	setDefault(&p.FailureThreshold, 3)
	defaultHTTPGet(p.HTTPGet)
	if p.GRPC != nil {
		setDefaultPointer(&p.GRPC.Service, "")
	}
}

func defaultHTTPGet(get *corev1.HTTPGetAction) {
	if get != nil {
		setDefault(&get.Path, "/")
		setDefault(&get.Scheme, corev1.URISchemeHTTP)
	}
}

func defaultFieldRef(ref *corev1.ObjectFieldSelector) {
	if ref != nil {
		setDefault(&ref.APIVersion, "v1")
	}
}

// defaultRequests makes a pod request what it is limited to where it says nothing else.
func defaultRequests(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; !ok {
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[name] = limit.DeepCopy()
		}
	}
}

// defaultHostPorts: a container on the node's network has its ports there. Templates do not get this default.
func defaultHostPorts(spec *corev1.PodSpec) {
	if !spec.HostNetwork {
		return
	}
	for c := range allContainers(spec) {
		for i := range c.Ports {
			setDefault(&c.Ports[i].HostPort, c.Ports[i].ContainerPort)
		}
	}
}

// defaultPodResources makes a pod that has resources of its own (not only its containers) request what its containers do
// together or, where they do not ask for a resource, what the pod is limited to.
func defaultPodResources(pod *corev1.Pod) {
	r := pod.Spec.Resources
	if r == nil || len(r.Limits)+len(r.Requests) == 0 {
		return
	}
	for _, list := range []corev1.ResourceList{
		resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{}), r.Limits,
	} {
		for name, q := range list {
			if _, set := r.Requests[name]; set || !resourcehelper.IsSupportedPodLevelResource(name) || !overcommittable(name) {
				continue
			}
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[name] = q.DeepCopy()
		}
	}
}

// roundUp cuts amounts to a thousandth, the smallest that Kubernetes keeps.
func roundUp(list corev1.ResourceList) {
	for name, q := range list {
		q.RoundUp(resource.Milli)
		list[name] = q
	}
}

func defaultVolume(v *corev1.Volume) {
	mode := int32(0o644)
	s := &v.VolumeSource
	if *s == (corev1.VolumeSource{}) {
		s.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	switch {
	case s.HostPath != nil:
		setDefaultPointer(&s.HostPath.Type, corev1.HostPathUnset)
	case s.Secret != nil:
		setDefaultPointer(&s.Secret.DefaultMode, mode)
	case s.ConfigMap != nil:
		setDefaultPointer(&s.ConfigMap.DefaultMode, mode)
	case s.DownwardAPI != nil:
		setDefaultPointer(&s.DownwardAPI.DefaultMode, mode)
		for i := range s.DownwardAPI.Items {
			defaultFieldRef(s.DownwardAPI.Items[i].FieldRef)
		}
	case s.Projected != nil:
		setDefaultPointer(&s.Projected.DefaultMode, mode)
		noneIfEmpty(&s.Projected.Sources)
		for i := range s.Projected.Sources {
			defaultProjection(&s.Projected.Sources[i])
		}
	case s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil:
		setDefaultPointer(&s.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	case s.Image != nil:
		setDefault(&s.Image.PullPolicy, defaultPullPolicy(s.Image.Reference))
	case s.ISCSI != nil:
		setDefault(&s.ISCSI.ISCSIInterface, "default")
	}
}

func defaultProjection(p *corev1.VolumeProjection) {
	if p.DownwardAPI != nil {
		for i := range p.DownwardAPI.Items {
			defaultFieldRef(p.DownwardAPI.Items[i].FieldRef)
		}
	}
	if p.ServiceAccountToken != nil {
		setDefaultPointer(&p.ServiceAccountToken.ExpirationSeconds, int64(60*60))
	}
}

// podQOS is the quality of service class that a pod's requests and limits amount to: all containers limited to exactly
// what they request of both cpu and memory, none asking for anything, or something between.
func podQOS(spec *corev1.PodSpec) corev1.PodQOSClass {
	compute := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	var all []corev1.ResourceRequirements
	if spec.Resources != nil {
		all = append(all, *spec.Resources)
	} else {
		for c := range allContainers(spec) {
			all = append(all, c.Resources)
		}
	}
	guaranteed, asks := true, false
	for _, r := range all {
		for _, name := range compute {
			request, limit := r.Requests[name], r.Limits[name]
			asks = asks || !request.IsZero() || !limit.IsZero()
			guaranteed = guaranteed && !limit.IsZero() && (request.IsZero() || request.Cmp(limit) == 0)
		}
	}
	switch {
	case !asks:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// podFinished says that no container of the pod will run again.
func podFinished(pod *corev1.Pod) bool {
	return slices.Contains([]corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}, pod.Status.Phase)
}
