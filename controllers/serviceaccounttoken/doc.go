// Package serviceaccounttoken fills in secrets of the type kubernetes.io/service-account-token: tokens of a service
// account that never end. Pods have better ones, which end with them; these secrets are for programs outside of the
// cluster, and somebody has to create each of them by hand, naming the account in an annotation.
//
// It watches those secrets and service accounts. A secret whose account is gone is deleted with it. In Kubernetes this is
// the tokens controller of kube-controller-manager.
package serviceaccounttoken
