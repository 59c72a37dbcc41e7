// Package admission holds the steps that a write passes between authorization and the store: they add what every object
// of the cluster must have, and refuse what the cluster's policies do not allow. In Kubernetes these are the admission
// plugins of kube-apiserver; each has its own file here and keeps its name, and Default lists them in Kubernetes' order.
//
// The ones that a student meets first: NamespaceLifecycle (the namespace must exist), ServiceAccount (every pod has an
// identity, with its token mounted), Priority, DefaultTolerationSeconds, LimitRanger, ResourceQuota and PodSecurity.
//
// Left out: webhooks, and policies written in CEL.
//
// Read plugin.go first, then any file.
package admission
