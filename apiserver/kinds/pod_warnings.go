package kinds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podWarnings are what a user should know of a pod that is accepted. Who changes one hears nothing: that is seldom a person.
func podWarnings(pod, old *corev1.Pod) []string {
	if old != nil {
		return nil
	}
	return append(hostnameWarnings(pod.Name, "the Pod's hostname"), (&warner{spec: &pod.Spec, meta: &pod.ObjectMeta}).all()...)
}

// templateWarnings are the same for a pod template.
func templateWarnings(template *corev1.PodTemplateSpec, path *field.Path) []string {
	return (&warner{spec: &template.Spec, meta: &template.ObjectMeta, path: path}).all()
}

// warner collects the warnings about one pod spec. The path is that of the template, nil for a pod.
type warner struct {
	spec     *corev1.PodSpec
	meta     *metav1.ObjectMeta
	path     *field.Path
	warnings []string
}

func (w *warner) add(format string, args ...any) {
	w.warnings = append(w.warnings, fmt.Sprintf(format, args...))
}

func (w *warner) all() []string {
	spec := w.path.Child("spec")
	w.nodeLabels(spec)
	w.annotations()
	w.volumes(spec.Child("volumes"))
	w.overlaps()
	w.repeated(spec)
	w.overhead(spec.Child("overhead"))
	w.seccomp()
	eachContainer(w.spec, spec, w.container)
	w.ports(spec)
	if grace := w.spec.TerminationGracePeriodSeconds; grace != nil && *grace < 0 {
		w.add("%s: must be >= 0; negative values are invalid and will be treated as 1", spec.Child("terminationGracePeriodSeconds"))
	}
	w.podTerms(spec)
	w.addresses(spec)
	return w.warnings
}

// oldNodeLabels are the labels of nodes that have a new name.
var oldNodeLabels = map[string]string{
	"beta.kubernetes.io/arch":                  `deprecated since v1.14; use "kubernetes.io/arch" instead`,
	"beta.kubernetes.io/os":                    `deprecated since v1.14; use "kubernetes.io/os" instead`,
	"failure-domain.beta.kubernetes.io/region": `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
	"failure-domain.beta.kubernetes.io/zone":   `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
	"beta.kubernetes.io/instance-type":         `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
}

func (w *warner) nodeLabels(spec *field.Path) {
	for _, key := range slices.Sorted(maps.Keys(w.spec.NodeSelector)) {
		if message, old := oldNodeLabels[key]; old {
			w.add("%s: %s", spec.Child("nodeSelector").Key(key), message)
		}
	}
	if a := w.spec.Affinity; a != nil && a.NodeAffinity != nil {
		at := spec.Child("affinity", "nodeAffinity")
		if required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			for i := range required.NodeSelectorTerms {
				w.nodeTerm(&required.NodeSelectorTerms[i], at.Child(requiredTerms, "nodeSelectorTerms").Index(i))
			}
		}
		for i := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			w.nodeTerm(&a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference, at.Child(preferredTerms).Index(i).Child("preference"))
		}
	}
	for i, constraint := range w.spec.TopologySpreadConstraints {
		at := spec.Child("topologySpreadConstraints").Index(i)
		if message, old := oldNodeLabels[constraint.TopologyKey]; old {
			w.add("%s: %s is %s", at.Child("topologyKey"), constraint.TopologyKey, message)
		}
		if constraint.LabelSelector == nil {
			w.add("%s: a null labelSelector results in matching no pod", at.Child("labelSelector"))
		}
	}
}

func (w *warner) nodeTerm(term *corev1.NodeSelectorTerm, path *field.Path) {
	w.warnings = append(w.warnings, nodeTermWarnings(term, path)...)
}

// nodeTermWarnings are about old names and values that no node can have.
func nodeTermWarnings(term *corev1.NodeSelectorTerm, path *field.Path) (warnings []string) {
	for i, expression := range term.MatchExpressions {
		at := path.Child("matchExpressions").Index(i)
		if message, old := oldNodeLabels[expression.Key]; old {
			warnings = append(warnings, fmt.Sprintf("%s: %s is %s", at.Child("key"), expression.Key, message))
		}
		for j, value := range expression.Values {
			for _, message := range validation.IsValidLabelValue(value) {
				warnings = append(warnings, fmt.Sprintf("%s: %s is invalid, %s", at.Child("values").Index(j), value, message))
			}
		}
	}
	return warnings
}

// podTerms warns of pod affinity without a selector, which no pod matches.
func (w *warner) podTerms(spec *field.Path) {
	a := w.spec.Affinity
	if a == nil {
		return
	}
	check := func(term *corev1.PodAffinityTerm, at *field.Path) {
		if term.LabelSelector == nil {
			w.add("%s: a null labelSelector results in matching no pod", at.Child("labelSelector"))
		}
	}
	each := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, at *field.Path) {
		for i := range required {
			check(&required[i], at.Child(requiredTerms).Index(i))
		}
		for i := range preferred {
			check(&preferred[i].PodAffinityTerm, at.Child(preferredTerms).Index(i).Child("podAffinityTerm"))
		}
	}
	if p := a.PodAffinity; p != nil {
		each(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, spec.Child("affinity", "podAffinity"))
	}
	if p := a.PodAntiAffinity; p != nil {
		each(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, spec.Child("affinity", "podAntiAffinity"))
	}
}

func (w *warner) annotations() {
	at := w.path.Child("metadata", "annotations")
	for _, old := range []struct{ key, message string }{
		{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	} {
		if _, used := w.meta.Annotations[old.key]; used {
			w.add("%s: %s", at.Key(old.key), old.message)
		}
	}
}

func (w *warner) volumes(path *field.Path) {
	for i := range w.spec.Volumes {
		v, at := &w.spec.Volumes[i], path.Index(i)
		for _, gone := range []struct {
			used          bool
			name, message string
		}{
			{v.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
			{v.GitRepo != nil, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
			{v.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
			{v.Flocker != nil, "flocker", "deprecated in v1.22, non-functional in v1.25+"},
			{v.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
			{v.Quobyte != nil, "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
			{v.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		} {
			if gone.used {
				w.add("%s: %s", at.Child(gone.name), gone.message)
			}
		}
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			w.warnings = append(w.warnings, claimWarnings(&v.Ephemeral.VolumeClaimTemplate.Spec, at.Child("ephemeral", "volumeClaimTemplate", "spec"))...)
		}
		if v.CephFS != nil {
			w.add("%s: deprecated in v1.28, non-functional in v1.31+", at.Child("cephfs"))
		}
		if v.RBD != nil {
			w.add("%s: deprecated in v1.28, non-functional in v1.31+", at.Child("rbd"))
		}
	}
}

// repeated warns of list entries that a later apply would merge.
func (w *warner) repeated(spec *field.Path) {
	for i, alias := range w.spec.HostAliases {
		if slices.ContainsFunc(w.spec.HostAliases[:i], func(a corev1.HostAlias) bool { return a.IP == alias.IP }) {
			w.add("%s: duplicate ip %q", spec.Child("hostAliases").Index(i).Child("ip"), alias.IP)
		}
	}
	secrets := spec.Child("imagePullSecrets")
	for i, secret := range w.spec.ImagePullSecrets {
		if slices.Contains(w.spec.ImagePullSecrets[:i], secret) {
			w.add("%s: duplicate name %q", secrets.Index(i).Child("name"), secret.Name)
		}
	}
	for i, secret := range w.spec.ImagePullSecrets {
		if secret.Name == "" {
			w.add("%s: invalid empty name %q", secrets.Index(i).Child("name"), secret.Name)
		}
	}
}

// fractional says whether an amount of bytes is not a whole number: a unit was meant otherwise (m is milli).
func fractional(q resource.Quantity) bool { return q.MilliValue()%1000 != 0 }

func fractionalWarning(q resource.Quantity, path *field.Path) string {
	return fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer", path, q.String())
}

// bytesOf warns of fractional bytes in a list of resources.
func (w *warner) bytesOf(name corev1.ResourceName, list corev1.ResourceList, path *field.Path) {
	if q := list[name]; fractional(q) {
		w.warnings = append(w.warnings, fractionalWarning(q, path.Key(string(name))))
	}
}

func (w *warner) overhead(path *field.Path) {
	w.bytesOf(corev1.ResourceMemory, w.spec.Overhead, path)
	w.bytesOf(corev1.ResourceEphemeralStorage, w.spec.Overhead, path)
}

const oldSeccomp = `%s: non-functional in v1.27+; use the "seccompProfile" field instead`

func (w *warner) seccomp() {
	s := w.spec.SecurityContext
	if _, used := w.meta.Annotations[corev1.SeccompPodAnnotationKey]; used && (s == nil || s.SeccompProfile == nil) {
		w.add(oldSeccomp, w.path.Child("metadata", "annotations").Key(corev1.SeccompPodAnnotationKey))
	}
}

func (w *warner) container(c *corev1.Container, path *field.Path) {
	s, annotations := c.SecurityContext, w.path.Child("metadata", "annotations")
	seccomp := corev1.SeccompContainerAnnotationKeyPrefix + c.Name
	if _, used := w.meta.Annotations[seccomp]; used && (s == nil || s.SeccompProfile == nil) {
		w.add(oldSeccomp, annotations.Key(seccomp))
	}
	pod := w.spec.SecurityContext
	armor := corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
	hasField := pod != nil && pod.AppArmorProfile != nil || s != nil && s.AppArmorProfile != nil
	if _, used := w.meta.Annotations[armor]; used && !hasField {
		w.add(`%s: deprecated since v1.30; use the "appArmorProfile" field instead`, annotations.Key(armor))
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		w.bytesOf(name, c.Resources.Limits, path.Child("resources", "limits"))
		w.bytesOf(name, c.Resources.Requests, path.Child("resources", "requests"))
	}
	for i, v := range c.Env {
		if !slices.ContainsFunc(c.Env[:i], func(before corev1.EnvVar) bool { return before.Name == v.Name }) {
			continue
		}
		// A value that builds on the one before it is no mistake.
		if reference := "$(" + v.Name + ")"; v.ValueFrom != nil || v.Value == reference || !strings.Contains(v.Value, reference) {
			w.add("%s: hides previous definition of %q, which may be dropped when using apply", path.Child("env").Index(i), v.Name)
		}
	}
}

// ports warns of ports that several containers of the pod name.
func (w *warner) ports(spec *field.Path) {
	type seen struct {
		path *field.Path
		port corev1.ContainerPort
	}
	all := map[string][]seen{}
	eachContainer(w.spec, spec, func(c *corev1.Container, path *field.Path) {
		for i, port := range c.Ports {
			at := path.Child("ports").Index(i)
			if port.HostIP != "" && port.HostPort == 0 {
				w.add("%s: hostIP set without hostPort: %+v", at, port)
			}
			key := fmt.Sprintf("%d/%s", port.ContainerPort, port.Protocol)
			for _, other := range all[key] {
				switch {
				case port.HostIP == other.port.HostIP && port.HostPort == other.port.HostPort:
					w.add("%s: duplicate port definition with %s", at, other.path)
				case port.HostPort == 0 || other.port.HostPort == 0:
					w.add("%s: overlapping port definition with %s", at, other.path)
				case port.HostPort == other.port.HostPort && (port.HostIP == "" || other.port.HostIP == ""):
					w.add("%s: dangerously ambiguous port definition with %s", at, other.path)
				}
			}
			all[key] = append(all[key], seen{at, port})
		}
	})
	names := map[string]*field.Path{}
	eachContainer(w.spec, spec, func(c *corev1.Container, path *field.Path) {
		for i, port := range c.Ports {
			if port.Name == "" {
				continue
			}
			at := path.Child("ports").Index(i).Child("name")
			if other, used := names[port.Name]; used {
				w.add("%s: duplicate port name %q with %s, services and probes that select ports by name will use %s", at, port.Name, other, other)
			} else {
				names[port.Name] = at
			}
		}
	})
}

// addresses warns of addresses that other programs may read differently.
func (w *warner) addresses(spec *field.Path) {
	if config := w.spec.DNSConfig; config != nil {
		for i, server := range config.Nameservers {
			if len(validation.IsValidIPForLegacyField(nil, server, false, nil)) == 0 {
				w.warnings = append(w.warnings, validation.GetWarningsForIP(spec.Child("dnsConfig", "nameservers").Index(i), server)...)
			}
		}
	}
	for i, alias := range w.spec.HostAliases {
		if len(validation.IsValidIPForLegacyField(nil, alias.IP, false, nil)) == 0 {
			w.warnings = append(w.warnings, validation.GetWarningsForIP(spec.Child("hostAliases").Index(i).Child("ip"), alias.IP)...)
		}
	}
}
