// Package endpoints writes the older form of what package endpointslice writes: one Endpoints object for each service,
// with the same name, and at most 1000 addresses. Kubernetes keeps it for programs that still read it; kubectl shows it as
// `kubectl get endpoints` and in `kubectl describe service`.
//
// Read endpoints.go (the loop) and subsets.go (from pods to subsets).
package endpoints
