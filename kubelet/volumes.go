package kubelet

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// writtenVolume is what was last written of a volume.
type writtenVolume struct {
	name string
	sum  uint64
}

// projects says that a volume holds files that the kubelet writes and keeps up to date.
func projects(volume *corev1.Volume) bool {
	return volume.ConfigMap != nil || volume.Secret != nil || volume.DownwardAPI != nil || volume.Projected != nil
}

// mountVolumes prepares every volume of a pod. An error has been told as an event, and means to try again.
func (s *session) mountVolumes(ctx context.Context, w *worker, pod *corev1.Pod) error {
	var first error
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		if err := s.writeVolume(ctx, w, pod, volume); err != nil {
			if ctx.Err() == nil {
				s.event(pod, "", corev1.EventTypeWarning, "FailedMount", "MountVolume.SetUp failed for volume %q : %v", volume.Name, err)
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// refreshVolumes brings the projected volumes of a running pod up to date.
func (s *session) refreshVolumes(ctx context.Context, w *worker, pod *corev1.Pod) error {
	var first error
	for i := range pod.Spec.Volumes {
		if volume := &pod.Spec.Volumes[i]; projects(volume) {
			if err := s.writeVolume(ctx, w, pod, volume); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// writeVolume hands a volume to the runtime, unless that has it already.
func (s *session) writeVolume(ctx context.Context, w *worker, pod *corev1.Pod, volume *corev1.Volume) error {
	var wanted runtime.Volume
	var err error
	switch {
	case volume.EmptyDir != nil:
		wanted.Memory = volume.EmptyDir.Medium == corev1.StorageMediumMemory
		if limit := volume.EmptyDir.SizeLimit; limit != nil {
			wanted.SizeLimit = limit.Value()
		}
	case projects(volume):
		if wanted.Files, err = s.projectedFiles(ctx, w, pod, volume); err != nil {
			return err
		}
	case volume.HostPath != nil:
		return s.checkHostPath(ctx, volume.HostPath) // mounted as it is
	case volume.PersistentVolumeClaim != nil:
		wanted, err = s.claimedVolume(ctx, pod, volume.PersistentVolumeClaim.ClaimName)
	case volume.Ephemeral != nil:
		wanted, err = s.claimedVolume(ctx, pod, pod.Name+"-"+volume.Name)
	default:
		err = fmt.Errorf("kubette has no plugin for this kind of volume; it knows emptyDir, configMap, secret, downwardAPI, projected, persistentVolumeClaim, ephemeral and hostPath")
	}
	if err != nil {
		return err
	}
	if security := pod.Spec.SecurityContext; security != nil {
		wanted.Group = security.FSGroup
	}
	have := writtenVolume{volume.Name, s.sumOf(&wanted)}
	w.mu.Lock()
	written := slices.Contains(w.volumes, have)
	w.mu.Unlock()
	if written {
		return nil
	}
	if err := s.runtime.WriteVolume(ctx, string(pod.UID), volume.Name, wanted); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.volumes = slices.DeleteFunc(w.volumes, func(old writtenVolume) bool { return old.name == volume.Name })
	w.volumes = append(w.volumes, have)
	return nil
}

// sumOf tells two contents of a volume apart.
func (s *session) sumOf(volume *runtime.Volume) uint64 {
	var h maphash.Hash
	h.SetSeed(s.sums)
	maphash.WriteComparable(&h, struct {
		memory, group, files bool
		size                 int64
		persistent           string
	}{volume.Memory, volume.Group != nil, volume.Files != nil, volume.SizeLimit, volume.Persistent})
	for _, name := range sortedKeys(volume.Files) {
		file := volume.Files[name]
		maphash.WriteComparable(&h, file.Mode)
		for _, text := range []string{name, file.Data} {
			maphash.WriteComparable(&h, len(text))
			_, _ = h.WriteString(text) // a hash takes everything
		}
	}
	return h.Sum64()
}

// renewAt makes sure that the pod is looked at again by a time.
func (w *worker) renewAt(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.renew.IsZero() || w.renew.Before(time.Now()) || t.Before(w.renew) {
		w.renew = t
	}
}
