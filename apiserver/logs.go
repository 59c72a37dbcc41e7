package apiserver

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// serveLog copies a container's log to the client, and with follow goes on as it grows.
func (h *handler) serveLog(w http.ResponseWriter, r *http.Request, info *requestInfo, request Request) {
	if info.verb != "get" {
		h.fail(w, r, errMethodNotAllowed())
		return
	}
	options, err := logOptions(r.URL.Query())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	pod, err := h.pod(request)
	if err == nil {
		err = validateLogOptions(pod.Name, options)
	}
	if err == nil {
		options.Container, err = container(pod, options.Container)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if pod.Spec.NodeName == "" {
		// No kubelet has it yet, so its log is empty.
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		return
	}
	kubelet, err := h.kubeletOf(pod.Spec.NodeName)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	log, err := kubelet.Logs(r.Context(), pod.Namespace, pod.Name, options)
	if err != nil {
		h.fail(w, r, fromKubelet(err))
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	copyFlushing(w, log, options.LimitBytes)
}

// copyFlushing copies as the bytes come, so that a reader who follows sees each line at once.
func copyFlushing(w http.ResponseWriter, from io.Reader, limit *int64) {
	if limit != nil {
		from = io.LimitReader(from, *limit)
	}
	controller := http.NewResponseController(w)
	_ = controller.Flush()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, werr := w.Write(buffer[:n]); werr != nil {
				return
			}
			_ = controller.Flush()
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				slog.Debug("a log ended", "error", err)
			}
			return
		}
	}
}

// logOptions reads the query of a log request.
func logOptions(query url.Values) (*corev1.PodLogOptions, error) {
	options := &corev1.PodLogOptions{
		Container: query.Get("container"), Follow: isTrue(query.Get("follow")), Previous: isTrue(query.Get("previous")),
		Timestamps: isTrue(query.Get("timestamps")), InsecureSkipTLSVerifyBackend: isTrue(query.Get("insecureSkipTLSVerifyBackend")),
	}
	for name, into := range map[string]**int64{
		"sinceSeconds": &options.SinceSeconds, "tailLines": &options.TailLines, "limitBytes": &options.LimitBytes,
	} {
		if text := query.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return nil, apierrors.NewBadRequest(err.Error())
			}
			*into = &n
		}
	}
	if text := query.Get("sinceTime"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		options.SinceTime = &metav1.Time{Time: since}
	}
	if stream := query.Get("stream"); stream != "" {
		options.Stream = &stream
	}
	return options, nil
}

var logStreams = []string{corev1.LogStreamStdout, corev1.LogStreamStderr, corev1.LogStreamAll}

func validateLogOptions(pod string, options *corev1.PodLogOptions) error {
	var errs field.ErrorList
	if options.TailLines != nil && *options.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *options.TailLines, "must be greater than or equal to 0"))
	}
	if options.LimitBytes != nil && *options.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *options.LimitBytes, "must be greater than 0"))
	}
	switch {
	case options.SinceSeconds != nil && options.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case options.SinceSeconds != nil && *options.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *options.SinceSeconds, "must be greater than 0"))
	}
	if stream := options.Stream; stream != nil {
		switch *stream {
		case corev1.LogStreamAll:
		case corev1.LogStreamStdout, corev1.LogStreamStderr:
			if options.TailLines != nil {
				errs = append(errs, field.Forbidden(field.NewPath(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
			}
		default:
			errs = append(errs, field.NotSupported(field.NewPath("stream"), *stream, logStreams))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Kind: "PodLogOptions"}, pod, errs)
}
