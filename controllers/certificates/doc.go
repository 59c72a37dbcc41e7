// Package certificates approves and signs the certificate requests of the cluster's own signers.
//
// Requests of kubelets for their own client certificates are approved by themselves; others wait for a person
// (kubectl certificate approve). Approved ones of the signers kubernetes.io/kube-apiserver-client,
// kubernetes.io/kube-apiserver-client-kubelet, kubernetes.io/kubelet-serving and kubernetes.io/legacy-unknown are signed,
// after a check that they ask for what the signer gives. Old requests are deleted: approved and denied ones after an hour,
// pending ones after a day.
//
// In Kubernetes these are three controllers (csrapproving, csrsigning, csrcleaner).
//
// Read certificates.go (the loop), signers.go (what each signer gives), approve.go, clean.go.
package certificates
