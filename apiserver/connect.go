package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// connectors serve the subresources that are not objects but connections: to a pod's log and processes through the
// kubelet of its node, and to addresses in the cluster's network.
var connectors = map[string]func(*handler, http.ResponseWriter, *http.Request, *requestInfo, Request){
	"pods/log":         (*handler).serveLog,
	"pods/exec":        (*handler).serveExec,
	"pods/attach":      (*handler).serveAttach,
	"pods/portforward": (*handler).servePortForward,
	"pods/proxy":       (*handler).serveProxy,
	"services/proxy":   (*handler).serveProxy,
	"nodes/proxy":      (*handler).serveProxy,
}

func connectorName(info *requestInfo) string {
	if info.group != "" || info.sub == "" {
		return ""
	}
	return info.resource + "/" + info.sub
}

// runningPod finds the pod that a connection is for, and the kubelet that runs it.
func (h *handler) runningPod(request Request) (*corev1.Pod, Kubelet, error) {
	pod, err := h.pod(request)
	if err != nil {
		return nil, nil, err
	}
	if pod.Spec.NodeName == "" {
		return pod, nil, apierrors.NewBadRequest("pod " + pod.Name + " does not have a host assigned")
	}
	kubelet, err := h.kubeletOf(pod.Spec.NodeName)
	return pod, kubelet, err
}

// pod reads a pod. That the user may connect to it was authorized; reading it is the server's own business.
func (h *handler) pod(request Request) (*corev1.Pod, error) {
	object, found := h.server.cluster().Get("", "pods", request.Namespace, request.Name)
	pod, ok := object.(*corev1.Pod)
	if !found || !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, request.Name)
	}
	return pod, nil
}

func (h *handler) kubeletOf(node string) (Kubelet, error) {
	if h.server.config.Kubelets != nil {
		if kubelet, ok := h.server.config.Kubelets(node); ok {
			return kubelet, nil
		}
	}
	return nil, apierrors.NewInternalError(errors.New("the kubelet of node " + node + " does not answer: the node is stopped or unknown"))
}

// container picks the container that a connection is for: the one named, or the only one.
func container(pod *corev1.Pod, name string) (string, error) {
	var containers, inits, ephemeral []string
	for _, c := range pod.Spec.Containers {
		containers = append(containers, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		inits = append(inits, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		ephemeral = append(ephemeral, c.Name)
	}
	switch {
	case name != "":
		if !slices.Contains(slices.Concat(containers, inits, ephemeral), name) {
			return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
		}
		return name, nil
	case len(containers) == 1:
		return containers[0], nil
	case len(containers) == 0:
		return "", apierrors.NewBadRequest("a container name must be specified for pod " + pod.Name)
	}
	message := fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", pod.Name, containers)
	if len(inits) > 0 {
		message += fmt.Sprintf(" or one of the init containers: %s", inits)
	}
	if len(ephemeral) > 0 {
		message += fmt.Sprintf(" or one of the ephemeral containers: %s", ephemeral)
	}
	return "", apierrors.NewBadRequest(message)
}

// fromKubelet is what a client is told when a kubelet refuses: its words, as a bad request, unless it gave an error of
// the API's own.
func fromKubelet(err error) error {
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		return err
	}
	return apierrors.NewBadRequest(err.Error())
}
