// Package revisions keeps the history of StatefulSets and DaemonSets: each version of the pod template in a
// ControllerRevision, as a strategic merge patch of the owner that restores it. `kubectl rollout history` and `undo` read
// them.
package revisions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"

	"kubette/client"
	"kubette/controllers"
	"kubette/loop"
)

// HashLabel is on a revision made by New; the hash is that of its data.
const HashLabel = "controller.kubernetes.io/hash"

// Patch is the data of a revision: what to merge into the owner to give it this template.
func Patch(template *corev1.PodTemplateSpec) ([]byte, error) {
	raw, err := json.Marshal(template)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	fields["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": fields}})
}

// Template reads the template back out of a revision.
func Template(revision *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var data struct {
		Spec struct{ Template corev1.PodTemplateSpec }
	}
	if err := json.Unmarshal(revision.Data.Raw, &data); err != nil {
		return nil, fmt.Errorf("data of revision %s: %w", revision.Name, err)
	}
	return &data.Spec.Template, nil
}

// New makes the revision of a template, named by the owner and a hash of the data.
func New(owner client.Object, template *corev1.PodTemplateSpec, number int64, collisions *int32) (*appsv1.ControllerRevision, error) {
	data, err := Patch(template)
	if err != nil {
		return nil, err
	}
	set := map[string]string{}
	for key, value := range template.Labels {
		set[key] = value
	}
	hash := Hash(data, collisions)
	set[HashLabel] = hash
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: Name(owner.GetName(), hash), Namespace: owner.GetNamespace(), Labels: set, Annotations: owner.GetAnnotations(),
			OwnerReferences: []metav1.OwnerReference{controllers.OwnerRef(owner)},
		},
		Data:     runtime.RawExtension{Raw: data},
		Revision: number,
	}, nil
}

// Name of a revision.
func Name(owner, hash string) string {
	return owner[:min(len(owner), 223)] + "-" + hash
}

// Hash of a revision's data, as in its name.
func Hash(data []byte, collisions *int32) string {
	hasher := fnv.New32()
	_, _ = hasher.Write(data) // a hash never fails
	if collisions != nil {
		_, _ = hasher.Write([]byte(strconv.FormatInt(int64(*collisions), 10)))
	}
	return rand.SafeEncodeString(fmt.Sprint(hasher.Sum32()))
}

// Same says whether two revisions have the same data.
func Same(a, b *appsv1.ControllerRevision) bool {
	return bytes.Equal(canonical(a.Data.Raw), canonical(b.Data.Raw))
}

// canonical gives JSON one form: what has been through the API may have its keys in another order.
func canonical(data []byte) []byte {
	var value any
	if json.Unmarshal(data, &value) != nil {
		return data
	}
	sorted, err := json.Marshal(value)
	if err != nil {
		return data
	}
	return sorted
}

// History is the revisions of one owner, the oldest first.
type History struct {
	client    client.Interface
	owner     client.Object
	Revisions []*appsv1.ControllerRevision
}

// Of finds, and adopts, an owner's revisions.
func Of(ctx context.Context, c client.Interface, informer client.Informer[*appsv1.ControllerRevision], owner client.Object, selector labels.Selector) (*History, error) {
	found, err := controllers.Claim(ctx, c, informer, owner, selector, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b *appsv1.ControllerRevision) int {
		if a.Revision != b.Revision {
			return int(a.Revision - b.Revision)
		}
		if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
			return order
		}
		return strings.Compare(a.Name, b.Name)
	})
	return &History{client: c, owner: owner, Revisions: found}, nil
}

// Next is the number for a new revision.
func (h *History) Next() int64 {
	if len(h.Revisions) == 0 {
		return 1
	}
	return h.Revisions[len(h.Revisions)-1].Revision + 1
}

// Named returns the revision with a name, or nil.
func (h *History) Named(name string) *appsv1.ControllerRevision {
	for _, revision := range h.Revisions {
		if revision.Name == name {
			return revision
		}
	}
	return nil
}

// Equal returns the newest revision with the same data, or nil.
func (h *History) Equal(wanted *appsv1.ControllerRevision) *appsv1.ControllerRevision {
	for i := len(h.Revisions) - 1; i >= 0; i-- {
		if Same(h.Revisions[i], wanted) {
			return h.Revisions[i]
		}
	}
	return nil
}

// Raise makes an old revision the newest again, as a rollback does.
func (h *History) Raise(ctx context.Context, revision *appsv1.ControllerRevision, number int64) (*appsv1.ControllerRevision, error) {
	loop.Say(ctx, "RaiseRevision", "name", revision.Name, "revision", number)
	raised := revision.DeepCopy()
	raised.Revision = number
	written, err := client.Of[*appsv1.ControllerRevision](h.client).Update(ctx, raised)
	if err != nil {
		return nil, err
	}
	h.Revisions = slices.DeleteFunc(h.Revisions, func(r *appsv1.ControllerRevision) bool { return r.UID == revision.UID })
	h.Revisions = append(h.Revisions, written)
	return written, nil
}

// Create stores a revision. If its name is taken by one with other data, it returns collided.
func (h *History) Create(ctx context.Context, revision *appsv1.ControllerRevision) (created *appsv1.ControllerRevision, collided bool, err error) {
	loop.Say(ctx, "CreateRevision", "name", revision.Name, "revision", revision.Revision)
	api := client.Of[*appsv1.ControllerRevision](h.client)
	created, err = api.Create(ctx, revision)
	if apierrors.IsAlreadyExists(err) {
		there, err := api.Get(ctx, revision.Namespace, revision.Name)
		if err != nil {
			return nil, false, err
		}
		if !Same(there, revision) {
			return nil, true, nil
		}
		created = there
	} else if err != nil {
		return nil, false, err
	}
	h.Revisions = append(h.Revisions, created)
	return created, false, nil
}

// Truncate deletes the oldest revisions that are not used, beyond a limit.
func (h *History) Truncate(ctx context.Context, limit int32, used func(*appsv1.ControllerRevision) bool) error {
	unused := slices.DeleteFunc(slices.Clone(h.Revisions), used)
	for _, revision := range unused[:max(len(unused)-int(limit), 0)] {
		loop.Say(ctx, "ForgetRevision", "name", revision.Name)
		err := client.Of[*appsv1.ControllerRevision](h.client).Delete(ctx, revision.Namespace, revision.Name, metav1.DeleteOptions{})
		if controllers.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
