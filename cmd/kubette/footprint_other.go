//go:build !linux

package main

// shrink does something on Linux only: see footprint_linux.go.
func shrink() {}
