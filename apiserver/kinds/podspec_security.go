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

// podSecurity checks the security context of the pod as a whole.
func (c *specCheck) podSecurity(path *field.Path) (errs field.ErrorList) {
	s := c.spec.SecurityContext
	if s == nil {
		return nil
	}
	if s.FSGroup != nil {
		errs = append(errs, invalid(path.Child("fsGroup"), *s.FSGroup, validation.IsValidGroupID(*s.FSGroup))...)
	}
	errs = append(errs, validateRunAs(s.RunAsUser, s.RunAsGroup, path)...)
	for i, group := range s.SupplementalGroups {
		errs = append(errs, invalid(path.Child("supplementalGroups").Index(i), group, validation.IsValidGroupID(group))...)
	}
	errs = append(errs, c.sysctls(s.Sysctls, path.Child("sysctls"))...)
	if s.FSGroupChangePolicy != nil {
		errs = append(errs, oneOf(*s.FSGroupChangePolicy, path.Child("fsGroupChangePolicy"), corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	}
	errs = append(errs, validateSeccomp(s.SeccompProfile, path.Child("seccompProfile"))...)
	errs = append(errs, validateWindowsOptions(s.WindowsOptions, path.Child("windowsOptions"))...)
	errs = append(errs, validateAppArmor(s.AppArmorProfile, path.Child("appArmorProfile"))...)
	if s.SupplementalGroupsPolicy != nil {
		errs = append(errs, oneOf(*s.SupplementalGroupsPolicy, path.Child("supplementalGroupsPolicy"),
			corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	}
	if s.SELinuxChangePolicy != nil {
		errs = append(errs, oneOf(*s.SELinuxChangePolicy, path.Child("seLinuxChangePolicy"),
			corev1.SELinuxChangePolicyMountOption, corev1.SELinuxChangePolicyRecursive)...)
	}
	return errs
}

// security checks the security context of one container.
func (c *specCheck) security(s *corev1.SecurityContext, path *field.Path) (errs field.ErrorList) {
	if s == nil {
		return nil
	}
	errs = append(errs, validateRunAs(s.RunAsUser, s.RunAsGroup, path)...)
	if s.ProcMount != nil {
		errs = append(errs, oneOf(*s.ProcMount, path.Child("procMount"), corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if c.hostUsers && *s.ProcMount == corev1.UnmaskedProcMount {
			errs = append(errs, field.Invalid(path.Child("procMount"), s.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	errs = append(errs, validateSeccomp(s.SeccompProfile, path.Child("seccompProfile"))...)
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		if s.Privileged != nil && *s.Privileged {
			errs = append(errs, field.Invalid(path, internalForm(s), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if s.Capabilities != nil {
			for _, capability := range s.Capabilities.Add {
				if capability == "CAP_SYS_ADMIN" {
					errs = append(errs, field.Invalid(path, internalForm(s), "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
				}
			}
		}
	}
	errs = append(errs, validateWindowsOptions(s.WindowsOptions, path.Child("windowsOptions"))...)
	return append(errs, validateAppArmor(s.AppArmorProfile, path.Child("appArmorProfile"))...)
}

func validateRunAs(user, group *int64, path *field.Path) (errs field.ErrorList) {
	if user != nil {
		errs = append(errs, invalid(path.Child("runAsUser"), *user, validation.IsValidUserID(*user))...)
	}
	if group != nil {
		errs = append(errs, invalid(path.Child("runAsGroup"), *group, validation.IsValidGroupID(*group))...)
	}
	return errs
}

// sysctlName is the form of a kernel parameter's name, with dots or slashes.
var sysctlName = sync.OnceValue(func() *regexp.Regexp {
	const segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
	return regexp.MustCompile("^(" + segment + "[\\./])*" + segment + "$")
})

func (c *specCheck) sysctls(list []corev1.Sysctl, path *field.Path) (errs field.ErrorList) {
	const longest = 253
	for i, s := range list {
		at := path.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > longest || !sysctlName().MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", longest, sysctlName())))
		default:
			for _, before := range list[:i] {
				if before.Name == s.Name {
					errs = append(errs, field.Duplicate(at, s.Name))
					break
				}
			}
		}
		switch namespace := sysctlNamespace(s.Name); {
		case c.spec.HostNetwork && namespace == "net":
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostNetwork' is true"))
		case c.spec.HostIPC && namespace == "ipc":
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostIPC' is true"))
		}
	}
	return errs
}

// sysctlNamespace says which of the pod's own namespaces a kernel parameter belongs to.
func sysctlNamespace(name string) string {
	if first := strings.IndexAny(name, "./"); first >= 0 && name[first] == '/' {
		name = strings.NewReplacer("/", ".", ".", "/").Replace(name)
	}
	switch {
	case name == "kernel.sem", strings.HasPrefix(name, "kernel.shm"), strings.HasPrefix(name, "kernel.msg"), strings.HasPrefix(name, "fs.mqueue."):
		return "ipc"
	case strings.HasPrefix(name, "net."):
		return "net"
	}
	return ""
}

func validateSeccomp(p *corev1.SeccompProfile, path *field.Path) (errs field.ErrorList) {
	if p == nil {
		return nil
	}
	if p.Type == "" {
		errs = append(errs, field.Required(path.Child("type"), "type is required when seccompProfile is set"))
	} else {
		errs = append(errs, oneOf(p.Type, path.Child("type"),
			corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)...)
	}
	at := path.Child("localhostProfile")
	switch {
	case p.Type != corev1.SeccompProfileTypeLocalhost && p.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at, internalForm(p), "can only be set when seccomp type is Localhost"))
	case p.Type != corev1.SeccompProfileTypeLocalhost:
	case p.LocalhostProfile == nil:
		errs = append(errs, field.Required(at, "must be set when seccomp type is Localhost"))
	default:
		errs = append(errs, localPath(*p.LocalhostProfile, at)...)
	}
	return errs
}

func validateAppArmor(p *corev1.AppArmorProfile, path *field.Path) (errs field.ErrorList) {
	if p == nil {
		return nil
	}
	const longest = 4095
	at := path.Child("localhostProfile")
	switch p.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		switch profile := p.LocalhostProfile; {
		case profile == nil, *profile == "":
			errs = append(errs, field.Required(at, "must be set when AppArmor type is Localhost"))
		case strings.TrimSpace(*profile) != *profile:
			errs = append(errs, field.Invalid(at, *profile, "must not be padded with whitespace"))
		}
		if p.LocalhostProfile != nil && len(*p.LocalhostProfile) > longest {
			errs = append(errs, field.TooLong(at, "", longest))
		}
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if p.LocalhostProfile != nil {
			errs = append(errs, field.Invalid(at, p.LocalhostProfile, "can only be set when AppArmor type is Localhost"))
		}
	case "":
		errs = append(errs, field.Required(path.Child("type"), "type is required when appArmorProfile is set"))
	default:
		errs = append(errs, field.NotSupported(path.Child("type"), p.Type, []corev1.AppArmorProfileType{
			corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined}))
	}
	return errs
}
