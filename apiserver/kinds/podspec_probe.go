package kinds

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// handler is what kubelet may do to a container: all that a probe or a lifecycle hook can say.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

// handlers checks a container's hooks and probes.
func (c *specCheck) handlers(container *corev1.Container, path *field.Path) (errs field.ErrorList) {
	if l := container.Lifecycle; l != nil {
		errs = append(errs, c.lifecycle(l, path.Child("lifecycle"))...)
	}
	errs = append(errs, c.probe(container.LivenessProbe, path.Child("livenessProbe"), true)...)
	errs = append(errs, c.probe(container.ReadinessProbe, path.Child("readinessProbe"), false)...)
	return append(errs, c.probe(container.StartupProbe, path.Child("startupProbe"), true)...)
}

func (c *specCheck) lifecycle(l *corev1.Lifecycle, path *field.Path) (errs field.ErrorList) {
	for _, hook := range []struct {
		name string
		do   *corev1.LifecycleHandler
	}{{"postStart", l.PostStart}, {"preStop", l.PreStop}} {
		if hook.do != nil {
			errs = append(errs, c.handler(handler{hook.do.Exec, hook.do.HTTPGet, hook.do.TCPSocket, nil, hook.do.Sleep}, path.Child(hook.name))...)
		}
	}
	return errs
}

// probe checks one probe. restarts is true for those whose failure restarts the container.
func (c *specCheck) probe(p *corev1.Probe, path *field.Path, restarts bool) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := c.handler(handler{p.Exec, p.HTTPGet, p.TCPSocket, p.GRPC, nil}, path)
	errs = append(errs, nonNegative(p.InitialDelaySeconds, path.Child("initialDelaySeconds"))...)
	errs = append(errs, nonNegative(p.TimeoutSeconds, path.Child("timeoutSeconds"))...)
	errs = append(errs, nonNegative(p.PeriodSeconds, path.Child("periodSeconds"))...)
	errs = append(errs, nonNegative(p.SuccessThreshold, path.Child("successThreshold"))...)
	errs = append(errs, nonNegative(p.FailureThreshold, path.Child("failureThreshold"))...)
	grace := p.TerminationGracePeriodSeconds
	if grace != nil && *grace <= 0 {
		errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *grace, "must be greater than 0"))
	}
	if restarts && p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	if !restarts && grace != nil {
		errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), grace, "must not be set for readinessProbes"))
	}
	return errs
}

// handler checks that there is one way to do it, and that way.
func (c *specCheck) handler(h handler, path *field.Path) (errs field.ErrorList) {
	n := 0
	check := func(set bool, name string, valid func(*field.Path) field.ErrorList) {
		switch {
		case !set:
		case n > 0:
			errs = append(errs, field.Forbidden(path.Child(name), "may not specify more than 1 handler type"))
		default:
			n++
			errs = append(errs, valid(path.Child(name))...)
		}
	}
	check(h.exec != nil, "exec", func(at *field.Path) field.ErrorList {
		if len(h.exec.Command) == 0 {
			return field.ErrorList{field.Required(at.Child("command"), "")}
		}
		return nil
	})
	check(h.http != nil, "httpGet", func(at *field.Path) field.ErrorList { return validateHTTPGet(h.http, at) })
	check(h.tcp != nil, "tcpSocket", func(at *field.Path) field.ErrorList { return portNumberOrName(h.tcp.Port, at.Child("port")) })
	check(h.grpc != nil, "grpc", func(at *field.Path) field.ErrorList { return portNumber(h.grpc.Port, at.Child("port")) })
	check(h.sleep != nil, "sleep", func(at *field.Path) field.ErrorList { return c.sleep(h.sleep, at) })
	if n == 0 {
		errs = append(errs, field.Required(path, "must specify a handler type"))
	}
	return errs
}

// sleep must end before the pod's grace period does.
func (c *specCheck) sleep(s *corev1.SleepAction, path *field.Path) field.ErrorList {
	grace := c.spec.TerminationGracePeriodSeconds
	if grace != nil && (s.Seconds < 0 || s.Seconds > *grace) {
		return field.ErrorList{field.Invalid(path, s.Seconds,
			fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))}
	}
	return nil
}

func validateHTTPGet(get *corev1.HTTPGetAction, path *field.Path) field.ErrorList {
	errs := required(get.Path, path.Child("path"), "")
	errs = append(errs, portNumberOrName(get.Port, path.Child("port"))...)
	errs = append(errs, oneOf(get.Scheme, path.Child("scheme"), corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for _, header := range get.HTTPHeaders {
		errs = append(errs, invalid(path.Child("httpHeaders"), header.Name, validation.IsHTTPHeaderName(header.Name))...)
	}
	return errs
}

// validateRestartRules checks what a container does when it ends, where it differs from its pod.
func validateRestartRules(container *corev1.Container, path *field.Path) (errs field.ErrorList) {
	policy, rules := container.RestartPolicy, container.RestartPolicyRules
	if policy == nil {
		if len(rules) > 0 {
			errs = append(errs, field.Required(path.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
		}
	} else {
		errs = append(errs, oneOf(*policy, path.Child("restartPolicy"),
			corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)...)
	}
	if len(rules) > 20 {
		errs = append(errs, field.TooMany(path.Child("restartPolicyRules"), len(rules), 20))
	}
	for i, rule := range rules {
		at := path.Child("restartPolicyRules").Index(i)
		errs = append(errs, oneOf(rule.Action, at.Child("action"), corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)...)
		codes, exit := rule.ExitCodes, at.Child("exitCodes")
		if codes == nil {
			errs = append(errs, field.Required(exit, "must be specified"))
			continue
		}
		errs = append(errs, oneOf(codes.Operator, exit.Child("operator"),
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
		if len(codes.Values) > 255 {
			errs = append(errs, field.TooMany(exit.Child("values"), len(codes.Values), 255))
		}
	}
	return errs
}
