// Package kubelet is the node agent: it makes the pods bound to its node run, and tells the API what became of them.
//
// It is a control loop whose desired state is a pod's spec and whose actual state is what the container runtime says. Each
// reconcile reads both, decides the next steps (plan.go), takes them (operation.go) and reports (status.go). Nothing is
// remembered that could not be found out again, so a kubelet that starts anew adopts what still runs and restarts nothing;
// only back-offs, probe counts and the time of a pull are lost, as in Kubernetes.
//
// A reconcile never waits long. Whatever may take its time (pulls, hooks, a graceful stop) runs as the pod's operation, a
// goroutine beside the loop that asks for the pod again at its end; a pod has at most one. Kubernetes' kubelet has a
// goroutine per pod for the same purpose, kubette's only for pods that are busy, so that thousands of quiet pods cost little.
//
// What it leaves out: static pods, device plugins, cgroup management of its own (the runtime enforces limits), soft eviction
// thresholds, swap, dynamic resource allocation, node certificates.
//
// Read kubelet.go (who it is), reconcile.go (the loop), observe.go, plan.go, operation.go and start.go (what is done),
// terminate.go (the end of a pod), status.go, phase.go and conditions.go (what is reported); then the parts: admit.go,
// restartall.go, images.go, backoff.go, config.go and environment.go, references.go, volumes.go, hostpath.go, projected.go,
// tokens.go, claims.go, dns.go, hooks.go, probes.go and probe.go, grpc.go, resize.go, streams.go, stats.go, serve.go, pressure.go,
// eviction.go, imagegc.go, node.go and lease.go, power.go, and abilities.go (what some runtimes can do beyond the interface).
package kubelet
