// Package network is how traffic finds its pod: services, names and ingress. In Kubernetes these are three programs:
// kube-proxy on every node, CoreDNS, and an ingress controller such as ingress-nginx.
//
// All three answer from one table, which follows Services and EndpointSlices in the API: the address of a service leads
// to the pods that are ready. kube-proxy programs the kernel with the same table; here connections are answered in user
// space, because that needs no root and works behind simulated pods, too.
//
// The ingress is an HTTP reverse proxy on the host's loopback. It routes by host and path as the Ingress objects say, and
// goes straight to the pods, as ingress-nginx does: the service only tells it which.
//
// Left out: kernel forwarding, IPv6, and protocols other than TCP and UDP.
//
// Read table.go (what leads where), follow.go (how it is kept up to date), balance.go (which pod), dial.go (connections inside this process), names.go (DNS
// records), then router.go, ingress.go, direct.go, pages.go and status.go for the ingress.
package network
