package apiserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/apiserver/kinds"
	"kubette/store"
)

// List is one page of a list at one revision. Items are shared: copy before changing.
type List struct {
	ResourceVersion string
	// Continue gets the next page, "" when this is the last one.
	Continue string
	// Remaining is how many items follow, nil when unknown or none.
	Remaining *int64
	Items     []kinds.Object
}

// List reads the objects of a resource, all from one revision: the present one, or an older one that the options ask for
// exactly. A page that ends at the limit comes with a token, and the next page is read from the same revision.
func (s *Server) List(ctx context.Context, r Request, options metav1.ListOptions) (*List, error) {
	op, err := s.begin(ctx, r, "list")
	if err != nil {
		return nil, err
	}
	options.Watch = false
	checked, of, err := op.listOptions(options)
	if err != nil {
		return nil, err
	}
	if op.Compute != nil {
		return s.listComputed(ctx, op, of)
	}
	return s.list(ctx, op, checked, of)
}

func (s *Server) list(ctx context.Context, op *operation, options *internalversion.ListOptions, of selection) (*List, error) {
	revision, after, err := s.listFrom(op, options)
	if err != nil {
		return nil, err
	}
	// The cache holds the present, which is also an old revision as long as nothing was written since.
	items, read, err := s.cache.listOf(&of, op.keysUnder(op.Namespace), after, options.Limit)
	if err != nil {
		return nil, err
	}
	if revision == 0 || revision == read {
		return op.page(options, of, read, len(items), func(i int) (string, kinds.Object, error) {
			return items[i].key, items[i].object, nil
		})
	}
	page, err := s.config.Store.List(ctx, op.keysUnder(op.Namespace), store.ListOptions{Revision: revision, After: after})
	if err != nil {
		return nil, s.listError(op, options, after, err)
	}
	return op.page(options, of, revision, len(page.Entries), func(i int) (string, kinds.Object, error) {
		entry := page.Entries[i]
		object, err := op.storage.decode(entry.Key, entry.Value(), entry.Revision)
		return entry.Key, object, err
	})
}

// listFrom returns the revision to read (0 is now) and the key to start after.
func (s *Server) listFrom(op *operation, options *internalversion.ListOptions) (revision int64, after string, err error) {
	if options.Continue != "" {
		token, err := decodeContinue(options.Continue)
		if err != nil {
			return 0, "", apierrors.NewBadRequest("invalid continue token: " + err.Error())
		}
		if options.ResourceVersion != "" && options.ResourceVersion != "0" {
			return 0, "", apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
		}
		return max(token.Revision, 0), op.keysUnder(op.Namespace) + strings.TrimSuffix(token.Start, "\x00"), nil
	}
	asked, err := parseRevision(options.ResourceVersion)
	if err != nil {
		return 0, "", apierrors.NewBadRequest("invalid resource version: " + err.Error())
	}
	if current := s.config.Store.Revision(); asked > current {
		return 0, "", errTooLarge(asked, current)
	}
	// Without a match rule, a page with a limit is read at exactly the revision asked for, and a whole list at any
	// revision from it on.
	if options.ResourceVersionMatch == metav1.ResourceVersionMatchExact || options.ResourceVersionMatch == "" && options.Limit > 0 {
		return asked, "", nil
	}
	return 0, "", nil
}

// page selects items up to the limit.
func (op *operation) page(options *internalversion.ListOptions, of selection, revision int64, n int, get func(int) (string, kinds.Object, error)) (*List, error) {
	list := &List{ResourceVersion: formatRevision(revision), Items: make([]kinds.Object, 0, capacity(n, options.Limit, of))}
	last := ""
	for i := range n {
		if options.Limit > 0 && int64(len(list.Items)) == options.Limit {
			list.Continue = encodeContinue(revision, strings.TrimPrefix(last, op.keysUnder(op.Namespace))+"\x00")
			if remaining := int64(n - i); of.everything() && remaining <= countAhead {
				list.Remaining = &remaining
			}
			break
		}
		key, object, err := get(i)
		if err == nil {
			object, err = op.show(object)
		}
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		last = key
		if of.matches(object) {
			list.Items = append(list.Items, object)
		}
	}
	return list, nil
}

func capacity(n int, limit int64, of selection) int {
	switch {
	case !of.everything():
		return 0
	case limit > 0:
		return min(n, int(limit))
	}
	return n
}

// listError says that a revision is gone. Somebody in the middle of a list may go on with a token for the present.
func (s *Server) listError(op *operation, options *internalversion.ListOptions, after string, err error) error {
	if !errors.Is(err, store.ErrCompacted) || options.Continue == "" {
		return storeError(err)
	}
	expired := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve " +
		"the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that " +
		"were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	expired.ErrStatus.ListMeta.Continue = encodeContinue(-1, strings.TrimPrefix(after, op.keysUnder(op.Namespace))+"\x00")
	return expired
}

// continueToken is where a list goes on. A revision of -1 means the present one.
type continueToken struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`
	Start    string `json:"start"`
}

func encodeContinue(revision int64, start string) string {
	data, _ := json.Marshal(continueToken{Version: "meta.k8s.io/v1", Revision: revision, Start: start}) // always encodable
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeContinue(text string) (continueToken, error) {
	var token continueToken
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &token)
	}
	switch {
	case err != nil:
		return token, fmt.Errorf("continue key is not valid: %w", err)
	case token.Version != "meta.k8s.io/v1":
		return token, fmt.Errorf("continue key is not valid: server does not recognize this encoded version %s", token.Version)
	case token.Revision == 0:
		return token, errors.New("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
	case token.Start == "":
		return token, errors.New("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
	case path.Clean("/"+token.Start) != "/"+token.Start:
		return token, fmt.Errorf("continue key is not valid: %s", token.Start)
	}
	return token, nil
}
