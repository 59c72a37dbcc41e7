// Package endpointslice keeps, for each service, the list of pods that stand behind it.
//
// It watches services and pods, and writes EndpointSlices: for each pod that the service's selector takes, the address,
// the ports, and whether the pod is ready, serving or terminating. Who sends packets to the service (kube-proxy, an
// ingress controller, DNS) reads them there. A slice holds at most 100 pods, so that a change of one pod does not rewrite
// thousands.
//
// Zone hints (topology-aware routing) are left out: kubette has one zone.
//
// Read endpointslice.go (the loop), endpoints.go (from pods to endpoints), slices.go (from endpoints to slices, shared
// with package endpointslicemirroring).
package endpointslice
