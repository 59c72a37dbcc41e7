// Package endpointslicemirroring copies Endpoints that a user writes by hand, for a service without a selector, into
// EndpointSlices. Who sends packets reads only slices, so that without the copy such a service would lead nowhere.
//
// Endpoints are left out that bear the label endpointslice.kubernetes.io/skip-mirror=true, and those of services with a
// selector, for which package endpointslice writes slices itself.
package endpointslicemirroring
