// Package store is the cluster's memory: a key-value log with revisions, in the part that etcd plays in Kubernetes.
//
// Every write, of whatever key, gets the next revision of one counter. A writer says at which revision it expects the
// key to be (compare-and-swap), so that two writers never overwrite each other unseen. A reader may ask for any revision
// that is still kept, and a watcher for everything after one: together these three are all that Kubernetes' optimistic
// concurrency, consistent lists and watches stand on.
//
// Unlike etcd, each write is kept with who made it and what caused it, so that the cluster can explain itself; and there
// is no lease and no transaction over several keys, because the API server needs none of them. Where one file and one
// process are not enough, the same contract is kept by an etcd that several servers share.
//
// Read store.go (the contract), then memory.go (the log), watch.go, compact.go, bolt.go (the same log on disk, with group
// commit), open.go and file.go (what the file holds), inspect.go (how a damaged file is found out), etcd.go and etcdlog.go
// (the same log in an etcd).
package store
