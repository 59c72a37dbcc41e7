// Package auth says who asks and what they may do: the identity of the API server and of everybody who talks to it. In
// Kubernetes this is a part of kube-apiserver, with kubeadm making the certificates.
//
// Who asks: a client certificate signed by the cluster's CA (its common name is the user, its organizations the groups),
// a bearer token that the cluster knows, or the token of a service account, which is a JWT that the cluster has signed.
// A service account's token is bound to the account and often to a pod: when either is gone, it is worth nothing. Who
// shows nothing is system:anonymous; who shows something wrong is refused.
//
// What they may do: RBAC. Roles hold rules, bindings give roles to users, groups and service accounts; nothing takes
// rights away. Kubelets are judged by a small authorizer of their own: a node may read what its own pods use.
// The group system:masters may everything, before any rule is read.
//
// Left out: OpenID Connect and webhook authenticators, and certificate revocation (Kubernetes has none either).
//
// Read ca.go (keys and certificates), tokens.go (service account tokens), authenticate.go, rbac.go, escalation.go,
// node.go, and bootstrap.go with the default roles in bootstrap.json.
package auth
