package docker

import (
	"fmt"
	"net/netip"
	"sync"
)

// addresses gives out a node's pod addresses, each in its turn, so that one that was just freed is not taken again at
// once by another pod while somebody may still mean the first.
type addresses struct {
	mu     sync.Mutex
	prefix netip.Prefix
	taken  map[netip.Addr]bool
	last   netip.Addr
}

func newAddresses(prefix netip.Prefix) *addresses {
	return &addresses{prefix: prefix.Masked(), taken: map[netip.Addr]bool{}}
}

// take returns a free address. The first two of the range and its last are left out, as people expect.
func (a *addresses) take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.prefix.Addr().Next().Next()
	candidate := a.last
	for range 1 << (32 - a.prefix.Bits()) {
		if candidate = candidate.Next(); !candidate.IsValid() || !a.prefix.Contains(candidate) || !a.prefix.Contains(candidate.Next()) {
			candidate = first
		}
		if !a.taken[candidate] {
			a.taken[candidate], a.last = true, candidate
			return candidate, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no pod address is left in %v", a.prefix)
}

// keep marks an address that a sandbox of an earlier run has.
func (a *addresses) keep(address netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken[address] = true
}

func (a *addresses) free(address netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.taken, address)
}
