package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServeHTTP answers what is asked through nodes/proxy: `kubectl get --raw /api/v1/nodes/worker-1/proxy/stats/summary`. A real
// kubelet serves this on a port of its own, and more of it: here are its pods, their logs, and what they use.
func (k *Kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := k.current(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	served := http.NewServeMux()
	served.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	served.HandleFunc("GET /pods", k.servePods)
	served.HandleFunc("GET /pods/{$}", k.servePods)
	served.HandleFunc("GET /stats/summary", k.serveSummary)
	served.HandleFunc("GET /metrics/resource", k.serveResourceMetrics)
	served.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.serveContainerLog)
	served.ServeHTTP(w, r)
}

func (k *Kubelet) servePods(w http.ResponseWriter, _ *http.Request) {
	s, err := k.current()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{}}
	for _, pod := range s.pods.List("", nil) {
		list.Items = append(list.Items, *pod)
	}
	writeJSON(w, list)
}

// The summary has Kubernetes' names, of the API stats.k8s.io/v1alpha1.
type (
	statsSummary struct {
		Node struct {
			NodeName string `json:"nodeName"`
			statsUse
		} `json:"node"`
		Pods []statsPod `json:"pods"`
	}
	statsPod struct {
		PodRef struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
			UID       string `json:"uid"`
		} `json:"podRef"`
		Containers []statsContainer `json:"containers"`
		statsUse
	}
	statsContainer struct {
		Name string `json:"name"`
		statsUse
	}
	statsUse struct {
		CPU struct {
			Time  metav1.Time `json:"time"`
			Nanos uint64      `json:"usageCoreNanoSeconds"`
		} `json:"cpu"`
		Memory struct {
			Time  metav1.Time `json:"time"`
			Bytes uint64      `json:"workingSetBytes"`
		} `json:"memory"`
	}
)

func (u *statsUse) add(at time.Time, nanos, bytes uint64) {
	u.CPU.Time, u.Memory.Time = metav1.NewTime(at), metav1.NewTime(at)
	u.CPU.Nanos += nanos
	u.Memory.Bytes += bytes
}

func (k *Kubelet) serveSummary(w http.ResponseWriter, r *http.Request) {
	pods, err := k.Stats(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	summary := statsSummary{Pods: []statsPod{}}
	summary.Node.NodeName = k.config.NodeName
	for _, pod := range pods {
		each := statsPod{Containers: []statsContainer{}}
		each.PodRef.Name, each.PodRef.Namespace, each.PodRef.UID = pod.Name, pod.Namespace, string(pod.UID)
		for _, c := range pod.Containers {
			container := statsContainer{Name: c.Name}
			for _, use := range []*statsUse{&container.statsUse, &each.statsUse, &summary.Node.statsUse} {
				use.add(c.Time, c.CPUNanos, c.MemoryBytes)
			}
			each.Containers = append(each.Containers, container)
		}
		summary.Pods = append(summary.Pods, each)
	}
	writeJSON(w, summary)
}

// serveResourceMetrics is what a metrics server reads, in Prometheus' words.
func (k *Kubelet) serveResourceMetrics(w http.ResponseWriter, r *http.Request) {
	pods, err := k.Stats(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, metric := range []struct {
		name, kind string
		value      func(ContainerStats) float64
	}{
		{"container_cpu_usage_seconds_total", "counter", func(c ContainerStats) float64 { return float64(c.CPUNanos) / 1e9 }},
		{"container_memory_working_set_bytes", "gauge", func(c ContainerStats) float64 { return float64(c.MemoryBytes) }},
	} {
		fmt.Fprintf(w, "# TYPE %s %s\n", metric.name, metric.kind)
		for _, pod := range pods {
			for _, c := range pod.Containers {
				fmt.Fprintf(w, "%s{container=%q,namespace=%q,pod=%q} %s %d\n", metric.name, c.Name, pod.Namespace, pod.Name,
					strconv.FormatFloat(metric.value(c), 'g', -1, 64), c.Time.UnixMilli())
			}
		}
	}
}

func (k *Kubelet) serveContainerLog(w http.ResponseWriter, r *http.Request) {
	options := &corev1.PodLogOptions{Container: r.PathValue("container"), Follow: r.URL.Query().Get("follow") == "true",
		Previous: r.URL.Query().Get("previous") == "true", Timestamps: r.URL.Query().Get("timestamps") == "true"}
	if text := r.URL.Query().Get("tailLines"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			http.Error(w, `{"message": "Unable to decode query."}`, http.StatusBadRequest)
			return
		}
		options.TailLines = &n
	}
	log, err := k.Logs(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), options)
	if err != nil {
		code := http.StatusInternalServerError
		if known := apierrors.APIStatus(nil); errors.As(err, &known) {
			code = int(known.Status().Code)
		}
		http.Error(w, err.Error(), code)
		return
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.Copy(flushing{w, http.NewResponseController(w)}, log)
}

// flushing sends each piece at once, for who follows a log.
type flushing struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	_ = f.control.Flush()
	return n, err
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
