package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"kubette/kubelet/runtime"
)

// An engine's images belong to everybody who uses it, and it keeps no record of who fetched one. kubette may only remove
// what it brought itself, so an image that it pulled, built or loaded, and that was not there before, gets one tag more:
// ownRepository:ID. That is all the record there is, and it is where the image is.
const ownRepository = "kubette.local/own"

func ownTag(id string) string { return ownRepository + ":" + short(strings.TrimPrefix(id, "sha256:")) }

// Image is an image of the engine, for people.
type Image struct {
	ID      string    `json:"id"`
	Names   []string  `json:"names"` // with their tags; none when they were all taken away
	Size    int64     `json:"size"`  // in bytes
	Created time.Time `json:"created"`
	// From says how it came here: "built in" of kubette's executable, "kubette" when kubette pulled, built or loaded it, and
	// may remove it when room is short, or "others".
	From string `json:"from"`
	// Containers is how many use it, ended ones too.
	Containers int `json:"containers"`
}

// How an image came to the engine.
const (
	FromBuiltIn = "built in"
	FromKubette = "kubette"
	FromOthers  = "others"
)

// Images lists the engine's images, by name. It needs no Prepare.
func (e *Engine) Images(ctx context.Context) ([]Image, error) {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]image.Summary, error) {
		return e.api.ImageList(ctx, image.ListOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", explain(ctx, err))
	}
	containers, err := within(ctx, callTimeout, func(ctx context.Context) ([]container.Summary, error) {
		return e.api.ContainerList(ctx, container.ListOptions{All: true})
	})
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", explain(ctx, err))
	}
	used := map[string]int{}
	for _, c := range containers {
		used[c.ImageID]++
	}
	images := make([]Image, 0, len(there))
	for _, summary := range there {
		each := Image{ID: summary.ID, Names: visible(summary.RepoTags), Size: summary.Size, Created: time.Unix(summary.Created, 0).UTC(),
			From: FromOthers, Containers: used[summary.ID]}
		switch {
		case summary.Labels[labelRole] == roleImage:
			each.From = FromBuiltIn
		case slices.Contains(summary.RepoTags, ownTag(summary.ID)):
			each.From = FromKubette
		}
		images = append(images, each)
	}
	slices.SortFunc(images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(strings.Join(a.Names, " "), strings.Join(b.Names, " ")), cmp.Compare(a.ID, b.ID))
	})
	return images, nil
}

// visible leaves out the tag that is only a record, and the name of what has none.
func visible(tags []string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(tag string) bool {
		return strings.HasPrefix(tag, ownRepository+":") || tag == "<none>:<none>"
	})
}

// identifiers are the images that are there now.
func (e *Engine) identifiers(ctx context.Context) (map[string]bool, error) {
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]image.Summary, error) {
		return e.api.ImageList(ctx, image.ListOptions{All: true})
	})
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", explain(ctx, err))
	}
	ids := make(map[string]bool, len(there))
	for _, summary := range there {
		ids[summary.ID] = true
	}
	return ids, nil
}

// own records that kubette brought an image.
func (e *Engine) own(ctx context.Context, id string) error {
	return e.call(ctx, callTimeout, func(ctx context.Context) error { return e.api.ImageTag(ctx, id, ownTag(id)) })
}

// PullNow has the engine pull an image, whether it is there or not, and says how far it is. It needs no Prepare, and takes
// nothing in place of what cannot be pulled.
func (e *Engine) PullNow(ctx context.Context, name string, progress func(text string)) (runtime.ImageStatus, error) {
	named, err := parseReference(name)
	if err != nil {
		return runtime.ImageStatus{}, err
	}
	if err := e.pullOwned(ctx, named, nil, progress); err != nil {
		if unreachable(err) {
			err = fmt.Errorf("the registry %s cannot be reached: %w; connect to a network, or bring the image in a file with `kubette image load`", reference.Domain(named), err)
		}
		return runtime.ImageStatus{}, fmt.Errorf("pull %s: %w", named, err)
	}
	return e.imageStatus(ctx, named.String())
}

// pullOwned pulls, and records what was not there before as kubette's.
func (e *Engine) pullOwned(ctx context.Context, named reference.Named, auth *runtime.ImageAuth, progress func(string)) error {
	before, err := e.identifiers(ctx)
	if err != nil {
		return err
	}
	if err := e.pull(ctx, named, auth, progress); err != nil {
		return err
	}
	pulled, err := e.imageStatus(ctx, named.String())
	if err != nil || before[pulled.ID] {
		return err
	}
	return e.own(ctx, pulled.ID)
}

// removeOwned removes an image that kubette brought, unless a container uses it, running or not. It returns false
// for one that it may not remove.
func (e *Engine) removeOwned(ctx context.Context, id string) (bool, error) {
	details, err := within(ctx, callTimeout, func(ctx context.Context) (image.InspectResponse, error) { return e.api.ImageInspect(ctx, id) })
	if err != nil {
		return false, ignoreGone(explain(ctx, err))
	}
	if !slices.Contains(details.RepoTags, ownTag(id)) {
		return false, nil
	}
	// Each name in turn, and never by force: the engine refuses to remove what a container uses.
	for _, name := range append(visible(details.RepoTags), ownTag(id)) {
		err := e.call(ctx, startTimeout, func(ctx context.Context) error {
			_, err := e.api.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true})
			return err
		})
		if isConflict(err) {
			return false, nil
		}
		if err != nil && !isGone(err) {
			return false, fmt.Errorf("remove the image %s: %w", name, err)
		}
	}
	return true, nil
}

// RemoveUnusedImages removes the images that kubette brought, that nothing uses, and that may go, and returns the room
// that this made, in bytes.
func (e *Engine) RemoveUnusedImages(ctx context.Context, may func(Image) bool) (freed int64, err error) {
	images, err := e.Images(ctx)
	if err != nil {
		return 0, err
	}
	for _, each := range images {
		if each.From != FromKubette || each.Containers > 0 || !may(each) {
			continue
		}
		removed, err := e.removeOwned(ctx, each.ID)
		if err != nil {
			return freed, err
		}
		if removed {
			freed += each.Size
		}
	}
	return freed, nil
}

// unusedImages remembers since when an image has been seen without a container that uses it.
type unusedImages struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// since returns kubette's own images that nothing uses, with when that was first seen.
func (u *unusedImages) since(images []Image, now time.Time) map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	unused := map[string]time.Time{}
	for _, each := range images {
		if each.From != FromKubette || each.Containers > 0 {
			continue
		}
		if unused[each.ID] = now; !u.seen[each.ID].IsZero() {
			unused[each.ID] = u.seen[each.ID]
		}
	}
	u.seen = unused
	return maps.Clone(unused)
}

// removeNameless removes images of kubette's whose last name somebody took away: only the record keeps them.
func (e *Engine) removeNameless(ctx context.Context) {
	_, err := e.RemoveUnusedImages(ctx, func(each Image) bool { return len(each.Names) == 0 })
	if err != nil && ctx.Err() == nil {
		e.log.Warn("images without a name are left", "error", err)
	}
}

func ignoreGone(err error) error {
	if isGone(err) {
		return nil
	}
	return err
}
