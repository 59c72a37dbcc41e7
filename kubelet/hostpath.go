package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
)

// checkHostPath holds a hostPath volume to its type, as Kubernetes' plugin does: what is to be there must be of the kind,
// and what may be made is made. Without a type nothing is checked.
func (s *session) checkHostPath(ctx context.Context, source *corev1.HostPathVolumeSource) error {
	kind := valueOr(source.Type, corev1.HostPathUnset)
	files, ok := s.runtime.(hostFiles)
	if kind == corev1.HostPathUnset || !ok {
		return nil
	}
	mode, err := files.StatHost(ctx, source.Path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return fmt.Errorf("look at the host path %s: %w", source.Path, err)
	}
	if missing && (kind == corev1.HostPathDirectoryOrCreate || kind == corev1.HostPathFileOrCreate) {
		if err := files.MakeHost(ctx, source.Path, kind == corev1.HostPathDirectoryOrCreate); err != nil {
			return fmt.Errorf("make the host path %s: %w", source.Path, err)
		}
		return nil
	}
	for _, each := range hostPathKinds {
		if each.kind != kind {
			continue
		}
		if missing || !each.is(mode) {
			return fmt.Errorf("hostPath type check failed: %s is not %s", source.Path, each.what)
		}
		return nil
	}
	return fmt.Errorf("%s is an invalid volume type", kind)
}

var hostPathKinds = []struct {
	kind corev1.HostPathType
	is   func(fs.FileMode) bool
	what string
}{
	{corev1.HostPathDirectory, fs.FileMode.IsDir, "a directory"},
	{corev1.HostPathDirectoryOrCreate, fs.FileMode.IsDir, "a directory"},
	{corev1.HostPathFile, fs.FileMode.IsRegular, "a file"},
	{corev1.HostPathFileOrCreate, fs.FileMode.IsRegular, "a file"},
	{corev1.HostPathSocket, func(m fs.FileMode) bool { return m&fs.ModeSocket != 0 }, "a socket file"},
	{corev1.HostPathCharDev, func(m fs.FileMode) bool { return m&fs.ModeCharDevice != 0 }, "a character device"},
	{corev1.HostPathBlockDev, func(m fs.FileMode) bool { return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0 }, "a block device"},
}
