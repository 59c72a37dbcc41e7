// Package test holds what tests a whole cluster.
//
// The scenarios here run a cluster, with everything that belongs to one, inside a bubble of virtual time: on the memory
// store, on simulated containers, and on ports that are only in memory. So they say to the second when something happens,
// and hours pass in a moment. bubble_test.go is their small language: Apply, Settle, Pass, Want.
//
// The scripts in testdata/script are what a user types on the command line; cmd/kubette runs them. network tests services,
// names and ingress on both runtimes, and bench measures.
package test
