package kubelet

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/kubectl/pkg/util/fieldpath"
	resourceutil "k8s.io/kubectl/pkg/util/resource"

	"kubette/kubelet/runtime"
)

// environment works out a container's variables: the services' first, then those of envFrom, then its own; a later one
// replaces an earlier one of the same name, and may refer to it as $(NAME).
func (s *session) environment(ctx context.Context, w *worker, pod *corev1.Pod, spec *corev1.Container, sandbox *runtime.Sandbox) ([]runtime.EnvVar, error) {
	vars := &variables{position: map[string]int{}}
	fromMaps := &variables{position: map[string]int{}}
	for i := range spec.EnvFrom {
		if err := s.envFrom(ctx, w, pod, spec, &spec.EnvFrom[i], fromMaps); err != nil {
			return nil, err
		}
	}
	services := s.serviceVariables(pod)
	lookup := func(name string) (string, bool) {
		if value, ok := vars.get(name); ok {
			return value, true
		}
		if value, ok := fromMaps.get(name); ok {
			return value, true
		}
		return services.get(name)
	}
	for i := range spec.Env {
		env := &spec.Env[i]
		value := expand(env.Value, lookup)
		if env.Value == "" && env.ValueFrom != nil {
			found, ok, err := s.envValue(ctx, w, pod, spec, env.ValueFrom, sandbox)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue // optional, and not there
			}
			value = found
		}
		vars.set(env.Name, value)
	}
	all := &variables{position: map[string]int{}}
	for _, part := range []*variables{services, fromMaps, vars} {
		for _, each := range part.list {
			all.set(each.Name, each.Value)
		}
	}
	return s.keptOnce(all.list), nil
}

// keptOnce returns the environment of the last container when that is the same, so that it is not kept for each.
func (s *session) keptOnce(env []runtime.EnvVar) []runtime.EnvVar {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(env, s.env) {
		s.env = slices.Clone(env)
	}
	return s.env
}

// variables keep their order; setting one again changes it in its place.
type variables struct {
	list     []runtime.EnvVar
	position map[string]int
}

func (v *variables) set(name, value string) {
	if i, ok := v.position[name]; ok {
		v.list[i].Value = value
		return
	}
	v.position[name] = len(v.list)
	v.list = append(v.list, runtime.EnvVar{Name: name, Value: value})
}

func (v *variables) get(name string) (string, bool) {
	if i, ok := v.position[name]; ok {
		return v.list[i].Value, true
	}
	return "", false
}

// envFrom adds every key of a map or secret, in order of the keys; names that no variable can have are left out, and told.
func (s *session) envFrom(ctx context.Context, w *worker, pod *corev1.Pod, spec *corev1.Container, source *corev1.EnvFromSource, vars *variables) error {
	data := map[string]string{}
	var kind, from string
	switch {
	case source.ConfigMapRef != nil:
		kind, from = "ConfigMap", source.ConfigMapRef.Name
		m, err := s.referConfigMap(ctx, w, pod.Namespace, from)
		if missing(err, source.ConfigMapRef.Optional) {
			return nil
		}
		if err != nil {
			return refersTo("configmap", pod.Namespace, from, err)
		}
		data = m.Data
	case source.SecretRef != nil:
		kind, from = "Secret", source.SecretRef.Name
		secret, err := s.referSecret(ctx, w, pod.Namespace, from)
		if missing(err, source.SecretRef.Optional) {
			return nil
		}
		if err != nil {
			return refersTo("secret", pod.Namespace, from, err)
		}
		for name, value := range secret.Data {
			data[name] = string(value)
		}
	}
	var invalid []string
	for _, name := range sortedKeys(data) {
		full := source.Prefix + name
		if len(validation.IsRelaxedEnvVarName(full)) > 0 {
			invalid = append(invalid, full)
			continue
		}
		vars.set(full, data[name])
	}
	if len(invalid) > 0 {
		s.event(pod, "", corev1.EventTypeWarning, "InvalidEnvironmentVariableNames",
			"Keys [%s] from the EnvFrom %s %s/%s were skipped since they are considered invalid environment variable names.",
			strings.Join(invalid, ", "), strings.ToLower(kind), pod.Namespace, from)
	}
	return nil
}

// missing says that something optional is not there.
func missing(err error, optional *bool) bool {
	return apierrors.IsNotFound(err) && optional != nil && *optional
}

// refersTo is the error of something that a container refers to: `configmap "x" not found`.
func refersTo(kind, namespace, name string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %q not found", kind, name)
	}
	return fmt.Errorf("read %s %s/%s: %w", kind, namespace, name, err)
}

// envValue reads a variable's source. It returns false when the source is optional and not there.
func (s *session) envValue(ctx context.Context, w *worker, pod *corev1.Pod, spec *corev1.Container, from *corev1.EnvVarSource, sandbox *runtime.Sandbox) (string, bool, error) {
	switch {
	case from.FieldRef != nil:
		value, err := s.podField(pod, from.FieldRef.FieldPath, sandbox)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err := s.resourceField(pod, spec, from.ResourceFieldRef)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := s.referConfigMap(ctx, w, pod.Namespace, ref.Name)
		if missing(err, ref.Optional) {
			return "", false, nil
		}
		if err != nil {
			return "", false, refersTo("configmap", pod.Namespace, ref.Name, err)
		}
		value, ok := m.Data[ref.Key]
		if !ok && !valueOr(ref.Optional, false) {
			return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, pod.Namespace, ref.Name)
		}
		return value, ok, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		secret, err := s.referSecret(ctx, w, pod.Namespace, ref.Name)
		if missing(err, ref.Optional) {
			return "", false, nil
		}
		if err != nil {
			return "", false, refersTo("secret", pod.Namespace, ref.Name, err)
		}
		value, ok := secret.Data[ref.Key]
		if !ok && !valueOr(ref.Optional, false) {
			return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, pod.Namespace, ref.Name)
		}
		return string(value), ok, nil
	}
	return "", false, fmt.Errorf("a variable's source is of a kind that kubette does not know")
}

// podField reads a field of the pod, for a variable or a file of the downward API.
func (s *session) podField(pod *corev1.Pod, field string, sandbox *runtime.Sandbox) (string, error) {
	switch field {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return s.hostAddr, nil
	case "status.podIP", "status.podIPs":
		if pod.Spec.HostNetwork {
			return s.hostAddr, nil
		}
		if sandbox != nil && sandbox.Address.IsValid() {
			return sandbox.Address.String(), nil
		}
		return pod.Status.PodIP, nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, field)
}

// resourceField reads a limit or request; a limit that is not set is all that the node has.
func (s *session) resourceField(pod *corev1.Pod, spec *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	if ref.ContainerName != "" && ref.ContainerName != spec.Name {
		if spec = containerOf(pod, ref.ContainerName); spec == nil {
			return "", fmt.Errorf("container %s not found", ref.ContainerName)
		}
	}
	filled := spec.DeepCopy()
	if filled.Resources.Limits == nil {
		filled.Resources.Limits = corev1.ResourceList{}
	}
	for name, quantity := range s.node.capacity() {
		if _, set := filled.Resources.Limits[name]; !set && name != corev1.ResourcePods {
			filled.Resources.Limits[name] = quantity
		}
	}
	return resourceutil.ExtractContainerResourceValue(ref, filled)
}

// serviceVariables are the addresses of the services of the pod's namespace that exist now, and of the API.
func (s *session) serviceVariables(pod *corev1.Pod) *variables {
	vars := &variables{position: map[string]int{}}
	links := valueOr(pod.Spec.EnableServiceLinks, true)
	services := map[string]*corev1.Service{}
	if api, ok := s.services.Get(corev1.NamespaceDefault, "kubernetes"); ok {
		services["kubernetes"] = api
	}
	if links {
		for _, service := range s.services.List(pod.Namespace, nil) {
			services[service.Name] = service
		}
	}
	for _, name := range sortedKeys(services) {
		service := services[name]
		if ip := service.Spec.ClusterIP; ip == "" || ip == corev1.ClusterIPNone || len(service.Spec.Ports) == 0 {
			continue
		}
		addService(vars, service)
	}
	return vars
}

// addService adds NAME_SERVICE_HOST and NAME_SERVICE_PORT, and the older names that Docker's links had.
func addService(vars *variables, service *corev1.Service) {
	prefix, ip := variableName(service.Name), service.Spec.ClusterIP
	first := service.Spec.Ports[0]
	vars.set(prefix+"_SERVICE_HOST", ip)
	vars.set(prefix+"_SERVICE_PORT", strconv.Itoa(int(first.Port)))
	for _, port := range service.Spec.Ports {
		if port.Name != "" {
			vars.set(prefix+"_SERVICE_PORT_"+variableName(port.Name), strconv.Itoa(int(port.Port)))
		}
	}
	for i, port := range service.Spec.Ports {
		protocol := string(port.Protocol)
		if protocol == "" {
			protocol = "TCP"
		}
		number := strconv.Itoa(int(port.Port))
		url := fmt.Sprintf("%s://%s:%s", strings.ToLower(protocol), ip, number)
		if i == 0 {
			vars.set(prefix+"_PORT", url)
		}
		link := prefix + "_PORT_" + number + "_" + protocol
		vars.set(link, url)
		vars.set(link+"_PROTO", strings.ToLower(protocol))
		vars.set(link+"_PORT", number)
		vars.set(link+"_ADDR", ip)
	}
}

func variableName(name string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
