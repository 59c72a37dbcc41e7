package kubelet

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// volumeState is what was last written of a volume.
type volumeState struct{ sum uint64 }

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
	sum := sumOf(&wanted)
	w.mu.Lock()
	have := w.volumes[volume.Name]
	w.mu.Unlock()
	if have != nil && have.sum == sum {
		return nil
	}
	if err := s.runtime.WriteVolume(ctx, string(pod.UID), volume.Name, wanted); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.volumes == nil {
		w.volumes = map[string]*volumeState{}
	}
	w.volumes[volume.Name] = &volumeState{sum: sum}
	return nil
}

// sumOf tells two contents of a volume apart.
func sumOf(volume *runtime.Volume) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, volume.Memory, volume.SizeLimit, volume.Persistent, volume.Group != nil, volume.Files != nil)
	for _, name := range sortedKeys(volume.Files) {
		file := volume.Files[name]
		_, _ = h.Write([]byte(name))
		_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, uint64(file.Mode)<<32|uint64(len(file.Data))))
		_, _ = io.WriteString(h, file.Data)
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
