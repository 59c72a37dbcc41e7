package kinds

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// legacyIP checks an address in one of the old fields, which need not be written in the shortest form. Addresses that
// the object had before are left alone.
func legacyIP(ip string, path *field.Path, before ...string) field.ErrorList {
	return validation.IsValidIPForLegacyField(path, ip, true, before)
}

// legacyCIDR does so for a range of addresses.
func legacyCIDR(cidr string, path *field.Path, before ...string) field.ErrorList {
	return validation.IsValidCIDRForLegacyField(path, cidr, true, before)
}

// ordinaryIP refuses addresses that mean a machine itself or one link, and so say something else on every node.
func ordinaryIP(value string, path *field.Path) (errs field.ErrorList) {
	ip := netutils.ParseIPSloppy(value)
	refuse := func(when bool, message string) {
		if when {
			errs = append(errs, field.Invalid(path, value, message))
		}
	}
	if ip == nil {
		return field.ErrorList{field.Invalid(path, value, "must be a valid IP address")}
	}
	refuse(ip.IsUnspecified(), fmt.Sprintf("may not be unspecified (%v)", value))
	refuse(ip.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)")
	refuse(ip.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
	refuse(ip.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
	return errs
}

// balancerAddress checks where a load balancer is: by address or by name. between is asked for errors that stand between
// those of the two.
func balancerAddress(ip, hostname string, path *field.Path, before []string, between func() field.ErrorList) (errs field.ErrorList) {
	if ip != "" {
		errs = append(errs, legacyIP(ip, path.Child("ip"), before...)...)
	}
	errs = append(errs, between()...)
	if hostname != "" {
		errs = append(errs, dnsSubdomain(hostname, path.Child("hostname"))...)
		if netutils.ParseIPSloppy(hostname) != nil {
			errs = append(errs, field.Invalid(path.Child("hostname"), hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}
