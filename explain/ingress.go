package explain

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// ingressController is the controller of the ingress classes that are served here; it names network.ControllerName.
const ingressController = "kubette.io/ingress"

// ingress judges whether requests for an ingress' hosts arrive at a service that takes them.
func (d *diagnosis) ingress(i *networkingv1.Ingress) {
	if !d.served(i) {
		return
	}
	d.held(i, "ingress")
	for _, tls := range i.Spec.TLS {
		if tls.SecretName == "" {
			continue
		}
		if _, ok := find[*corev1.Secret](d.Snapshot, i.Namespace, tls.SecretName); !ok {
			d.add(Problem, "IngressSecretMissing", i, "secret", tls.SecretName, "hosts", orNone(tls.Hosts))
		}
	}
	backends := 0
	if b := i.Spec.DefaultBackend; b != nil {
		backends++
		d.backend(i, "*", b)
	}
	for _, rule := range i.Spec.Rules {
		d.host(i, rule.Host)
		if rule.HTTP == nil {
			continue
		}
		for n := range rule.HTTP.Paths {
			backends++
			path := &rule.HTTP.Paths[n]
			if older := d.taken(i, rule.Host, path.Path); older != nil {
				d.add(Problem, "IngressHostTaken", i, "host", orAny(rule.Host), "path", path.Path, "other", older.Namespace+"/"+older.Name)
				continue
			}
			d.backend(i, orAny(rule.Host)+path.Path, &path.Backend)
		}
	}
	if backends == 0 {
		d.add(Problem, "IngressNoRules", i)
	}
}

func orAny(host string) string {
	if host == "" {
		return "*"
	}
	return host
}

// served judges an ingress' class.
func (d *diagnosis) served(i *networkingv1.Ingress) bool {
	name := deref(i.Spec.IngressClassName)
	if name == "" {
		name = i.Annotations["kubernetes.io/ingress.class"]
	}
	if name == "" {
		return true
	}
	classes := all[*networkingv1.IngressClass](d.Snapshot, "")
	class, ok := find[*networkingv1.IngressClass](d.Snapshot, "", name)
	switch {
	case !ok:
		d.add(Problem, "IngressClassMissing", i, "class", name, "classes", orNone(names(classes)))
	case class.Spec.Controller != ingressController:
		d.add(Problem, "IngressClassOther", i, "class", name, "controller", class.Spec.Controller)
	default:
		return true
	}
	return false
}

// taken is an older ingress with the same host and path: it keeps them.
func (d *diagnosis) taken(i *networkingv1.Ingress, host, path string) *networkingv1.Ingress {
	for _, other := range all[*networkingv1.Ingress](d.Snapshot, "") {
		if other == i || !older(other, i) {
			continue
		}
		for _, rule := range other.Spec.Rules {
			if rule.Host != host || rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				if p.Path == path {
					return other
				}
			}
		}
	}
	return nil
}

func older(a, b *networkingv1.Ingress) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
}

// host compares a host's domain with those of the other ingresses: one that differs in a letter or two is shown.
func (d *diagnosis) host(i *networkingv1.Ingress, host string) {
	_, domain, ok := strings.Cut(host, ".")
	if !ok || !strings.Contains(domain, ".") {
		return
	}
	for _, other := range all[*networkingv1.Ingress](d.Snapshot, "") {
		if other == i {
			continue
		}
		for _, rule := range other.Spec.Rules {
			_, theirs, ok := strings.Cut(rule.Host, ".")
			if ok && theirs != domain && strings.Contains(theirs, ".") && editDistance(domain, theirs) <= 2 {
				d.add(Notice, "IngressHostAlike", i, "host", host, "domain", domain, "theirs", theirs, "other", other.Name)
				return
			}
		}
	}
}

// backend judges where a path leads.
func (d *diagnosis) backend(i *networkingv1.Ingress, from string, b *networkingv1.IngressBackend) {
	if b.Service == nil {
		d.add(Problem, "IngressResourceBackend", i, "from", from)
		return
	}
	services := all[*corev1.Service](d.Snapshot, i.Namespace)
	s, ok := find[*corev1.Service](d.Snapshot, i.Namespace, b.Service.Name)
	if !ok {
		f := d.add(Problem, "IngressServiceMissing", i, "from", from, "service", b.Service.Name, "services", orNone(names(services)))
		if near := nearest(b.Service.Name, names(services)); near != "" {
			f.advise("Nearest", "near", near)
		}
		for _, other := range all[*corev1.Service](d.Snapshot, "") {
			if other.Name == b.Service.Name {
				f.advise("Elsewhere", "other", other.Namespace)
				break
			}
		}
		return
	}
	var ports []string
	found := false
	for _, port := range s.Spec.Ports {
		text := fmt.Sprint(port.Port)
		if port.Name != "" {
			text += " (" + port.Name + ")"
		}
		ports = append(ports, text)
		found = found || port.Port == b.Service.Port.Number || port.Name != "" && port.Name == b.Service.Port.Name
	}
	if !found {
		asked := b.Service.Port.Name
		if asked == "" {
			asked = fmt.Sprint(b.Service.Port.Number)
		}
		d.add(Problem, "IngressPortMissing", i, "from", from, "service", s.Name, "port", asked, "ports", orNone(ports))
		return
	}
	if ready, _ := d.endpoints(s); ready == 0 && len(s.Spec.Selector) > 0 {
		d.add(Problem, "IngressNoEndpoints", i, "from", from, "service", s.Name)
	}
	follow(d, s)
}
