// Package deployment rolls out new versions of an application.
//
// A Deployment owns one ReplicaSet for each version of its pod template, named by a hash of the template. To roll out a
// version is to scale its ReplicaSet up and the others down, within the budgets that the strategy sets: how many pods
// may be there beyond the wanted number (maxSurge), how many may be missing (maxUnavailable). The controller never
// touches a pod. The old ReplicaSets stay, at zero, as the history to roll back to.
//
// It watches Deployments and ReplicaSets, and pods only for the Recreate strategy, which waits for the old ones to end.
//
// Read deployment.go (the loop), replicasets.go (finding and making the ReplicaSet of the template), rolling.go,
// recreate.go, scale.go (a change of replicas, also in mid-rollout), status.go and progress.go (conditions, deadline),
// history.go (revisions), rollback.go, watch.go.
package deployment
