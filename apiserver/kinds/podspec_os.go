package kinds

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// eachContainer calls f with every container of a spec and its path: init containers, containers, ephemeral containers.
func eachContainer(spec *corev1.PodSpec, path *field.Path, f func(c *corev1.Container, path *field.Path)) {
	for i := range spec.InitContainers {
		f(&spec.InitContainers[i], path.Child("initContainers").Index(i))
	}
	for i := range spec.Containers {
		f(&spec.Containers[i], path.Child("containers").Index(i))
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		f(&c, path.Child("ephemeralContainers").Index(i))
	}
}

// operatingSystem refuses what the system that a pod names does not have.
func (c *specCheck) operatingSystem(path *field.Path) field.ErrorList {
	if c.spec.OS == nil {
		return nil
	}
	switch at := path.Child("os"); c.spec.OS.Name {
	case "":
		return field.ErrorList{field.Required(at.Child("name"), "")}
	case corev1.Linux:
		return c.linux(path)
	case corev1.Windows:
		return c.windows(path)
	default:
		return oneOf(c.spec.OS.Name, at, corev1.Linux, corev1.Windows)
	}
}

func (c *specCheck) linux(path *field.Path) (errs field.ErrorList) {
	const forbidden = "windows options cannot be set for a linux pod"
	if s := c.spec.SecurityContext; s != nil && s.WindowsOptions != nil {
		errs = append(errs, field.Forbidden(path.Child("securityContext", "windowsOptions"), forbidden))
	}
	eachContainer(c.spec, path, func(container *corev1.Container, at *field.Path) {
		if s := container.SecurityContext; s != nil && s.WindowsOptions != nil {
			errs = append(errs, field.Forbidden(at.Child("securityContext", "windowsOptions"), forbidden))
		}
	})
	return errs
}

// setField is a field that is forbidden when it is set.
type setField struct {
	set  bool
	name string
}

func forbidSet(path *field.Path, message string, fields []setField) (errs field.ErrorList) {
	for _, f := range fields {
		if f.set {
			errs = append(errs, field.Forbidden(path.Child(f.name), message))
		}
	}
	return errs
}

func (c *specCheck) windows(path *field.Path) (errs field.ErrorList) {
	const forbidden = "cannot be set for a windows pod"
	if s := c.spec.SecurityContext; s != nil {
		at := path.Child("securityContext")
		errs = append(errs, forbidSet(at, forbidden, []setField{{s.AppArmorProfile != nil, "appArmorProfile"}, {s.SELinuxOptions != nil, "seLinuxOptions"}})...)
		errs = append(errs, forbidSet(path, forbidden, []setField{{c.spec.HostUsers != nil, "hostUsers"}, {c.spec.HostPID, "hostPID"}, {c.spec.HostIPC, "hostIPC"}})...)
		errs = append(errs, forbidSet(at, forbidden, []setField{{s.SeccompProfile != nil, "seccompProfile"}, {s.FSGroup != nil, "fsGroup"},
			{s.FSGroupChangePolicy != nil, "fsGroupChangePolicy"}, {len(s.Sysctls) > 0, "sysctls"}})...)
		errs = append(errs, forbidSet(path, forbidden, []setField{{c.spec.ShareProcessNamespace != nil, "shareProcessNamespace"}})...)
		errs = append(errs, forbidSet(at, forbidden, []setField{{s.RunAsUser != nil, "runAsUser"}, {s.RunAsGroup != nil, "runAsGroup"},
			{s.SupplementalGroups != nil, "supplementalGroups"}, {s.SupplementalGroupsPolicy != nil, "supplementalGroupsPolicy"},
			{s.SELinuxChangePolicy != nil, "seLinuxChangePolicy"}})...)
	}
	eachContainer(c.spec, path, func(container *corev1.Container, at *field.Path) {
		if s := container.SecurityContext; s != nil {
			errs = append(errs, forbidSet(at.Child("securityContext"), forbidden, []setField{{s.AppArmorProfile != nil, "appArmorProfile"},
				{s.SELinuxOptions != nil, "seLinuxOptions"}, {s.SeccompProfile != nil, "seccompProfile"}, {s.Capabilities != nil, "capabilities"},
				{s.ReadOnlyRootFilesystem != nil, "readOnlyRootFilesystem"}, {s.Privileged != nil, "privileged"},
				{s.AllowPrivilegeEscalation != nil, "allowPrivilegeEscalation"}, {s.ProcMount != nil, "procMount"},
				{s.RunAsUser != nil, "runAsUser"}, {s.RunAsGroup != nil, "runAsGroup"}})...)
		}
	})
	return errs
}

// userNamespace: a pod with users of its own cannot share the node's other namespaces.
func (c *specCheck) userNamespace(path *field.Path) (errs field.ErrorList) {
	const forbidden = "when `hostUsers` is false"
	if c.hostUsers {
		return nil
	}
	errs = forbidSet(path, forbidden, []setField{{c.spec.HostNetwork, "hostNetwork"}, {c.spec.HostPID, "hostPID"}, {c.spec.HostIPC, "hostIPC"}})
	eachContainer(c.spec, path, func(container *corev1.Container, at *field.Path) {
		if len(container.VolumeDevices) > 0 {
			errs = append(errs, field.Forbidden(at.Child("volumeDevices"), forbidden))
		}
	})
	return errs
}

// windowsHostProcess: either all containers of a pod are processes of the node itself, or none is.
func (c *specCheck) windowsHostProcess(path *field.Path) (errs field.ErrorList) {
	var pod *bool
	if s := c.spec.SecurityContext; s != nil && s.WindowsOptions != nil {
		pod = s.WindowsOptions.HostProcess
	}
	all, host := 0, 0
	eachContainer(c.spec, path, func(container *corev1.Container, at *field.Path) {
		all++
		own := pod
		if s := container.SecurityContext; s != nil && s.WindowsOptions != nil && s.WindowsOptions.HostProcess != nil {
			own = s.WindowsOptions.HostProcess
			if pod != nil && *pod != *own {
				errs = append(errs, field.Invalid(at.Child("securityContext", "windowsOptions", "hostProcess"), *own,
					fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *pod)))
			}
		}
		if own != nil && *own {
			host++
		}
	})
	if host > 0 && host != all {
		errs = append(errs, field.Invalid(path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers"))
	}
	if host > 0 && !c.spec.HostNetwork {
		errs = append(errs, field.Invalid(path.Child("hostNetwork"), false, "hostNetwork must be true if pod contains any hostProcess containers"))
	}
	return errs
}

// windowsUser holds the forms of names of Windows users and domains.
var windowsUser = sync.OnceValue(func() (p struct{ control, netBIOS, dns, dotsOnly *regexp.Regexp }) {
	const label = `[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`
	p.control = regexp.MustCompile(`[[:cntrl:]]+`)
	p.netBIOS = regexp.MustCompile(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	p.dns = regexp.MustCompile(`^` + label + `(?:\.` + label + `)*$`)
	p.dotsOnly = regexp.MustCompile(`^[\. ]+$`)
	return p
})

func validateWindowsOptions(o *corev1.WindowsSecurityContextOptions, path *field.Path) (errs field.ErrorList) {
	if o == nil {
		return nil
	}
	const longestSpec = 64
	if name := o.GMSACredentialSpecName; name != nil {
		errs = append(errs, invalid(path.Child("gmsaCredentialSpecName"), name, validation.IsDNS1123Subdomain(*name))...)
	}
	if spec := o.GMSACredentialSpec; spec != nil {
		switch n := len(*spec); {
		case n == 0:
			errs = append(errs, field.Invalid(path.Child("gmsaCredentialSpec"), spec, "gmsaCredentialSpec cannot be an empty string"))
		case n > longestSpec*1024:
			errs = append(errs, field.Invalid(path.Child("gmsaCredentialSpec"), spec, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", longestSpec)))
		}
	}
	if name := o.RunAsUserName; name != nil {
		errs = append(errs, invalid(path.Child("runAsUserName"), name, windowsUserName(*name))...)
	}
	return errs
}

// windowsUserName says what is wrong with a name such as DOMAIN\user.
func windowsUserName(name string) (messages []string) {
	const longestDomain, longestUser = 256, 104
	form := windowsUser()
	domain, user, hasDomain := strings.Cut(name, `\`)
	if !hasDomain {
		domain, user = "", name
	}
	switch {
	case name == "":
		return []string{"runAsUserName cannot be an empty string"}
	case form.control.MatchString(name):
		return []string{"runAsUserName cannot contain control characters"}
	case strings.Count(name, `\`) > 1:
		return []string{"runAsUserName cannot contain more than one backslash"}
	}
	if len(domain) >= longestDomain {
		messages = append(messages, fmt.Sprintf("runAsUserName's Domain length must be under %d characters", longestDomain))
	}
	if hasDomain && !form.netBIOS.MatchString(domain) && !form.dns.MatchString(domain) {
		messages = append(messages, "runAsUserName's Domain doesn't match the NetBios nor the DNS format")
	}
	if user == "" {
		messages = append(messages, "runAsUserName's User cannot be empty")
	} else if len(user) > longestUser {
		messages = append(messages, fmt.Sprintf("runAsUserName's User length must not be longer than %d characters", longestUser))
	}
	if form.dotsOnly.MatchString(user) {
		messages = append(messages, "runAsUserName's User cannot contain only periods or spaces")
	}
	if strings.ContainsAny(user, `"/\:;|=,+*?<>@[]`) {
		messages = append(messages, `runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`)
	}
	return messages
}
