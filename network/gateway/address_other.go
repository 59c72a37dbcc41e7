//go:build !linux

package gateway

import (
	"errors"
	"net/netip"
)

// claim: a gateway only ever runs in a Linux container.
func claim(netip.Prefix) error { return errors.New("a gateway runs on Linux only") }
