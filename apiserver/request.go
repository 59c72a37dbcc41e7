package apiserver

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"

	"kubette/store"
)

// Request says who wants something, and of which object. The verb is the Server's method.
type Request struct {
	User                         user.Info
	Resource                     schema.GroupVersionResource
	Namespace, Name, Subresource string
	// Manager is the field manager to record when the request's options name none.
	Manager string
	// Owned says that an object handed in belongs to the server from now on, so that it needs no copy.
	Owned bool
	// authorized says that the user may: over HTTP that is known before the body is read.
	authorized bool
	// Warn receives warnings about what was asked; nil drops them.
	Warn func(text string)
}

// operation is a request under way: its resource found, its options checked.
type operation struct {
	Request
	*resource
	verb    string
	dryRun  bool
	manager string
}

// attributes are what the authorizer judges.
func (r Request) attributes(verb string) Attributes {
	return Attributes{
		User: r.User, Verb: verb, ResourceRequest: true, Name: r.Name, Namespace: r.Namespace, Subresource: r.Subresource,
		Group: r.Resource.Group, Version: r.Resource.Version, Resource: r.Resource.Resource,
	}
}

// authorize returns 403 when the user may not.
func (s *Server) authorize(ctx context.Context, attributes Attributes) error {
	if s.config.Authorizer == nil {
		return nil
	}
	allowed, reason, err := s.config.Authorizer.Authorize(ctx, attributes)
	switch {
	case allowed:
		return nil
	case err != nil:
		return apierrors.NewInternalError(fmt.Errorf("authorization: %w", err))
	}
	return errForbidden(attributes, reason)
}

// begin asks whether the user may, finds the resource that a request is about, and checks that it has the verb.
func (s *Server) begin(ctx context.Context, r Request, verb string) (*operation, error) {
	if !r.authorized {
		if err := s.authorize(ctx, r.attributes(verb)); err != nil {
			return nil, err
		}
	}
	res, err := s.registry.Load().lookup(r.Resource)
	if err != nil {
		return nil, err
	}
	if r.Subresource == "" {
		if err := res.serves(verb); err != nil {
			return nil, err
		}
	} else if err := res.servesSubresource(r.Subresource, verb); err != nil {
		return nil, err
	}
	if !res.Namespaced {
		r.Namespace = ""
	}
	if err := s.config.Store.Sync(ctx); err != nil { // what other servers have answered counts, too
		return nil, storeError(err)
	}
	if r.Warn == nil {
		r.Warn = func(string) {}
	}
	return &operation{Request: r, resource: res, verb: verb, manager: r.Manager}, nil
}

// options checks what the options of all writes have in common.
func (op *operation) options(kind string, dryRun []string, manager string, fieldValidation string) error {
	if len(dryRun) == 0 && manager == "" && fieldValidation == "" {
		return nil
	}
	path := func(name string) *field.Path { return field.NewPath(name) }
	errs := validation.ValidateDryRun(path("dryRun"), dryRun)
	errs = append(errs, validation.ValidateFieldManager(manager, path("fieldManager"))...)
	errs = append(errs, validation.ValidateFieldValidation(path("fieldValidation"), fieldValidation)...)
	if len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
	}
	op.dryRun = len(dryRun) > 0
	if manager != "" {
		op.manager = manager
	}
	return nil
}

// meta is what the store remembers of a write.
func (op *operation) meta(ctx context.Context) store.Meta {
	verb := op.verb
	if op.Subresource != "" {
		verb += "/" + op.Subresource
	}
	m := store.Meta{Time: time.Now(), Verb: verb, Cause: store.CauseFrom(ctx)}
	if op.User != nil {
		m.Actor = op.User.GetName()
		if m.Cause == "" {
			m.Cause = commandOf(op.User)
		}
	}
	return m
}

// CommandExtra is an extra of a user's identity that names the command for which a request is made: who impersonates a user
// (themselves, with `kubette trace -- COMMAND`) may add it. Kubernetes' audit log has the extras of each request, too.
const CommandExtra = "kubette.io/command"

// maxCommand bounds the name of a command, which is kept with each of its writes.
const maxCommand = 64

func commandOf(u user.Info) string {
	named := u.GetExtra()[CommandExtra]
	if len(named) != 1 || named[0] == "" || len(named[0]) > maxCommand {
		return ""
	}
	return store.CommandCause + named[0]
}

// managerFromUserAgent is the field manager of a client that names none: its program's name.
func managerFromUserAgent(agent string) string {
	name, _, _ := strings.Cut(agent, "/")
	var b strings.Builder
	for _, r := range name {
		if !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+len(string(r)) > validation.FieldManagerMaxLength {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ManagerOf is the field manager of a component in this process, which sends no user agent. The names are those of
// Kubernetes' programs.
func ManagerOf(u user.Info) string {
	if u == nil {
		return ""
	}
	name := u.GetName()
	switch {
	case strings.HasPrefix(name, "system:node:"):
		return "kubelet"
	case strings.HasPrefix(name, "system:serviceaccount:kube-system:"), name == "system:kube-controller-manager":
		return "kube-controller-manager"
	case name == "system:apiserver":
		return "kube-apiserver"
	case strings.HasPrefix(name, "system:"):
		return strings.TrimPrefix(name, "system:")
	}
	return managerFromUserAgent(name)
}
