package controllers

import (
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// IgnoreNotFound drops the error about an object that is gone.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Writes remembers, for each key, the versions that a controller has written, so that it can tell a cache that does not
// show them yet. Where Expectations count, this compares versions: it suits controllers that rewrite a few objects again
// and again. The zero value is ready.
type Writes struct {
	mu    sync.Mutex
	byKey map[string]map[types.UID]write
}

type write struct {
	version string // "" for one that was deleted
	at      time.Time
}

// unseenTimeout is how long a write may stay unseen before it is taken for undone by somebody else.
const unseenTimeout = time.Minute

// Wrote notes an object as the API returned it from a write.
func (w *Writes) Wrote(key string, object metav1.Object) {
	w.note(key, object.GetUID(), object.GetResourceVersion())
}

// Deleted notes that an object was deleted.
func (w *Writes) Deleted(key string, object metav1.Object) { w.note(key, object.GetUID(), "") }

func (w *Writes) note(key string, uid types.UID, version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey == nil {
		w.byKey = map[string]map[types.UID]write{}
	}
	if w.byKey[key] == nil {
		w.byKey[key] = map[types.UID]write{}
	}
	w.byKey[key][uid] = write{version: version, at: time.Now()}
}

// Own says whether a version is the one that was written last: news only for those who wrote it.
func (w *Writes) Own(key string, object metav1.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	wrote, ok := w.byKey[key][object.GetUID()]
	return ok && wrote.version == object.GetResourceVersion()
}

// Missing says whether a cache lacks something that was written for a key. objects are what the cache holds for it; an
// object that it has lost altogether, since somebody deleted it, must be reported by Lost.
func Missing[T metav1.Object](w *Writes, key string, objects []T) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[types.UID]string, len(objects))
	for _, object := range objects {
		seen[object.GetUID()] = object.GetResourceVersion()
	}
	for uid, wrote := range w.byKey[key] {
		cached, there := seen[uid]
		switch {
		case wrote.version == "" && !there:
			delete(w.byKey[key], uid) // the deletion has arrived
		case time.Since(wrote.at) > unseenTimeout && !there:
			delete(w.byKey[key], uid)
		case wrote.version == "" || !there:
			return true
		default:
			if order, err := resourceversion.CompareResourceVersion(cached, wrote.version); err == nil && order < 0 {
				return true
			}
		}
	}
	return false
}

// Lost notes that an object has left the cache, and says whether that was the controller's own doing.
func (w *Writes) Lost(key string, object metav1.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	wrote, ok := w.byKey[key][object.GetUID()]
	delete(w.byKey[key], object.GetUID())
	return ok && wrote.version == ""
}

// Forget drops what was written for a key that is gone.
func (w *Writes) Forget(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byKey, key)
}
