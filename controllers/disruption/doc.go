// Package disruption keeps the status of PodDisruptionBudgets: how many pods of an application may be evicted now.
//
// The budget itself is kept by the API server, where an eviction (kubectl drain) takes one from
// status.disruptionsAllowed. This controller counts the healthy pods, compares with what the budget wants to be there,
// and writes the difference. What a percentage is a percentage of is found through the pods' owners.
//
// It also takes the condition DisruptionTarget back from pods that were to be deleted and were not, after two minutes.
//
// Read disruption.go (the loop and the count), scale.go (how many pods there should be), stale.go.
package disruption
