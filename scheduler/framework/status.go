package framework

import "strings"

// Code says how a plugin refused.
type Code int

const (
	// Unschedulable: not as things are, but evicting other pods from the node may help.
	Unschedulable Code = iota + 1
	// Unresolvable: evicting pods would not help either. Kubernetes calls it UnschedulableAndUnresolvable.
	Unresolvable
	// Error: the plugin could not tell; the pod is tried again.
	Error
)

// String is Kubernetes' name of the code.
func (c Code) String() string {
	switch c {
	case Unschedulable:
		return "Unschedulable"
	case Unresolvable:
		return "UnschedulableAndUnresolvable"
	case Error:
		return "Error"
	}
	return "Success"
}

// Status is a plugin's refusal; nil is consent. A Status may be shared and is never changed.
type Status struct {
	Code    Code
	Reasons []string // as they appear in the pod's events
}

// Refuse is a refusal that evicting pods might resolve.
func Refuse(reasons ...string) *Status { return &Status{Code: Unschedulable, Reasons: reasons} }

// RefuseForGood is a refusal that evicting pods cannot resolve.
func RefuseForGood(reasons ...string) *Status { return &Status{Code: Unresolvable, Reasons: reasons} }

// Fail says that a plugin could not decide.
func Fail(err error) *Status { return &Status{Code: Error, Reasons: []string{err.Error()}} }

// Message is all reasons in one sentence.
func (s *Status) Message() string {
	if s == nil {
		return ""
	}
	return strings.Join(s.Reasons, ", ")
}
