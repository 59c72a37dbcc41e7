package apiserver

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/munnerz/goautoneg"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// The encodings of bodies and answers.
const (
	mediaJSON     = "application/json"
	mediaYAML     = "application/yaml"
	mediaProtobuf = "application/vnd.kubernetes.protobuf"
)

var mediaTypes = []string{mediaJSON, mediaYAML, mediaProtobuf}

// shape is the form of an answer: the object itself, or one of the forms that meta.k8s.io/v1 has for any object.
type shape string

const (
	asItself  shape = ""
	asTable   shape = "Table"
	asPartial shape = "PartialObjectMetadata"
	// asPartialList is what clients ask for with lists; the answer to either name fits what was asked.
	asPartialList shape = "PartialObjectMetadataList"
)

// answerType is what a client accepts: an encoding and a shape.
type answerType struct {
	media  string
	shape  shape
	params map[string]string // further ones, for discovery
	pretty bool
}

// negotiate picks the first encoding and shape that a client accepts and the server can give. A client that says
// nothing gets JSON.
func negotiate(r *http.Request, shapes bool) (answerType, error) {
	pretty := isPretty(r)
	header := r.Header.Get("Accept")
	if header == "" {
		return answerType{media: mediaJSON, pretty: pretty}, nil
	}
	for _, clause := range goautoneg.ParseAccept(header) {
		answer := answerType{params: clause.Params, pretty: pretty}
		switch full := clause.Type + "/" + clause.SubType; {
		case full == "*/*", full == "application/*":
			answer.media = mediaJSON
		case full == mediaJSON, full == mediaProtobuf, full == mediaYAML:
			answer.media = full
		default:
			continue
		}
		if isTrue(clause.Params["pretty"]) || clause.Params["pretty"] == "1" {
			answer.pretty = true
		}
		if as := clause.Params["as"]; as != "" && clause.Params["g"] == metav1.GroupName {
			if !shapes || clause.Params["v"] != "v1" && clause.Params["v"] != "v1beta1" {
				continue
			}
			switch answer.shape = shape(as); answer.shape {
			case asTable, asPartial, asPartialList:
			default:
				continue
			}
		}
		return answer, nil
	}
	return answerType{media: mediaJSON}, errNotAcceptable()
}

// isPretty: people read with curl, programs say what they want.
func isPretty(r *http.Request) bool {
	if values, asked := r.URL.Query()["pretty"]; asked {
		return len(values) == 1 && values[0] != "0" && !strings.EqualFold(values[0], "false")
	}
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

func errNotAcceptable() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + strings.Join(mediaTypes, ", "),
	}}
}

func errUnsupportedMedia(accepted []string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(accepted, ", "),
	}}
}

// bodyMedia is the encoding of a request's body; none named is JSON.
func bodyMedia(r *http.Request) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return mediaJSON, nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err != nil {
		return "", errUnsupportedMedia(mediaTypes)
	}
	switch media {
	case mediaJSON, mediaYAML, mediaProtobuf:
		return media, nil
	case "application/x-yaml":
		return mediaYAML, nil
	}
	return "", errUnsupportedMedia(mediaTypes)
}

// maxBody is the most that a request may send: Kubernetes' limit of 3 MiB.
const maxBody = 3 << 20

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, apierrors.NewBadRequest("the body of the request could not be read: " + err.Error())
	}
	if len(data) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	return data, nil
}

// protobufEncoder writes Kubernetes' protobuf envelope.
var protobufEncoder = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

// encodeAs writes an object, which must name its kind. What has no protobuf form is written as JSON: the media type that
// was used is returned.
func encodeAs(object runtime.Object, media string, pretty bool, w io.Writer) error {
	switch media {
	case mediaProtobuf:
		return protobufEncoder.Encode(object, w)
	case mediaYAML:
		data, err := yaml.Marshal(jsonForm(object))
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	encoder := json.NewEncoder(w)
	if pretty {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(jsonForm(object))
}

// jsonForm is the value whose JSON is the object's: an unstructured one is its content, which json may walk faster than
// the object's own encoder.
func jsonForm(object runtime.Object) any {
	switch o := object.(type) {
	case *unstructured.Unstructured:
		return o.Object
	case *unstructured.UnstructuredList:
		return o.UnstructuredContent()
	}
	return object
}

// encodable returns the encoding to use for an object: custom resources have no protobuf form, and are refused in it as
// Kubernetes does.
func encodable(object runtime.Object, media string) error {
	if media != mediaProtobuf {
		return nil
	}
	if _, ok := object.(runtime.Unstructured); ok {
		return errNotAcceptable()
	}
	return nil
}

// decodeOptions reads the query parameters of a request into an options type of meta.k8s.io/v1.
func decodeOptions[T any](r *http.Request, convert func(*url.Values, *T, conversion.Scope) error) (T, error) {
	var options T
	query := r.URL.Query()
	if err := convert(&query, &options, nil); err != nil {
		return options, apierrors.NewBadRequest(err.Error())
	}
	return options, nil
}

// listOptions reads what a list or a watch asks for.
func listOptions(r *http.Request) (metav1.ListOptions, error) {
	return decodeOptions(r, metav1.Convert_url_Values_To_v1_ListOptions)
}
