package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

// requestTimeout is the most that a request may take that does not go on until somebody ends it.
const requestTimeout = time.Minute

// handler is the HTTP side of a Server: it says who asks and what for, and calls the verb.
type handler struct {
	server    *Server
	discovery discoveryCache
	openapi   openapiCache

	reading, mutating turnstile
}

// Handler returns the API as HTTP. Requests pass, in this order: recovery from a mistake of ours, what the path means,
// who asks (authentication), as whom (impersonation), when it is their turn (inflight.go), whether they may
// (authorization), and then the verb, which goes on with admission, validation and the store.
//
// Requests under way end when their context does; Serve ends watches and streams with the server.
func (s *Server) Handler() http.Handler {
	return &handler{
		server:   s,
		reading:  turnstile{limit: orDefault(s.config.MaxReading, defaultMaxReading)},
		mutating: turnstile{limit: orDefault(s.config.MaxMutating, defaultMaxMutating)},
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.catch(w, r)
	info := parseRequest(r.Method, r.URL)
	u, err := h.authenticate(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if u, err = h.impersonate(r, u); err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel, err := deadline(r, &info)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer cancel()
	r = r.WithContext(ctx)
	leave, err := h.admitted(ctx, &info, u, info.longRunning(r.URL.Query()))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer leave()

	attributes := info.attributes()
	attributes.User = u
	if err := h.server.authorize(ctx, attributes); err != nil {
		h.fail(w, r, err)
		return
	}
	if info.isResource {
		h.serveResource(w, r, &info, u)
	} else {
		h.servePath(w, r)
	}
}

// catch answers 500 when the server has made a mistake, and keeps it running.
func (h *handler) catch(w http.ResponseWriter, r *http.Request) {
	problem := recover()
	if problem == nil {
		return
	}
	if problem == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is panicked with
		panic(problem)
	}
	slog.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", problem, "stack", string(debug.Stack()))
	h.fail(w, r, apierrors.NewInternalError(fmt.Errorf("this request caused apiserver to panic: %v", problem)))
}

// deadline bounds a request that must end by itself.
func deadline(r *http.Request, info *requestInfo) (context.Context, context.CancelFunc, error) {
	query := r.URL.Query()
	if info.longRunning(query) {
		ctx, cancel := untilStopped(r)
		return ctx, cancel, nil
	}
	limit := requestTimeout
	if text := query.Get("timeout"); text != "" {
		asked, err := time.ParseDuration(text)
		if err != nil {
			return nil, nil, apierrors.NewBadRequest("invalid timeout specified in the request URL - " + err.Error())
		}
		if asked > 0 {
			limit = min(limit, asked)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return ctx, cancel, nil
}

// Anonymous is who sends a request without credentials.
func Anonymous() user.Info {
	return &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
}

// authenticate says who sends a request. Bad credentials are refused rather than taken for none.
func (h *handler) authenticate(r *http.Request) (user.Info, error) {
	if h.server.config.Authenticator == nil {
		return Anonymous(), nil
	}
	u, known, err := h.server.config.Authenticator.Authenticate(r)
	if err != nil {
		slog.Debug("bad credentials", "remote", r.RemoteAddr, "error", err)
		return nil, apierrors.NewUnauthorized("Unauthorized")
	}
	if !known {
		return Anonymous(), nil
	}
	if !slices.Contains(u.GetGroups(), user.AllAuthenticated) && u.GetName() != user.Anonymous {
		u = &user.DefaultInfo{Name: u.GetName(), UID: u.GetUID(), Extra: u.GetExtra(),
			Groups: append(slices.Clone(u.GetGroups()), user.AllAuthenticated)}
	}
	// Credentials are for this door only: a proxied request must not carry them on.
	r.Header.Del("Authorization")
	return u, nil
}

// serveResource carries out a request for a resource.
func (h *handler) serveResource(w http.ResponseWriter, r *http.Request, info *requestInfo, u user.Info) {
	res, served := h.server.registry.Load().byResource[info.gvr()]
	if !served {
		h.noRoute(w, r, info)
		return
	}
	said := &warnings{header: w.Header()}
	request := Request{
		User: u, Resource: info.gvr(), Namespace: info.namespace, Name: info.name, Subresource: info.sub,
		Manager: managerFromUserAgent(r.UserAgent()), Warn: said.add, authorized: true,
	}
	if !res.Namespaced {
		request.Namespace = ""
	}
	switch err := fits(res, info); {
	case apierrors.IsNotFound(err):
		h.noRoute(w, r, info)
		return
	case err != nil:
		h.fail(w, r, err)
		return
	}
	if res.Deprecation != "" {
		said.add(res.Deprecation)
	}
	if connect, ok := connectors[connectorName(info)]; ok {
		connect(h, w, r, info, request)
		return
	}
	if len(info.rest) > 0 {
		h.noRoute(w, r, info)
		return
	}
	if err := res.routes(info); err != nil {
		h.fail(w, r, err)
		return
	}
	if _, err := negotiate(r, true); err != nil {
		h.fail(w, r, err)
		return
	}
	if info.verb == "watch" {
		h.serveWatch(w, r, info, request)
		return
	}
	serve, ok := verbHandlers[info.verb]
	if !ok {
		h.fail(w, r, errMethodNotAllowed())
		return
	}
	if err := serve(h, w, r, res, request); err != nil {
		h.fail(w, r, ended(r, err))
	}
}

// noRoute answers for a path that nothing is served at: with a status within a group of Kubernetes' own, and plainly
// elsewhere.
func (h *handler) noRoute(w http.ResponseWriter, r *http.Request, info *requestInfo) {
	if h.server.registry.Load().ownGroup(info.gvr().GroupVersion()) {
		h.fail(w, r, errNoRoute())
		return
	}
	http.Error(w, "404 page not found", http.StatusNotFound)
}

// fits checks that the path has the form that the verb needs: objects of a namespace are named and created in one, and a
// cluster's own have none.
func fits(res *resource, info *requestInfo) error {
	if info.namespace != "" && !res.Namespaced && info.resource != "namespaces" {
		return errUnknownPath()
	}
	named := info.nameInPath
	if res.Namespaced && info.namespace == "" && named {
		return errUnknownPath() // an object without its namespace: Kubernetes has no such path
	}
	switch info.verb {
	case "create":
		if info.sub == "" && named && info.resource != "namespaces" || res.Namespaced && info.namespace == "" {
			return errMethodNotAllowed()
		}
	case "deletecollection":
		if res.Namespaced && info.namespace == "" || !slices.Contains(res.verbs(), "deletecollection") {
			return errMethodNotAllowed()
		}
	case "update", "patch":
		if !named {
			return errMethodNotAllowed()
		}
	}
	return nil
}

// routes answers for what a resource does not have: a subresource (404), or a verb (405).
func (res *resource) routes(info *requestInfo) error {
	err := res.serves(info.verb)
	if info.sub != "" {
		err = res.servesSubresource(info.sub, info.verb)
	}
	switch {
	case apierrors.IsNotFound(err) && res.custom():
		return apierrors.NewNotFound(res.groupResource(), info.name)
	case apierrors.IsNotFound(err):
		return errNoRoute()
	case err != nil:
		return errMethodNotAllowed()
	}
	return nil
}

// ended says that a request ran out of time, where that is why its verb failed.
func ended(r *http.Request, err error) error {
	if errors.Is(r.Context().Err(), context.DeadlineExceeded) && apierrors.IsTimeout(err) {
		return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	}
	return err
}

// verbHandlers read the options and the body of a request, call the Server's verb, and answer.
var verbHandlers = map[string]func(*handler, http.ResponseWriter, *http.Request, *resource, Request) error{
	"get":              (*handler).serveGet,
	"list":             (*handler).serveList,
	"create":           (*handler).serveCreate,
	"update":           (*handler).serveUpdate,
	"patch":            (*handler).servePatch,
	"delete":           (*handler).serveDelete,
	"deletecollection": (*handler).serveDeleteCollection,
}

func (h *handler) serveGet(w http.ResponseWriter, r *http.Request, _ *resource, request Request) error {
	options, err := decodeOptions(r, metav1.Convert_url_Values_To_v1_GetOptions)
	if err != nil {
		return err
	}
	object, err := h.server.Get(r.Context(), request, options)
	if err != nil {
		return err
	}
	h.answer(w, r, http.StatusOK, object)
	return nil
}

func (h *handler) serveList(w http.ResponseWriter, r *http.Request, res *resource, request Request) error {
	options, err := listOptions(r)
	if err != nil {
		return err
	}
	// A name here comes from a field selector, which the list's options hold anyway.
	request.Name = ""
	list, err := h.server.List(r.Context(), request, options)
	if err != nil {
		return err
	}
	if accepts, err := negotiate(r, true); err == nil && accepts.shape == asItself && !accepts.pretty {
		body, err := h.server.encodings.list(res, list, accepts.media)
		if err != nil {
			return err
		}
		if body != nil {
			send(w, r, http.StatusOK, accepts.media, body)
			return nil
		}
	}
	object, err := res.listObject(list)
	if err != nil {
		return err
	}
	h.answer(w, r, http.StatusOK, object)
	return nil
}
