// Package persistentvolume binds claims to volumes.
//
// A claim asks for storage; a volume is some. The controller finds, for each claim, the smallest volume that fits, and
// binds both to each other: the volume's claimRef names the claim, the claim's volumeName the volume. When there is none
// it asks the claim's storage class for a new one (package localprovisioner makes it). A class with the binding mode
// WaitForFirstConsumer waits until the scheduler has chosen a node for a pod that uses the claim.
//
// When a claim is gone its volume is Released, and kept or deleted as its reclaim policy says.
//
// It watches claims, volumes and classes. Each binding takes four writes (volume, its status, claim, its status); whatever
// is found half done is finished.
//
// Read persistentvolume.go (the loop), claims.go, bind.go, volumes.go.
package persistentvolume
