package apiserver

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

func (h *handler) serveCreate(w http.ResponseWriter, r *http.Request, res *resource, request Request) error {
	options, err := decodeOptions(r, metav1.Convert_url_Values_To_v1_CreateOptions)
	if err != nil {
		return err
	}
	object, err := readObject(r, res, request, options.FieldValidation)
	if err != nil {
		return err
	}
	request.Owned = true
	created, err := h.server.Create(r.Context(), request, object, options)
	if err != nil {
		return err
	}
	h.answer(w, r, http.StatusCreated, created)
	return nil
}

// readObject decodes the body of a request.
func readObject(r *http.Request, res *resource, request Request, validation string) (runtime.Object, error) {
	media, err := bodyMedia(r)
	if err != nil {
		return nil, err
	}
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return res.body(request.Subresource).decode(data, media, validation, request.Warn)
}

func (h *handler) serveUpdate(w http.ResponseWriter, r *http.Request, res *resource, request Request) error {
	options, err := decodeOptions(r, metav1.Convert_url_Values_To_v1_UpdateOptions)
	if err != nil {
		return err
	}
	object, err := readObject(r, res, request, options.FieldValidation)
	if err != nil {
		return err
	}
	request.Owned = true
	updated, created, err := h.server.Update(r.Context(), request, object, options)
	if err != nil {
		return err
	}
	h.answer(w, r, createdOr200(created), updated)
	return nil
}

var patchTypes = []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}

func (h *handler) servePatch(w http.ResponseWriter, r *http.Request, _ *resource, request Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	kind := types.PatchType(media)
	if err != nil || !slices.Contains(patchTypes, kind) {
		return apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "", schema.GroupResource{}, "", "415: Unsupported Media Type", 0, false)
	}
	options, err := decodeOptions(r, metav1.Convert_url_Values_To_v1_PatchOptions)
	if err != nil {
		return err
	}
	data, err := readBody(r)
	if err != nil {
		return err
	}
	patched, created, err := h.server.Patch(r.Context(), request, kind, data, options)
	if err != nil {
		return err
	}
	h.answer(w, r, createdOr200(created), patched)
	return nil
}

func createdOr200(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (h *handler) serveDelete(w http.ResponseWriter, r *http.Request, _ *resource, request Request) error {
	options, err := deleteOptions(r)
	if err != nil {
		return err
	}
	object, completed, err := h.server.Delete(r.Context(), request, options)
	if err != nil {
		return err
	}
	// 202 says that a deletion asked to wait for dependents has only begun; for the new policy names Kubernetes
	// answers 200 all the same.
	code := http.StatusOK
	if orphan := options.OrphanDependents; !completed && orphan != nil && !*orphan { //nolint:staticcheck // the old field counts
		code = http.StatusAccepted
	}
	h.answer(w, r, code, object)
	return nil
}

func (h *handler) serveDeleteCollection(w http.ResponseWriter, r *http.Request, _ *resource, request Request) error {
	options, err := deleteOptions(r)
	if err != nil {
		return err
	}
	selection, err := listOptions(r)
	if err != nil {
		return err
	}
	deleted, err := h.server.DeleteCollection(r.Context(), request, options, selection)
	if err != nil {
		return err
	}
	h.answer(w, r, http.StatusOK, deleted)
	return nil
}

// deleteOptions are in the body of a deletion, or in its query when it has none.
func deleteOptions(r *http.Request) (metav1.DeleteOptions, error) {
	data, err := readBody(r)
	if err != nil {
		return metav1.DeleteOptions{}, err
	}
	if len(data) == 0 {
		return decodeOptions(r, metav1.Convert_url_Values_To_v1_DeleteOptions)
	}
	media, err := bodyMedia(r)
	if err != nil {
		return metav1.DeleteOptions{}, err
	}
	var options metav1.DeleteOptions
	switch media {
	case mediaProtobuf:
		err = decodeEnvelope(data, &options)
	case mediaYAML:
		if data, err = yaml.YAMLToJSON(data); err == nil {
			err = json.Unmarshal(data, &options)
		}
	default:
		err = json.Unmarshal(data, &options)
	}
	if err != nil {
		return options, apierrors.NewBadRequest(err.Error())
	}
	if options.Kind != "" && options.Kind != "DeleteOptions" {
		return options, apierrors.NewBadRequest(fmt.Sprintf("decoded object cannot be converted to DeleteOptions: it is a %s", options.Kind))
	}
	return options, nil
}

// decodeEnvelope reads the protobuf form of an object whose Go type is known.
func decodeEnvelope(data []byte, into runtime.Object) error {
	_, _, err := protobufEncoder.Decode(data, nil, into)
	return err
}
