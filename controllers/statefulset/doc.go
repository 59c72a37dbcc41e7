// Package statefulset runs pods that have an identity: a name that stays (db-0, db-1, …), a host name that follows it, and
// volume claims of their own that outlive them.
//
// Pods are made in the order of their numbers, each when the one before is ready, and deleted in the reverse order; with
// podManagementPolicy Parallel nobody waits for anybody. A new template is rolled out from the highest number down to the
// partition, one pod at a time (or maxUnavailable). Its versions are kept as ControllerRevisions (package revisions).
//
// It watches StatefulSets, pods, claims and revisions. Because names are fixed it needs no expectations: to make a pod
// twice is refused by the API.
//
// Read statefulset.go (the loop), history.go (which version), identity.go (what pod number n looks like), steps.go (making,
// mending, deleting), update.go (rolling), claims.go (volume claims and when they go), status.go, watch.go.
package statefulset
