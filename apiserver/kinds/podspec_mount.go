package kinds

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mounts checks where a container sees which volumes.
func (c *specCheck) mounts(container *corev1.Container, path *field.Path) (errs field.ErrorList) {
	for i := range container.VolumeMounts {
		m, at := &container.VolumeMounts[i], path.Index(i)
		errs = append(errs, required(m.Name, at.Child("name"), "")...)
		volume := c.volume(m.Name)
		if volume == nil {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		errs = append(errs, required(m.MountPath, at.Child("mountPath"), "")...)
		if slices.ContainsFunc(container.VolumeMounts[:i], func(o corev1.VolumeMount) bool { return o.MountPath == m.MountPath }) {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		if slices.ContainsFunc(container.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == m.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), m.Name, "must not already exist in volumeDevices"))
		}
		if slices.ContainsFunc(container.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.DevicePath == m.MountPath }) {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices"))
		}
		errs = append(errs, validateSubPath(m, path, at)...)
		if m.MountPropagation != nil {
			errs = append(errs, validatePropagation(*m.MountPropagation, container, path.Child("mountPropagation"))...)
		}
		errs = append(errs, validateRecursiveReadOnly(m, path.Child("recursiveReadOnly"))...)
	}
	return errs
}

// validateSubPath checks which part of a volume is mounted.
func validateSubPath(m *corev1.VolumeMount, path, at *field.Path) (errs field.ErrorList) {
	if m.SubPath != "" {
		errs = append(errs, localPath(m.SubPath, path.Child("subPath"))...)
	}
	if m.SubPathExpr == "" {
		return errs
	}
	if m.SubPath != "" {
		errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
	}
	return append(errs, localPath(m.SubPathExpr, path.Child("subPathExpr"))...)
}

// validatePropagation: only a privileged container may make its own mounts visible to the node.
func validatePropagation(mode corev1.MountPropagationMode, container *corev1.Container, path *field.Path) field.ErrorList {
	errs := oneOf(mode, path, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	security := container.SecurityContext
	privileged := security != nil && security.Privileged != nil && *security.Privileged
	if mode == corev1.MountPropagationBidirectional && !privileged {
		errs = append(errs, field.Forbidden(path, "Bidirectional mount propagation is available only to privileged containers"))
	}
	return errs
}

func validateRecursiveReadOnly(m *corev1.VolumeMount, path *field.Path) (errs field.ErrorList) {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return nil
	}
	errs = oneOf(*m.RecursiveReadOnly, path, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)
	if len(errs) > 0 {
		return errs
	}
	if !m.ReadOnly {
		errs = append(errs, field.Forbidden(path, "may only be specified when readOnly is true"))
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		errs = append(errs, field.Forbidden(path, "may only be specified when mountPropagation is None or not specified"))
	}
	return errs
}

// devices checks which volumes a container sees as raw block devices.
func (c *specCheck) devices(container *corev1.Container, path *field.Path) (errs field.ErrorList) {
	for i, d := range container.VolumeDevices {
		at, before := path.Index(i), container.VolumeDevices[:i]
		errs = append(errs, required(d.Name, at.Child("name"), "")...)
		if d.Name != "" && slices.ContainsFunc(before, func(o corev1.VolumeDevice) bool { return o.Name == d.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, "must be unique"))
		}
		switch volume := c.volume(d.Name); {
		case volume == nil:
			errs = append(errs, field.NotFound(at.Child("name"), d.Name))
		case volume.PersistentVolumeClaim == nil && volume.Ephemeral == nil:
			errs = append(errs, field.Invalid(at.Child("name"), d.Name,
				"can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		errs = append(errs, required(d.DevicePath, at.Child("devicePath"), "")...)
		if slices.ContainsFunc(before, func(o corev1.VolumeDevice) bool {
			return o.DevicePath == d.DevicePath && len(noBacksteps(o.DevicePath, nil)) == 0
		}) {
			errs = append(errs, field.Invalid(at.Child("devicePath"), d.DevicePath, "must be unique"))
		}
		if d.DevicePath != "" && len(noBacksteps(d.DevicePath, at)) > 0 {
			errs = append(errs, field.Invalid(at.Child("devicePath"), d.DevicePath, "can not contain backsteps ('..')"))
		}
		if slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == d.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, "must not already exist in volumeMounts"))
		}
		if slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == d.DevicePath }) {
			errs = append(errs, field.Invalid(at.Child("devicePath"), d.DevicePath, "must not already exist as a path in volumeMounts"))
		}
	}
	return errs
}
