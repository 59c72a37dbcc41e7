package kinds

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// volumeFile is a file that a volume shows, and where it comes from when the volume has several sources.
type volumeFile struct{ path, source string }

func (f volumeFile) String() string {
	if f.source == "" {
		return fmt.Sprintf("%q", f.path)
	}
	return fmt.Sprintf("%q (%s)", f.path, f.source)
}

// covers says whether two files are in each other's way: the same, or one where the other needs a directory.
func (f volumeFile) covers(g volumeFile) bool {
	return f.path != "" && g.path != "" &&
		(strings.HasPrefix(f.path+"/", g.path+"/") || strings.HasPrefix(g.path+"/", f.path+"/"))
}

// overlaps warns of files of one volume that are in each other's way. Which one a container sees is then a matter of order.
func (w *warner) overlaps() {
	for i := range w.spec.Volumes {
		switch v := &w.spec.Volumes[i]; {
		case v.ConfigMap != nil:
			w.overlapping(v.Name, fmt.Sprintf("ConfigMap %q", v.ConfigMap.Name), keyFiles(v.ConfigMap.Items, ""))
		case v.Secret != nil:
			w.overlapping(v.Name, fmt.Sprintf("Secret %q", v.Secret.SecretName), keyFiles(v.Secret.Items, ""))
		case v.DownwardAPI != nil:
			w.overlapping(v.Name, "DownwardAPI", downwardFiles(v.DownwardAPI.Items, ""))
		case v.Projected != nil:
			var files []volumeFile
			for j := range v.Projected.Sources {
				source := &v.Projected.Sources[j]
				if *source == (corev1.VolumeProjection{}) {
					w.add("volume %q (Projected) has no sources provided", v.Name)
				}
				files = append(files, projectedFiles(source)...)
			}
			w.overlapping(v.Name, "Projected", files)
		}
	}
}

func (w *warner) overlapping(volume, kind string, files []volumeFile) {
	for i := range files {
		files[i].path = strings.TrimRight(files[i].path, "/")
		for _, before := range files[:i] {
			if files[i].covers(before) {
				w.add("volume %q (%s): overlapping paths: %s with %s", volume, kind, files[i], before)
			}
		}
	}
}

func keyFiles(items []corev1.KeyToPath, source string) (files []volumeFile) {
	for _, item := range items {
		files = append(files, volumeFile{item.Path, source})
	}
	return files
}

func downwardFiles(items []corev1.DownwardAPIVolumeFile, source string) (files []volumeFile) {
	for _, item := range items {
		files = append(files, volumeFile{item.Path, source})
	}
	return files
}

func projectedFiles(source *corev1.VolumeProjection) []volumeFile {
	switch {
	case source.ConfigMap != nil:
		return keyFiles(source.ConfigMap.Items, fmt.Sprintf("ConfigMap %q", source.ConfigMap.Name))
	case source.Secret != nil:
		return keyFiles(source.Secret.Items, fmt.Sprintf("Secret %q", source.Secret.Name))
	case source.DownwardAPI != nil:
		return downwardFiles(source.DownwardAPI.Items, "DownwardAPI")
	case source.ServiceAccountToken != nil:
		return []volumeFile{{source.ServiceAccountToken.Path, "ServiceAccountToken"}}
	case source.ClusterTrustBundle != nil:
		name := source.ClusterTrustBundle.Name
		if name == nil {
			name = source.ClusterTrustBundle.SignerName
		}
		return []volumeFile{{source.ClusterTrustBundle.Path, fmt.Sprintf("ClusterTrustBundle %q", *name)}}
	}
	return nil
}
