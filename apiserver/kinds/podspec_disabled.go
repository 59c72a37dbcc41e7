package kinds

import (
	corev1 "k8s.io/api/core/v1"
)

// dropDisabledFields clears what belongs to features that Kubernetes has not turned on yet. Its API server takes such a
// field and forgets it, so a manifest that uses one still works and reads back without it.
func dropDisabledFields(spec *corev1.PodSpec) {
	spec.SchedulingGroup = nil
	spec.EvictionResponders = nil
	for i := range spec.Volumes {
		dropDisabledVolumeFields(&spec.Volumes[i].VolumeSource)
	}
	for c := range allContainers(spec) {
		for i := range c.VolumeMounts {
			c.VolumeMounts[i].BindMountOptions = nil
		}
		for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if probe != nil {
				dropDisabledHandlerFields(probe.HTTPGet, probe.GRPC)
			}
		}
		if c.Lifecycle == nil {
			continue
		}
		c.Lifecycle.StopSignal = nil
		for _, hook := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if hook != nil {
				dropDisabledHandlerFields(hook.HTTPGet, nil)
			}
		}
	}
	for i := range spec.EphemeralContainers {
		for j := range spec.EphemeralContainers[i].VolumeMounts {
			spec.EphemeralContainers[i].VolumeMounts[j].BindMountOptions = nil
		}
	}
}

// dropDisabledTemplateFields is the same for a template that may be missing.
func dropDisabledTemplateFields(template *corev1.PodTemplateSpec) {
	if template != nil {
		dropDisabledFields(&template.Spec)
	}
}

func dropDisabledHandlerFields(http *corev1.HTTPGetAction, grpc *corev1.GRPCAction) {
	if http != nil {
		http.Protocol = nil
	}
	if grpc != nil {
		grpc.Mode = nil
	}
}

// dropDisabledVolumeFields clears who owns the files of a volume and how an empty directory may be used.
func dropDisabledVolumeFields(v *corev1.VolumeSource) {
	switch {
	case v.EmptyDir != nil:
		v.EmptyDir.Mode = nil
	case v.Secret != nil:
		v.Secret.DefaultUser = nil
		dropItemUsers(v.Secret.Items)
	case v.ConfigMap != nil:
		v.ConfigMap.DefaultUser = nil
		dropItemUsers(v.ConfigMap.Items)
	case v.DownwardAPI != nil:
		v.DownwardAPI.DefaultUser = nil
		dropFileUsers(v.DownwardAPI.Items)
	case v.Projected != nil:
		v.Projected.DefaultUser = nil
		for i := range v.Projected.Sources {
			dropProjectedUsers(&v.Projected.Sources[i])
		}
	}
}

func dropProjectedUsers(source *corev1.VolumeProjection) {
	switch {
	case source.Secret != nil:
		dropItemUsers(source.Secret.Items)
	case source.ConfigMap != nil:
		dropItemUsers(source.ConfigMap.Items)
	case source.DownwardAPI != nil:
		dropFileUsers(source.DownwardAPI.Items)
	case source.ServiceAccountToken != nil:
		source.ServiceAccountToken.User = nil
	case source.ClusterTrustBundle != nil:
		source.ClusterTrustBundle.User = nil
	case source.PodCertificate != nil:
		source.PodCertificate.User = nil
	}
}

func dropItemUsers(items []corev1.KeyToPath) {
	for i := range items {
		items[i].User = nil
	}
}

func dropFileUsers(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		items[i].User = nil
	}
}
