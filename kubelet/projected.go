package kubelet

import (
	"context"
	"fmt"
	"maps"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// projectedFiles works out what a configMap, secret, downwardAPI or projected volume holds now.
func (s *session) projectedFiles(ctx context.Context, w *worker, pod *corev1.Pod, volume *corev1.Volume) (map[string]runtime.File, error) {
	files := map[string]runtime.File{}
	var err error
	switch {
	case volume.ConfigMap != nil:
		from := volume.ConfigMap
		err = s.mapFiles(ctx, w, pod, from.Name, from.Items, from.Optional, mode(from.DefaultMode), files)
	case volume.Secret != nil:
		from := volume.Secret
		err = s.secretFiles(ctx, w, pod, from.SecretName, from.Items, from.Optional, mode(from.DefaultMode), files)
	case volume.DownwardAPI != nil:
		err = s.downwardFiles(pod, volume.DownwardAPI.Items, mode(volume.DownwardAPI.DefaultMode), files)
	case volume.Projected != nil:
		for i := range volume.Projected.Sources {
			if err = s.sourceFiles(ctx, w, pod, &volume.Projected.Sources[i], mode(volume.Projected.DefaultMode), files); err != nil {
				break
			}
		}
	}
	return files, err
}

// sourceFiles adds one source of a projected volume.
func (s *session) sourceFiles(ctx context.Context, w *worker, pod *corev1.Pod, from *corev1.VolumeProjection, mode uint32, files map[string]runtime.File) error {
	switch {
	case from.ConfigMap != nil:
		return s.mapFiles(ctx, w, pod, from.ConfigMap.Name, from.ConfigMap.Items, from.ConfigMap.Optional, mode, files)
	case from.Secret != nil:
		return s.secretFiles(ctx, w, pod, from.Secret.Name, from.Secret.Items, from.Secret.Optional, mode, files)
	case from.DownwardAPI != nil:
		return s.downwardFiles(pod, from.DownwardAPI.Items, mode, files)
	case from.ServiceAccountToken != nil:
		token, err := s.token(ctx, w, pod, from.ServiceAccountToken)
		if err != nil {
			return fmt.Errorf("failed to fetch token: %w", err)
		}
		if ownsFiles(pod) {
			mode = 0o600
		}
		files[from.ServiceAccountToken.Path] = runtime.File{Data: token, Mode: mode}
		return nil
	}
	return fmt.Errorf("a projected volume of this kind is not supported; kubette knows configMap, secret, downwardAPI and serviceAccountToken")
}

// ownsFiles says that the pod's files belong to a user or group of its own, so that nobody else need read its token.
func ownsFiles(pod *corev1.Pod) bool {
	security := pod.Spec.SecurityContext
	return security != nil && (security.FSGroup != nil || security.RunAsUser != nil)
}

func mode(given *int32) uint32 {
	if given == nil {
		return 0o644
	}
	return uint32(*given)
}

func (s *session) mapFiles(ctx context.Context, w *worker, pod *corev1.Pod, name string, items []corev1.KeyToPath, optional *bool, mode uint32, files map[string]runtime.File) error {
	m, err := s.referConfigMap(ctx, w, pod.Namespace, name)
	if missing(err, optional) {
		return nil
	}
	if err != nil {
		return refersTo("configmap", pod.Namespace, name, err)
	}
	data := m.Data
	if len(m.BinaryData) > 0 {
		data = texts(m.BinaryData)
		maps.Copy(data, m.Data)
	}
	return pick(data, items, optional, mode, files, "configmap references non-existent config key: %s")
}

func (s *session) secretFiles(ctx context.Context, w *worker, pod *corev1.Pod, name string, items []corev1.KeyToPath, optional *bool, mode uint32, files map[string]runtime.File) error {
	secret, err := s.referSecret(ctx, w, pod.Namespace, name)
	if missing(err, optional) {
		return nil
	}
	if err != nil {
		return refersTo("secret", pod.Namespace, name, err)
	}
	return pick(texts(secret.Data), items, optional, mode, files, "references non-existent secret key: %s")
}

func texts(data map[string][]byte) map[string]string {
	texts := make(map[string]string, len(data))
	for key, value := range data {
		texts[key] = string(value)
	}
	return texts
}

// pick takes all keys, or those that the items name at the paths that they name.
func pick(data map[string]string, items []corev1.KeyToPath, optional *bool, mode uint32, files map[string]runtime.File, absent string) error {
	if len(items) == 0 {
		for key, value := range data {
			files[key] = runtime.File{Data: value, Mode: mode}
		}
		return nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			if valueOr(optional, false) {
				continue
			}
			return fmt.Errorf(absent, item.Key)
		}
		file := runtime.File{Data: value, Mode: mode}
		if item.Mode != nil {
			file.Mode = uint32(*item.Mode)
		}
		files[item.Path] = file
	}
	return nil
}

// downwardFiles tells a pod about itself.
func (s *session) downwardFiles(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode uint32, files map[string]runtime.File) error {
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = s.downwardField(pod, item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			spec := containerOf(pod, item.ResourceFieldRef.ContainerName)
			if spec == nil {
				err = fmt.Errorf("container %s not found", item.ResourceFieldRef.ContainerName)
			} else {
				value, err = s.resourceField(pod, spec, item.ResourceFieldRef)
			}
		}
		if err != nil {
			return err
		}
		file := runtime.File{Data: value, Mode: mode}
		if item.Mode != nil {
			file.Mode = uint32(*item.Mode)
		}
		files[item.Path] = file
	}
	return nil
}

// downwardField is podField; labels and annotations come whole, sorted, a line each.
func (s *session) downwardField(pod *corev1.Pod, field string) (string, error) {
	var all map[string]string
	switch field {
	case "metadata.labels":
		all = pod.Labels
	case "metadata.annotations":
		all = pod.Annotations
	default:
		return s.podField(pod, field, nil)
	}
	lines := make([]string, 0, len(all))
	for key, value := range all {
		lines = append(lines, fmt.Sprintf("%s=%q", key, value))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n"), nil
}
