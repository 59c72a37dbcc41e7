// Package loop is the one small part that every control loop is built from: a rate-limited queue of keys, a gate and a
// trace. Controllers, the scheduler, kubelets and proxies all use it.
//
// A control loop is level-based. Events only say which key to look at; Reconcile then reads what is wanted and what is
// there, and acts on the difference. A pod that was deleted while nobody watched is noticed all the same: the next time
// its ReplicaSet's key comes up, one pod too few is there. So it does no harm that several events for one key are
// folded into one, or that a key is tried again after an error.
//
// The gate lets a user pause a component, resume it, and let it do one step at a time. The trace records what each step
// observed, what it decided and why, as data that the explaining tools read.
//
// In Kubernetes each controller has a client-go workqueue and its own workers, and this is the same; gate and trace are
// kubette's. Read loop.go, gate.go, trace.go.
package loop
