package kinds

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containers checks the containers that a pod is there for: at least one.
func (c *specCheck) containers(path *field.Path) (errs field.ErrorList) {
	list := c.spec.Containers
	if len(list) == 0 {
		return field.ErrorList{field.Required(path, "")}
	}
	for i := range list {
		container, at := &list[i], path.Index(i)
		errs = append(errs, c.container(container, at)...)
		if slices.ContainsFunc(list[:i], named(container.Name)) {
			errs = append(errs, field.Duplicate(at.Child("name"), container.Name))
		}
		errs = append(errs, c.handlers(container, at)...)
		errs = append(errs, validateRestartRules(container, at)...)
	}
	return append(errs, hostPortConflicts(list, path)...)
}

// initContainers checks the containers that run before, one by one, and those that stay beside (sidecars).
func (c *specCheck) initContainers(path *field.Path) (errs field.ErrorList) {
	const forbidden = "may not be set for init containers without restartPolicy=Always"
	list := c.spec.InitContainers
	for i := range list {
		container, at := &list[i], path.Index(i)
		errs = append(errs, c.container(container, at)...)
		errs = append(errs, validateRestartRules(container, at)...)
		if slices.ContainsFunc(c.spec.Containers, named(container.Name)) ||
			container.Name != "" && slices.ContainsFunc(list[:i], named(container.Name)) {
			errs = append(errs, field.Duplicate(at.Child("name"), container.Name))
		}
		// They run one after another, so each may use a port again.
		errs = append(errs, hostPortConflicts(list[i:i+1], path)...)
		if isSidecar(container) {
			errs = append(errs, c.handlers(container, at)...)
			continue
		}
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"lifecycle", container.Lifecycle != nil}, {"livenessProbe", container.LivenessProbe != nil},
			{"readinessProbe", container.ReadinessProbe != nil}, {"startupProbe", container.StartupProbe != nil},
		} {
			if f.set {
				errs = append(errs, field.Forbidden(at.Child(f.name), forbidden))
			}
		}
	}
	return errs
}

// ephemeralFields are the fields that a container for debugging may have.
var ephemeralFields = map[string]bool{
	"Name": true, "Image": true, "Command": true, "Args": true, "WorkingDir": true, "Ports": false, "EnvFrom": true, "Env": true,
	"Resources": false, "VolumeMounts": true, "VolumeDevices": true, "LivenessProbe": false, "ReadinessProbe": false,
	"StartupProbe": false, "Lifecycle": false, "TerminationMessagePath": true, "TerminationMessagePolicy": true,
	"ImagePullPolicy": true, "SecurityContext": true, "Stdin": true, "StdinOnce": true, "TTY": true,
}

func (c *specCheck) ephemeralContainers(path *field.Path) (errs field.ErrorList) {
	const forbidden = "cannot be set for an Ephemeral Container"
	list := c.spec.EphemeralContainers
	for i := range list {
		container, at := corev1.Container(list[i].EphemeralContainerCommon), path.Index(i)
		others := slices.ContainsFunc(c.spec.Containers, named(container.Name)) || slices.ContainsFunc(c.spec.InitContainers, named(container.Name))
		errs = append(errs, c.container(&container, at)...)
		errs = append(errs, validateImageSpace(&container, at)...)
		if others || slices.ContainsFunc(list[:i], func(e corev1.EphemeralContainer) bool { return e.Name == container.Name }) {
			errs = append(errs, field.Duplicate(at.Child("name"), container.Name))
		}
		if target := list[i].TargetContainerName; target != "" &&
			!slices.ContainsFunc(c.spec.Containers, named(target)) && !slices.ContainsFunc(c.spec.InitContainers, named(target)) {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), target))
		}
		errs = append(errs, onlyFields(list[i].EphemeralContainerCommon, ephemeralFields, forbidden, at)...)
		for j, mount := range container.VolumeMounts {
			mountPath := at.Child("volumeMounts").Index(j)
			if mount.SubPath != "" {
				errs = append(errs, field.Forbidden(mountPath.Child("subPath"), forbidden))
			}
			if mount.SubPathExpr != "" {
				errs = append(errs, field.Forbidden(mountPath.Child("subPathExpr"), forbidden))
			}
		}
	}
	return errs
}

// onlyFields refuses each field of a struct that is set and not allowed.
func onlyFields(value any, allowed map[string]bool, message string, path *field.Path) (errs field.ErrorList) {
	v := reflect.ValueOf(value)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if allowed[name] || v.Field(i).IsZero() {
			continue
		}
		if v.Field(i).Kind() == reflect.Struct && reflect.DeepEqual(v.Field(i).Interface(), reflect.Zero(v.Field(i).Type()).Interface()) {
			continue
		}
		first, size := utf8.DecodeRuneInString(name)
		errs = append(errs, field.Forbidden(path.Child(string(unicode.ToLower(first))+name[size:]), message))
	}
	return errs
}

// named finds a container by its name.
func named(name string) func(corev1.Container) bool {
	return func(c corev1.Container) bool { return c.Name == name }
}

// container checks what all kinds of containers have in common.
func (c *specCheck) container(container *corev1.Container, path *field.Path) (errs field.ErrorList) {
	if container.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	} else {
		errs = append(errs, dnsLabel(container.Name, path.Child("name"))...)
	}
	errs = append(errs, required(container.Image, path.Child("image"), "")...)
	errs = append(errs, oneOfRequired(container.TerminationMessagePolicy, path.Child("terminationMessagePolicy"),
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, validatePorts(container.Ports, path.Child("ports"))...)
	errs = append(errs, c.env(container.Env, path.Child("env"))...)
	errs = append(errs, validateEnvFrom(container.EnvFrom, path.Child("envFrom"))...)
	errs = append(errs, c.mounts(container, path.Child("volumeMounts"))...)
	errs = append(errs, c.devices(container, path.Child("volumeDevices"))...)
	errs = append(errs, validatePullPolicy(container.ImagePullPolicy, path.Child("imagePullPolicy"))...)
	errs = append(errs, validateResources(&container.Resources, c.claims, path.Child("resources"))...)
	errs = append(errs, validateResizePolicy(container.ResizePolicy, c.spec.RestartPolicy, path.Child("resizePolicy"))...)
	return append(errs, c.security(container.SecurityContext, path.Child("securityContext"))...)
}

func validatePullPolicy(policy corev1.PullPolicy, path *field.Path) field.ErrorList {
	return oneOfRequired(policy, path, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
}

// validateImageSpace is asked of pods only: templates with such images exist.
func validateImageSpace(container *corev1.Container, path *field.Path) field.ErrorList {
	if container.Image != strings.TrimSpace(container.Image) {
		return field.ErrorList{field.Invalid(path.Child("image"), container.Image, "must not have leading or trailing whitespace")}
	}
	return nil
}

func validatePorts(ports []corev1.ContainerPort, path *field.Path) (errs field.ErrorList) {
	for i, port := range ports {
		at := path.Index(i)
		if port.Name != "" {
			if messages := validation.IsValidPortName(port.Name); len(messages) > 0 {
				errs = append(errs, invalid(at.Child("name"), port.Name, messages)...)
			} else if slices.ContainsFunc(ports[:i], func(p corev1.ContainerPort) bool { return p.Name == port.Name }) {
				errs = append(errs, field.Duplicate(at.Child("name"), port.Name))
			}
		}
		if port.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, portNumber(port.ContainerPort, at.Child("containerPort"))...)
		}
		if port.HostPort != 0 {
			errs = append(errs, portNumber(port.HostPort, at.Child("hostPort"))...)
		}
		errs = append(errs, oneOfRequired(port.Protocol, at.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)...)
	}
	return errs
}

// hostPortConflicts refuses a port of the node that two containers of the pod ask for.
func hostPortConflicts(list []corev1.Container, path *field.Path) (errs field.ErrorList) {
	var seen map[string]bool
	for i := range list {
		for j, port := range list[i].Ports {
			if port.HostPort == 0 {
				continue
			}
			if seen == nil {
				seen = map[string]bool{}
			}
			key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
			if seen[key] {
				errs = append(errs, field.Duplicate(path.Index(i).Child("ports").Index(j).Child("hostPort"), key))
			}
			seen[key] = true
		}
	}
	return errs
}

// validateResizePolicy checks which changes of resources need a restart.
func validateResizePolicy(policies []corev1.ContainerResizePolicy, restart corev1.RestartPolicy, path *field.Path) (errs field.ErrorList) {
	for i, p := range policies {
		if slices.ContainsFunc(policies[:i], func(q corev1.ContainerResizePolicy) bool { return q.ResourceName == p.ResourceName }) {
			errs = append(errs, field.Duplicate(path.Index(i), p.ResourceName))
		}
		errs = append(errs, oneOfRequired(p.ResourceName, path, corev1.ResourceCPU, corev1.ResourceMemory)...)
		errs = append(errs, oneOfRequired(p.RestartPolicy, path, corev1.NotRequired, corev1.RestartContainer)...)
		if restart == corev1.RestartPolicyNever && p.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(path, p.RestartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
		}
	}
	return errs
}
