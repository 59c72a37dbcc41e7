// Package rootca puts the certificate of the cluster's authority into every namespace, as the ConfigMap
// kube-root-ca.crt. Pods get it mounted beside their token, and trust the API server by it.
//
// It watches namespaces and those ConfigMaps, and puts right what somebody changed.
package rootca
