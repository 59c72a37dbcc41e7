// Package explain says in words what is wanted, what is there, and why: the tree of what differs, the diagnosis of an
// object, the chain of causes that led to it, and its history. Kubernetes has no such part; `kubectl describe` and a
// practised eye take its place there.
//
// Everything here is a function from recorded state to data. A Snapshot holds objects as the API gave them out; Facts are
// what else was recorded: the scheduler's decisions, the ends of logs, whether a port answered. A Journal knows the writes
// of the store and the steps of the components. Nothing is guessed: each finding names the facts that it rests on, and
// where no record tells the cause, that is said.
//
// A result is a reason key with arguments, and is put into words at the end, from one catalogue for each language: so the
// command line and the console in the browser say the same, in English and in French.
//
// Read ref.go (how objects are named), snapshot.go (what is looked at), facts.go, finding.go (what a diagnosis is),
// diagnose.go (who diagnoses what), then the files named by what they judge: pod.go, scheduling.go, container.go,
// probes.go, service.go, ingress.go, workload.go, job.go, volume.go, node.go, config.go. tree.go compares wanted and
// present; journal.go and chain.go follow causes, cause.go puts them into words; changes.go compares two revisions;
// catalogue.go holds the words.
package explain
