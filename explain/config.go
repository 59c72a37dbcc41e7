package explain

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

// reference is a place where a pod names a ConfigMap or a Secret.
type reference struct {
	secret   bool
	name     string
	key      string // "" for all keys
	optional bool
	where    string // env APP_TITLE, envFrom, volume config
}

// environmentRefs are what a container's environment is made of.
func environmentRefs(c *corev1.Container) []reference {
	var refs []reference
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			refs = append(refs, reference{name: from.ConfigMapRef.Name, optional: deref(from.ConfigMapRef.Optional), where: "envFrom"})
		}
		if from.SecretRef != nil {
			refs = append(refs, reference{secret: true, name: from.SecretRef.Name, optional: deref(from.SecretRef.Optional), where: "envFrom"})
		}
	}
	for _, env := range c.Env {
		if env.ValueFrom == nil {
			continue
		}
		if r := env.ValueFrom.ConfigMapKeyRef; r != nil {
			refs = append(refs, reference{name: r.Name, key: r.Key, optional: deref(r.Optional), where: "env " + env.Name})
		}
		if r := env.ValueFrom.SecretKeyRef; r != nil {
			refs = append(refs, reference{secret: true, name: r.Name, key: r.Key, optional: deref(r.Optional), where: "env " + env.Name})
		}
	}
	return refs
}

// volumeRefs are what a pod's volumes are made of.
func volumeRefs(p *corev1.Pod) []reference {
	var refs []reference
	keys := func(secret bool, name string, items []corev1.KeyToPath, optional bool, volume string) {
		where := "volume " + volume
		refs = append(refs, reference{secret: secret, name: name, optional: optional, where: where})
		for _, item := range items {
			refs = append(refs, reference{secret: secret, name: name, key: item.Key, optional: optional, where: where})
		}
	}
	for _, v := range p.Spec.Volumes {
		if v.ConfigMap != nil {
			keys(false, v.ConfigMap.Name, v.ConfigMap.Items, deref(v.ConfigMap.Optional), v.Name)
		}
		if v.Secret != nil {
			keys(true, v.Secret.SecretName, v.Secret.Items, deref(v.Secret.Optional), v.Name)
		}
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ConfigMap != nil {
				keys(false, source.ConfigMap.Name, source.ConfigMap.Items, deref(source.ConfigMap.Optional), v.Name)
			}
			if source.Secret != nil {
				keys(true, source.Secret.Name, source.Secret.Items, deref(source.Secret.Optional), v.Name)
			}
		}
	}
	return refs
}

// referred finds what a reference names.
func (d *diagnosis) referred(namespace string, r reference) (client.Object, bool) {
	if r.secret {
		return asObject(find[*corev1.Secret](d.Snapshot, namespace, r.name))
	}
	return asObject(find[*corev1.ConfigMap](d.Snapshot, namespace, r.name))
}

func asObject[T client.Object](object T, ok bool) (client.Object, bool) {
	if !ok {
		return nil, false
	}
	return object, true
}

// configError judges a container whose configuration cannot be made.
func (d *diagnosis) configError(p *corev1.Pod, c *corev1.Container, w *corev1.ContainerStateWaiting) {
	if d.missingReferences(p, c) > 0 {
		return
	}
	if strings.Contains(w.Message, "runAsNonRoot") || strings.Contains(w.Message, "non-root") {
		d.add(Problem, "RunsAsRoot", p, "container", c.Name, "message", w.Message)
		return
	}
	d.add(Problem, "ConfigError", p, "container", c.Name, "message", w.Message)
}

// missingReferences adds what a container, or with nil the pod's volumes, names and is not there. It returns how many.
func (d *diagnosis) missingReferences(p *corev1.Pod, c *corev1.Container) int {
	refs, container := volumeRefs(p), ""
	if c != nil {
		refs, container = environmentRefs(c), c.Name
	}
	missing := 0
	for _, r := range refs {
		if r.optional {
			continue
		}
		object, ok := d.referred(p.Namespace, r)
		if !ok {
			d.missingObject(p, container, r)
			missing++
			continue
		}
		if r.key != "" && !slices.Contains(keysOf(object), r.key) {
			d.missingKey(p, container, r, object)
			missing++
		}
	}
	return missing
}

func (d *diagnosis) missingObject(p *corev1.Pod, container string, r reference) {
	reason, there := "ConfigMapMissing", names(all[*corev1.ConfigMap](d.Snapshot, p.Namespace))
	if r.secret {
		reason, there = "SecretMissing", names(all[*corev1.Secret](d.Snapshot, p.Namespace))
	}
	f := d.add(Problem, reason, p, "container", container, "missing", r.name, "where", r.where)
	if near := nearest(r.name, there); near != "" {
		f.advise("Nearest", "near", near)
	}
	if other := d.elsewhere(p.Namespace, r); other != "" {
		f.advise("Elsewhere", "other", other)
	}
}

// elsewhere is another namespace that has an object of the name.
func (d *diagnosis) elsewhere(namespace string, r reference) string {
	var found []string
	if r.secret {
		for _, s := range all[*corev1.Secret](d.Snapshot, "") {
			if s.Name == r.name && s.Namespace != namespace {
				found = append(found, s.Namespace)
			}
		}
	} else {
		for _, m := range all[*corev1.ConfigMap](d.Snapshot, "") {
			if m.Name == r.name && m.Namespace != namespace {
				found = append(found, m.Namespace)
			}
		}
	}
	return strings.Join(found, ", ")
}

func (d *diagnosis) missingKey(p *corev1.Pod, container string, r reference, object client.Object) {
	reason := "ConfigMapKeyMissing"
	if r.secret {
		reason = "SecretKeyMissing"
	}
	there := keysOf(object)
	f := d.add(Problem, reason, p, "container", container, "source", r.name, "key", r.key, "where", r.where, "keys", orNone(there))
	if near := nearest(r.key, there); near != "" {
		f.advise("NearestKey", "near", near)
	}
}

func keysOf(object client.Object) []string {
	switch o := object.(type) {
	case *corev1.ConfigMap:
		return append(sortedKeys(o.Data), sortedKeys(o.BinaryData)...)
	case *corev1.Secret:
		return sortedKeys(o.Data)
	}
	return nil
}

// lastChange is when somebody last changed an object, as its managed fields tell.
func lastChange(object client.Object) time.Time {
	last := object.GetCreationTimestamp().Time
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "" && entry.Operation != "" && entry.Time != nil && entry.Time.After(last) {
			last = entry.Time.Time
		}
	}
	return last
}

// configMap judges a ConfigMap by who uses it.
func (d *diagnosis) configMap(m *corev1.ConfigMap) { d.configuration(m, false) }

// secret judges a Secret by who uses it, and by what is often wrong with its values.
func (d *diagnosis) secret(s *corev1.Secret) {
	for _, key := range sortedKeys(s.Data) {
		value := string(s.Data[key])
		if s.Type != corev1.SecretTypeTLS && !strings.Contains(strings.TrimRight(value, "\r\n"), "\n") && strings.HasSuffix(value, "\n") {
			d.add(Problem, "SecretNewline", s, "key", key)
		}
	}
	d.configuration(s, true)
}

func (d *diagnosis) configuration(object client.Object, secret bool) {
	var users []string
	for _, p := range all[*corev1.Pod](d.Snapshot, object.GetNamespace()) {
		refs := volumeRefs(p)
		for i := range p.Spec.Containers {
			refs = append(refs, environmentRefs(&p.Spec.Containers[i])...)
		}
		for i := range p.Spec.InitContainers {
			refs = append(refs, environmentRefs(&p.Spec.InitContainers[i])...)
		}
		if slices.ContainsFunc(refs, func(r reference) bool { return r.secret == secret && r.name == object.GetName() }) {
			users = append(users, "pod/"+p.Name)
			if d.deep && p.DeletionTimestamp == nil && isReady(p) {
				d.changedSince(p)
			}
		}
	}
	if len(users) == 0 {
		d.add(Notice, "ConfigUnused", object)
		return
	}
	d.add(Notice, "ConfigUsedBy", object, "users", users)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// selects says whether a selector of labels matches.
func selects(selector *metav1.LabelSelector, labels map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && !s.Empty() && s.Matches(labelSet(labels))
}
