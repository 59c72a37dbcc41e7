package kinds

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// The most that one slice holds.
const (
	maxSliceEndpoints = 1000
	maxSliceAddresses = 100
	maxSlicePorts     = 20000
	maxSliceTopology  = 16
	maxSliceHints     = 8
)

func endpointSlice() *Kind {
	return Row[*discoveryv1.EndpointSlice]{
		Base: Kind{
			Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice", Plural: "endpointslices", Singular: "endpointslice",
			Namespaced: true, UnconditionalUpdate: true,
		},
		New:     func() *discoveryv1.EndpointSlice { return &discoveryv1.EndpointSlice{} },
		NewList: func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
		Default: func(s *discoveryv1.EndpointSlice) {
			for i := range s.Ports {
				setDefaultPointer(&s.Ports[i].Name, "")
				setDefaultPointer(&s.Ports[i].Protocol, corev1.ProtocolTCP)
			}
		},
		PrepareForCreate: func(s *discoveryv1.EndpointSlice) {
			s.Generation = 1
			tidyEndpointSlice(s, nil)
		},
		PrepareForUpdate: func(s, old *discoveryv1.EndpointSlice) {
			raiseGeneration(s, old, []any{s.AddressType, s.Endpoints, s.Ports, s.Labels}, []any{old.AddressType, old.Endpoints, old.Ports, old.Labels})
			tidyEndpointSlice(s, old.Endpoints)
		},
		Validate:       func(s *discoveryv1.EndpointSlice) field.ErrorList { return validateEndpointSlice(s, nil) },
		ValidateUpdate: validateEndpointSlice,
		Warnings:       func(s, _ *discoveryv1.EndpointSlice) []string { return endpointSliceWarnings(s) },
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("AddressType", "string", discoveryv1.EndpointSlice{}.SwaggerDoc()["addressType"]),
			column("Ports", "string", discoveryv1.EndpointSlice{}.SwaggerDoc()["ports"]),
			column("Endpoints", "string", discoveryv1.EndpointSlice{}.SwaggerDoc()["endpoints"]),
			ageColumn(),
		},
		Cells: endpointSliceCells,
	}.Kind()
}

// tidyEndpointSlice drops deprecatedTopology, which the v1 API shows but does not take, unless no endpoint changes.
func tidyEndpointSlice(s *discoveryv1.EndpointSlice, old []discoveryv1.Endpoint) {
	noneIfEmpty(&s.Endpoints)
	noneIfEmpty(&s.Ports)
	if old != nil && equality.Semantic.DeepEqual(s.Endpoints, old) {
		return
	}
	for i := range s.Endpoints {
		s.Endpoints[i].DeprecatedTopology = nil
	}
}

// validateEndpointSlice checks a slice. What is declared in the API's types comes last: that there is a type, which one
// it can be, and how many addresses an endpoint has.
func validateEndpointSlice(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := validateSliceEndpoints(s, old, field.NewPath("endpoints"))
	errs = append(errs, validateSlicePorts(s.Ports, field.NewPath("ports"))...)
	if path := field.NewPath("addressType"); s.AddressType == "" {
		errs = append(errs, field.Required(path, ""))
	} else {
		errs = append(errs, oneOf(s.AddressType, path, discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)...)
	}
	if old != nil {
		errs = append(errs, declaredImmutable(s.AddressType, old.AddressType, field.NewPath("addressType"))...)
	}
	for i, e := range s.Endpoints {
		switch addresses := field.NewPath("endpoints").Index(i).Child("addresses"); {
		case len(e.Addresses) == 0:
			errs = append(errs, field.Required(addresses, ""))
		case len(e.Addresses) > maxSliceAddresses:
			errs = append(errs, field.TooMany(addresses, len(e.Addresses), maxSliceAddresses))
		}
	}
	return errs
}

func validateSliceEndpoints(s, old *discoveryv1.EndpointSlice, path *field.Path) (errs field.ErrorList) {
	if len(s.Endpoints) > maxSliceEndpoints {
		return field.ErrorList{field.TooMany(path, len(s.Endpoints), maxSliceEndpoints)}
	}
	var before []string
	if old != nil {
		for _, e := range old.Endpoints {
			before = append(before, e.Addresses...)
		}
	}
	for i := range s.Endpoints {
		e, at := &s.Endpoints[i], path.Index(i)
		for j, address := range e.Addresses {
			errs = append(errs, validateSliceAddress(s.AddressType, address, before, at.Child("addresses").Index(j))...)
		}
		if e.NodeName != nil {
			errs = append(errs, dnsSubdomain(*e.NodeName, at.Child("nodeName"))...)
		}
		topology := at.Child("deprecatedTopology")
		if len(e.DeprecatedTopology) > maxSliceTopology {
			errs = append(errs, field.TooMany(topology, len(e.DeprecatedTopology), maxSliceTopology))
		}
		errs = append(errs, metavalidation.ValidateLabels(e.DeprecatedTopology, topology)...)
		if e.Hostname != nil {
			errs = append(errs, dnsLabel(*e.Hostname, at.Child("hostname"))...)
		}
		if e.Hints != nil {
			errs = append(errs, validateHints(e.Hints, at.Child("hints"))...)
		}
	}
	return errs
}

func validateSliceAddress(typ discoveryv1.AddressType, address string, before []string, path *field.Path) field.ErrorList {
	if typ == discoveryv1.AddressTypeFQDN {
		return validation.IsFullyQualifiedDomainName(path, address)
	}
	if typ != discoveryv1.AddressTypeIPv4 && typ != discoveryv1.AddressTypeIPv6 {
		return nil
	}
	if errs := legacyIP(address, path, before...); len(errs) > 0 {
		return errs
	}
	var errs field.ErrorList
	switch {
	case typ == discoveryv1.AddressTypeIPv4 && !netutils.IsIPv4String(address):
		errs = append(errs, field.Invalid(path, address, "must be an IPv4 address"))
	case typ == discoveryv1.AddressTypeIPv6 && !netutils.IsIPv6String(address):
		errs = append(errs, field.Invalid(path, address, "must be an IPv6 address"))
	}
	return append(errs, ordinaryIP(address, path)...)
}

func validateHints(h *discoveryv1.EndpointHints, path *field.Path) (errs field.ErrorList) {
	zones, nodes := path.Child("forZones"), path.Child("forNodes")
	if len(h.ForZones) > maxSliceHints {
		return field.ErrorList{field.TooMany(zones, len(h.ForZones), maxSliceHints)}
	}
	for i, zone := range h.ForZones {
		at := zones.Index(i).Child("name")
		if slices.Contains(h.ForZones[:i], zone) {
			errs = append(errs, field.Duplicate(at, zone.Name))
		}
		errs = append(errs, invalid(at, zone.Name, validation.IsValidLabelValue(zone.Name))...)
	}
	if len(h.ForNodes) > maxSliceHints {
		return append(errs, field.TooMany(nodes, len(h.ForNodes), maxSliceHints))
	}
	for i, node := range h.ForNodes {
		at := nodes.Index(i).Child("name")
		if slices.Contains(h.ForNodes[:i], node) {
			errs = append(errs, field.Duplicate(at, node.Name))
		}
		errs = append(errs, dnsSubdomain(node.Name, at)...)
	}
	return errs
}

func validateSlicePorts(ports []discoveryv1.EndpointPort, path *field.Path) (errs field.ErrorList) {
	if len(ports) > maxSlicePorts {
		return field.ErrorList{field.TooMany(path, len(ports), maxSlicePorts)}
	}
	names := map[string]bool{}
	for i, p := range ports {
		at := path.Index(i)
		if *p.Name != "" {
			errs = append(errs, dnsLabel(*p.Name, at.Child("name"))...)
		}
		if names[*p.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), *p.Name))
		}
		names[*p.Name] = true
		errs = append(errs, oneOf(*p.Protocol, at.Child("protocol"), corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)...)
		if p.AppProtocol != nil {
			errs = append(errs, qualifiedName(*p.AppProtocol, at.Child("appProtocol"))...)
		}
	}
	return errs
}

func endpointSliceWarnings(s *discoveryv1.EndpointSlice) (warnings []string) {
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		warnings = append(warnings, "addressType: FQDN endpoints are deprecated")
	}
	for i, e := range s.Endpoints {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			break
		}
		for j, address := range e.Addresses {
			warnings = append(warnings, validation.GetWarningsForIP(field.NewPath("endpoints").Index(i).Child("addresses").Index(j), address)...)
		}
	}
	return warnings
}

func endpointSliceCells(s *discoveryv1.EndpointSlice) []any {
	var ports, addresses []string
	for _, p := range s.Ports {
		switch {
		case p.Port != nil:
			ports = append(ports, strconv.Itoa(int(*p.Port)))
		case p.Name != nil:
			ports = append(ports, *p.Name)
		default:
			ports = append(ports, "*")
		}
	}
	for _, e := range s.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return []any{s.Name, string(s.AddressType), orUnset(firstThree(ports)), orUnset(firstThree(addresses)), age(s.CreationTimestamp)}
}

func orUnset(s string) string {
	if s == "" {
		return "<unset>"
	}
	return s
}
