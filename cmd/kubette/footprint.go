package main

import "os"

// beFrugal trades some time for memory once the cluster has started. Whoever sets GOGC knows better.
func beFrugal() {
	if os.Getenv("GOGC") == "" {
		pace()
	}
	shrink()
}
