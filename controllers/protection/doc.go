// Package protection keeps storage from being deleted under those who use it.
//
// A claim that a pod uses, and a volume that a claim is bound to, bear a finalizer: deleted, they wait until nobody uses
// them any more. The API server puts the finalizers on new objects; the controllers here put them on others, and take
// them off.
//
// The claims' controller also notes on each bound claim whether a pod refers to it, and since when none does.
//
// Read claims.go with unused.go, and volumes.go, one controller each.
package protection
