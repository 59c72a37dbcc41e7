package docker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types/network"
)

// Network is the cluster's bridge network in the engine.
type Network struct {
	ID, Name string
	Prefix   netip.Prefix // pods and services
	Gateway  netip.Addr   // the bridge itself, on the engine's machine
	Bridge   string       // its interface there
	MTU      int
	// Direct: this host has the bridge, so that it reaches pods without help.
	Direct bool
}

const mtuOption = "com.docker.network.driver.mtu"

// choices are the ranges that a cluster may take, in the order in which they are tried.
func choices() []netip.Prefix {
	var all []netip.Prefix
	for second := 96; second <= 126; second += 2 {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(second), 0, 0}), 15))
	}
	return all
}

// NetworkName is the name of a cluster's network in the engine.
func NetworkName(cluster string) string { return "kubette-" + cluster }

// ensureNetwork finds the cluster's network or makes it.
func (e *Engine) ensureNetwork(ctx context.Context) (Network, error) {
	all, err := within(ctx, callTimeout, func(ctx context.Context) ([]network.Summary, error) {
		return e.api.NetworkList(ctx, network.ListOptions{})
	})
	if err != nil {
		return Network{}, fmt.Errorf("list the engine's networks: %w", explain(ctx, err))
	}
	for _, there := range all {
		if there.Labels[labelCluster] == e.config.Name && there.Labels[labelRole] == roleNetwork {
			return e.adoptNetwork(there)
		}
	}
	wanted := choices()
	if e.config.Network.IsValid() {
		wanted = []netip.Prefix{e.config.Network}
	}
	taken := append(ranges(all), hostRanges()...)
	var refused error
	for _, prefix := range wanted {
		if overlap := slices.IndexFunc(taken, prefix.Overlaps); overlap >= 0 {
			refused = fmt.Errorf("%v overlaps with %v, which is in use", prefix, taken[overlap])
			continue
		}
		// The engine knows of pools that no network shows, so it may still refuse one.
		made, err := e.createNetwork(ctx, prefix, mtuOf(all))
		if err == nil {
			return made, nil
		}
		refused = err
	}
	return Network{}, fmt.Errorf("no address range is free for the cluster's network (tried %v to %v): %w",
		wanted[0], wanted[len(wanted)-1], refused)
}

// adoptNetwork takes over the network of an earlier run.
func (e *Engine) adoptNetwork(there network.Summary) (Network, error) {
	if len(there.IPAM.Config) == 0 {
		return Network{}, fmt.Errorf("the network %s has no address range; remove it with `docker network rm %s`", there.Name, there.Name)
	}
	prefix, err := netip.ParsePrefix(there.IPAM.Config[0].Subnet)
	if err != nil {
		return Network{}, fmt.Errorf("address range of the network %s: %w", there.Name, err)
	}
	if e.config.Network.IsValid() && e.config.Network != prefix {
		return Network{}, fmt.Errorf("the network %s has the range %v, but the cluster's stored range is %v; remove it with `docker network rm %s`",
			there.Name, prefix, e.config.Network, there.Name)
	}
	mtu, _ := strconv.Atoi(there.Options[mtuOption]) // none is the kernel's default
	return describeNetwork(there.ID, there.Name, prefix, mtu), nil
}

// createNetwork makes the bridge. Only the first 256 addresses of the pods' half are the engine's to give: containers of
// the cluster itself; the rest belongs to the nodes.
func (e *Engine) createNetwork(ctx context.Context, prefix netip.Prefix, mtu int) (Network, error) {
	own := clusterRange(prefix)
	name := NetworkName(e.config.Name)
	options := map[string]string{}
	if mtu > 0 {
		options[mtuOption] = strconv.Itoa(mtu)
	}
	made, err := within(ctx, callTimeout, func(ctx context.Context) (network.CreateResponse, error) {
		return e.api.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge", Options: options,
			IPAM: &network.IPAM{Config: []network.IPAMConfig{{
				Subnet: prefix.String(), IPRange: own.String(), Gateway: own.Addr().Next().String(),
			}}},
			Labels: map[string]string{labelCluster: e.config.Name, labelRole: roleNetwork, labelOwner: e.config.Owner},
		})
	})
	if err != nil {
		return Network{}, fmt.Errorf("make the network %s with the range %v: %w", name, prefix, explain(ctx, err))
	}
	return describeNetwork(made.ID, name, prefix, mtu), nil
}

func describeNetwork(id, name string, prefix netip.Prefix, mtu int) Network {
	gateway := clusterRange(prefix).Addr().Next()
	return Network{
		ID: id, Name: name, Prefix: prefix, Gateway: gateway, Bridge: "br-" + short(id), MTU: mtu,
		Direct: slices.ContainsFunc(hostRanges(), func(r netip.Prefix) bool { return r.Addr() == gateway }),
	}
}

// clusterRange is where the cluster's own containers are: the first /24 of the second half, 10.97.0.0/24 of 10.96.0.0/15.
func clusterRange(prefix netip.Prefix) netip.Prefix {
	base := prefix.Masked().Addr().As4()
	half := prefix.Bits() + 1
	if half <= 8 || half > 24 { // a range that was given by hand and has no halves of this shape
		return netip.PrefixFrom(prefix.Masked().Addr(), max(prefix.Bits(), 24))
	}
	base[(half-1)/8] |= 1 << (7 - (half-1)%8)
	return netip.PrefixFrom(netip.AddrFrom4(base), 24)
}

// ranges are those of the engine's networks.
func ranges(networks []network.Summary) []netip.Prefix {
	var all []netip.Prefix
	for _, there := range networks {
		for _, config := range there.IPAM.Config {
			if prefix, err := netip.ParsePrefix(config.Subnet); err == nil {
				all = append(all, prefix.Masked())
			}
		}
	}
	return all
}

// hostRanges are those of this host's interfaces. When the engine is elsewhere they are none of its business, but a range
// that is free on both is still the better choice.
func hostRanges() []netip.Prefix {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil // nothing is known; the engine refuses what it cannot do
	}
	var all []netip.Prefix
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() {
			all = append(all, prefix)
		}
	}
	return all
}

// mtuOf is how large the engine lets packets of its default network be: smaller than usual inside virtual networks.
func mtuOf(networks []network.Summary) int {
	for _, there := range networks {
		if there.Name == "bridge" {
			mtu, _ := strconv.Atoi(there.Options[mtuOption])
			return mtu
		}
	}
	return 0
}
