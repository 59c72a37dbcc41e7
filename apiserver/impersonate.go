package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// impersonate lets a user act as another one (kubectl --as), if they may impersonate each part of that identity. The
// request goes on as the other user in every respect.
func (h *handler) impersonate(r *http.Request, u user.Info) (user.Info, error) {
	wanted, err := impersonated(r.Header)
	if err != nil || wanted == nil {
		return u, err
	}
	for _, attributes := range impersonation(wanted) {
		attributes.User, attributes.Verb, attributes.ResourceRequest = u, "impersonate", true
		if err := h.server.authorize(r.Context(), attributes); err != nil {
			return nil, err
		}
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Impersonate-") {
			r.Header.Del(name)
		}
	}
	return completed(wanted), nil
}

// impersonated reads the identity that the headers ask for; nil for none.
func impersonated(header http.Header) (*user.DefaultInfo, error) {
	wanted := &user.DefaultInfo{
		Name: header.Get(authenticationv1.ImpersonateUserHeader), UID: header.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: header.Values(authenticationv1.ImpersonateGroupHeader),
	}
	for name, values := range header {
		key, ok := strings.CutPrefix(strings.ToLower(name), strings.ToLower(authenticationv1.ImpersonateUserExtraHeaderPrefix))
		if !ok {
			continue
		}
		if unescaped, err := url.PathUnescape(key); err == nil {
			key = unescaped
		}
		if wanted.Extra == nil {
			wanted.Extra = map[string][]string{}
		}
		wanted.Extra[key] = append(wanted.Extra[key], values...)
	}
	switch {
	case wanted.Name != "":
		return wanted, nil
	case wanted.UID != "" || len(wanted.Groups) > 0 || len(wanted.Extra) > 0:
		return nil, apierrors.NewInternalError(fmt.Errorf("requested groups, uid or extra %v without impersonating a user", wanted.Groups))
	}
	return nil, nil
}

// impersonation lists what must be allowed: each part of an identity is a resource that one may impersonate.
func impersonation(wanted *user.DefaultInfo) []Attributes {
	var all []Attributes
	if namespace, name, err := serviceaccount.SplitUsername(wanted.Name); err == nil {
		all = append(all, Attributes{Version: "v1", Resource: "serviceaccounts", Namespace: namespace, Name: name})
	} else {
		all = append(all, Attributes{Version: "v1", Resource: "users", Name: wanted.Name})
	}
	for _, group := range wanted.Groups {
		all = append(all, Attributes{Version: "v1", Resource: "groups", Name: group})
	}
	const group = authenticationv1.GroupName
	for key, values := range wanted.Extra {
		for _, value := range values {
			all = append(all, Attributes{Group: group, Version: "v1", Resource: "userextras", Subresource: key, Name: value})
		}
	}
	if wanted.UID != "" {
		all = append(all, Attributes{Group: group, Version: "v1", Resource: "uids", Name: wanted.UID})
	}
	return all
}

// completed adds the groups that follow from the name where none were asked for, and that of everybody who is known.
func completed(wanted *user.DefaultInfo) user.Info {
	if namespace, _, err := serviceaccount.SplitUsername(wanted.Name); err == nil && len(wanted.Groups) == 0 {
		wanted.Groups = serviceaccount.MakeGroupNames(namespace)
	}
	everybody := user.AllAuthenticated
	if wanted.Name == user.Anonymous {
		everybody = user.AllUnauthenticated
	}
	if !slices.Contains(wanted.Groups, everybody) && !slices.Contains(wanted.Groups, user.AllUnauthenticated) {
		wanted.Groups = append(slices.Clone(wanted.Groups), everybody)
	}
	return wanted
}
