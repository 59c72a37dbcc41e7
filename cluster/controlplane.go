package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"kubette/apiserver"
	"kubette/apiserver/admission"
	"kubette/apiserver/auth"
	"kubette/apiserver/custom"
	"kubette/apiserver/kinds"
	"kubette/client"
	"kubette/network"
	"kubette/scheduler"
	"kubette/store"
)

// Domain is the cluster's DNS domain.
const Domain = "cluster.local"

// What is in a data directory, beside the administrator's token.
const (
	storeFile  = "store.db"
	volumesDir = "volumes"
)

var caFiles = [...]string{"ca.crt", "ca.key"}

// openStore opens the cluster's memory: a file in the data directory, nothing but memory, or an etcd that others share.
func (c *Cluster) openStore(ctx context.Context, down *teardown) (err error) {
	switch {
	case c.config.Store != nil:
		c.store = c.config.Store
		return nil
	case c.shared():
		c.store, err = c.openEtcd(ctx)
	case c.config.Ephemeral:
		c.store = store.NewMemory()
	default:
		c.store, err = store.OpenBolt(filepath.Join(c.config.DataDir, storeFile), store.BoltOptions{})
	}
	if err != nil {
		return err
	}
	down.add(func(context.Context) error { return c.store.Close() })
	return nil
}

// startAPI makes the API server over the store, and serves it on the loopback address.
func (c *Cluster) startAPI(ctx context.Context, down *teardown) error {
	var err error
	if c.ca, err = auth.LoadCA(c.config.DataDir); err != nil {
		return err
	}
	if c.token, err = adminToken(c.config.DataDir); err != nil {
		return err
	}
	state := func() kinds.Cluster { return c.server.Cluster() }
	tokens := &auth.Tokens{Key: c.ca.Key, Issuer: auth.DefaultIssuer(Domain), Cluster: state}
	c.authenticator = &auth.Authenticator{CA: c.ca, Tokens: tokens}
	c.authenticator.Static.Add(c.token, auth.Admin())
	c.authorizer = &auth.Authorizer{Cluster: state}
	dialer := c.dialer()
	c.server, err = apiserver.New(apiserver.Config{
		Store:         c.store,
		Shared:        c.shared(),
		Kinds:         append(kinds.All(), append(kinds.Metrics(c.newMeter()), kinds.ComponentStatuses(c.componentStatuses))...),
		ServiceCIDR:   &net.IPNet{IP: c.ranges.Services.Addr().AsSlice(), Mask: net.CIDRMask(c.ranges.Services.Bits(), 32)},
		Authenticator: c.authenticator,
		Authorizer:    c.authorizer,
		Admission:     c.admission(),
		Tokens:        tokens,
		ReviewToken:   c.authenticator.ReviewToken,
		Kubelets:      c.kubelet,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.Dial(ctx, "", netip.Addr{}, network, address)
		},
		Version: c.config.Version,
	})
	if err != nil {
		return fmt.Errorf("make the API server: %w", err)
	}
	secure, err := c.ca.ServerTLS(auth.ServerNames(Domain), []net.IP{net.IPv4(127, 0, 0, 1), c.ranges.API.AsSlice(), c.ranges.ControlPlane().AsSlice()})
	if err != nil {
		return err
	}
	c.start(ctx, down, []part{
		c.server.Run,
		custom.New(c.server, c.as(auth.Server()), c.machine).Run,
		func(ctx context.Context) { c.serveAPI(ctx, secure) },
	})
	return nil
}

// admission is the chain of Kubernetes' default plugins. One is left out: a claim gets the default storage class from the
// volume binder a moment after it was made (KEP-3333), which does the same for claims that are older than the class.
func (c *Cluster) admission() []apiserver.Admission {
	chain := slices.DeleteFunc(admission.Default(), func(plugin apiserver.Admission) bool {
		_, is := plugin.(admission.DefaultStorageClass)
		return is
	})
	for _, plugin := range chain {
		if quota, is := plugin.(*admission.ResourceQuota); is {
			c.quota = quota
		}
	}
	return append(chain, auth.Escalation{Authorizer: c.authorizer}, auth.Signers{Authorizer: c.authorizer}, unserved{c.machines.name(), c.config.ExternalIPs}, externalIPs{c.config.ExternalIPs}, &c.explaining.faults.delay)
}

func (c *Cluster) serveAPI(ctx context.Context, secure *tls.Config) {
	if err := apiserver.Serve(ctx, c.ports.api, secure, c.withControl(c.server.Handler())); err != nil {
		slog.Error("the API is no longer served", "error", err)
	}
}

// dialer reaches pods and services from this process.
func (c *Cluster) dialer() *network.Dialer {
	return &network.Dialer{Table: c.table, Names: c.names(), Pod: c.dialPod, Inside: c.ranges.Inside}
}

func (c *Cluster) names() *network.Names { return &network.Names{Table: c.table, Domain: Domain} }

// dialPod connects to an address of the cluster: the API server's own, or a pod's on whatever runs the pods.
func (c *Cluster) dialPod(ctx context.Context, networkName string, address netip.AddrPort) (net.Conn, error) {
	if address == netip.AddrPortFrom(c.ranges.ControlPlane(), apiPort) {
		return c.dialAPI(ctx)
	}
	if err := c.table.Reach(ctx, networkName, netip.Addr{}, address.Addr()); err != nil {
		return nil, err
	}
	if conn, err := c.dialElsewhere(networkName, address); conn != nil || err != nil {
		return conn, err
	}
	return c.machines.dial(ctx, networkName, address)
}

func (c *Cluster) dialAPI(ctx context.Context) (net.Conn, error) {
	return c.config.Loopback.Dial(ctx, c.ports.api.Addr().String())
}

// kubelet finds the kubelet of a node, for the API server.
func (c *Cluster) kubelet(node string) (apiserver.Kubelet, bool) {
	c.mu.Lock()
	k, ok := c.kubelets[node]
	c.mu.Unlock()
	if ok || !c.shared() {
		return k, ok
	}
	return c.elsewhere(node)
}

// withInformers runs a part once its informers have their first lists.
func withInformers(informers *client.Informers, parts ...part) part {
	return func(ctx context.Context) {
		informers.Start(ctx)
		if informers.Sync(ctx) {
			run(ctx, parts)
		}
		<-ctx.Done()
		informers.Wait()
	}
}

// scheduler makes kube-scheduler.
func (c *Cluster) scheduler() part {
	own := c.as(component("kube-scheduler"))
	informers := client.NewInformers(own, nil)
	host, _ := os.Hostname() // without a name nothing is lost but where an event is from
	events := client.NewSeriesRecorder(own, "default-scheduler", host)
	s := scheduler.New(scheduler.Config{Client: own, Informers: informers, Events: events, Machine: c.machine})
	c.explaining.scheduler.Store(s)
	return withInformers(informers, events.Run, s.Run)
}

// serviceNetwork makes the service table, the services' ports on this machine, and the ingress.
func (c *Cluster) serviceNetwork() ([]part, error) {
	var err error
	if c.table.NodeOf, err = network.NodesByRange(c.nodeRanges()); err != nil {
		return nil, err
	}
	proxy := client.NewInformers(c.as(component("kube-proxy")), nil)
	follower := network.Follow(c.table, proxy, c.machine)

	balancer := c.as(controller(network.HostPortsComponent))
	services := client.NewInformers(balancer, nil)
	balancerEvents := client.NewRecorder(balancer, network.HostPortsComponent, "")
	hostPorts := network.NewHostPorts(network.HostPortsConfig{
		Client: balancer, Informers: services, Events: balancerEvents, Machine: c.machine, Table: c.table,
		Pod: c.dialPod, Address: c.ranges.LoadBalancer, External: c.config.ExternalIPs == ExternalIPsOpen,
	})

	watcher := c.as(controller(network.PolicyComponent))
	watched := client.NewInformers(watcher, nil)
	policyEvents := client.NewRecorder(watcher, network.PolicyComponent, "")
	c.policies = network.NewPolicies(watched, policyEvents, c.machine, c.machines.name() == RuntimeSim)

	own := c.as(controller(ingressAccount))
	informers := client.NewInformers(own, nil)
	events := client.NewRecorder(own, "nginx-ingress-controller", "")
	ingress := network.NewIngress(network.IngressConfig{
		Client: own, Informers: informers, Events: events, Machine: c.machine, Table: c.table,
		Pod: c.dialPod, Certificate: c.hostCertificate, HTTPSPort: portOf(c.ports.https), Addresses: []string{"127.0.0.1"},
	})
	c.ingress = ingress
	plain := &network.ForwardProxy{Ingress: ingress, HTTP: c.ports.http.Addr().String(), HTTPS: c.ports.https.Addr().String()}
	secure := &tls.Config{GetCertificate: ingress.GetCertificate, NextProtos: []string{"h2", "http/1.1"}}
	return []part{
		withInformers(proxy, follower.Run),
		withInformers(services, balancerEvents.Run, hostPorts.Run),
		withInformers(watched, policyEvents.Run, c.policies.Run),
		withInformers(informers, events.Run, ingress.Run),
		func(ctx context.Context) { serve(ctx, c.ports.http, plain, nil) },
		func(ctx context.Context) { serve(ctx, c.ports.https, ingress, secure) },
	}, nil
}

// hostCertificate makes the certificate of an ingress host that has no secret.
func (c *Cluster) hostCertificate(host string) (*tls.Certificate, error) {
	config, err := c.ca.ServerTLS([]string{host}, nil)
	if err != nil {
		return nil, err
	}
	certificate := config.Certificates[0]
	// With the CA behind it, a browser that was told of the CA's key knows it again.
	certificate.Certificate = append(certificate.Certificate, c.ca.Certificate.Raw)
	return &certificate, nil
}
