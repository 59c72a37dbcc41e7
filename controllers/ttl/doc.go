// Package ttl tells each node how long it may keep ConfigMaps and Secrets before it reads them again: the annotation
// node.alpha.kubernetes.io/ttl, in seconds, that `kubectl describe node` shows. The more nodes there are, the longer, so that
// they do not wear out the API server by asking.
//
// It is a small relic: kubelets used to ask, and have watched instead for years (Kubernetes' --config-map-and-secret-change-
// detection-strategy). Kubernetes still writes the annotation, and so it is here. It watches nodes.
package ttl
