package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kubette/apiserver/auth"
	"kubette/store"
)

// Several servers may be one cluster: they share an etcd. What they must agree on is in the etcd as well, under keys beside
// the API's: the cluster's keys and network, and which server has which node numbers.

const (
	sharedKeys    = "/shared/keys"
	sharedNetwork = "/shared/network"
	sharedServers = "/shared/servers/"
)

// nodesPerServer is how many node numbers a server has, so that the names and addresses of its nodes are nobody else's. The
// first server's number 0 is the control plane.
const nodesPerServer = 50

// shared says that other servers may be part of the cluster.
func (c *Cluster) shared() bool { return len(c.config.Etcd.Endpoints) > 0 }

// openEtcd opens the cluster's memory in an etcd, and joins the servers that share it.
func (c *Cluster) openEtcd(ctx context.Context) (store.Store, error) {
	shared, err := store.OpenEtcd(ctx, c.config.Etcd)
	if err != nil {
		return nil, err
	}
	if err := c.join(ctx, shared); err != nil {
		return nil, errors.Join(fmt.Errorf("join the cluster in etcd: %w", err), shared.Close())
	}
	return shared, nil
}

func (c *Cluster) join(ctx context.Context, shared store.Store) error {
	if err := c.shareKeys(ctx, shared); err != nil {
		return err
	}
	if c.state.Server == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name this server: %w", err)
		}
		c.state.Server = host + "_" + newToken()[:8]
		if err := c.state.write(); err != nil {
			return err
		}
	}
	return c.claimNodes(ctx, shared)
}

// keyFiles are the files of a data directory that all servers of a cluster have alike: its CA, so that each believes what
// another signed, and the administrator's token.
var keyFiles = []string{caFiles[0], caFiles[1], tokenFile}

// shareKeys takes the cluster's keys out of the etcd, or puts those of this server there when it is the first. Who can read
// the etcd reads all secrets of the cluster anyway.
func (c *Cluster) shareKeys(ctx context.Context, shared store.Store) error {
	before, err := readKeys(c.config.DataDir)
	if err != nil {
		return err
	}
	mine := before
	entry, err := shared.Get(ctx, sharedKeys, 0)
	if errors.Is(err, store.ErrNotFound) {
		if mine, err = c.makeKeys(); err != nil {
			return err
		}
		data, _ := json.Marshal(mine) // always encodable
		_, err = shared.Write(ctx, store.Write{Key: sharedKeys, Value: data, Meta: c.upkeep("share keys")})
		if err == nil || !errors.Is(err, store.ErrConflict) {
			return err
		}
		entry, err = shared.Get(ctx, sharedKeys, 0) // another server was quicker
	}
	if err != nil {
		return err
	}
	var keys map[string][]byte
	if err := json.Unmarshal(entry.Value(), &keys); err != nil {
		return fmt.Errorf("the cluster's keys in etcd: %w", err)
	}
	for _, name := range keyFiles {
		if old, ok := before[name]; ok && name != tokenFile && !bytes.Equal(old, keys[name]) {
			return fmt.Errorf("%s holds the keys of another cluster: choose another --name or --data-dir, or another --etcd-prefix", c.config.DataDir)
		}
		if err := writeFile(filepath.Join(c.config.DataDir, name), keys[name]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) makeKeys() (map[string][]byte, error) {
	if _, err := auth.LoadCA(c.config.DataDir); err != nil {
		return nil, err
	}
	if _, err := adminToken(c.config.DataDir); err != nil {
		return nil, err
	}
	return readKeys(c.config.DataDir)
}

func readKeys(dir string) (map[string][]byte, error) {
	keys := map[string][]byte{}
	for _, name := range keyFiles {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the cluster's keys: %w", err)
		}
		keys[name] = data
	}
	return keys, nil
}

// claimNodes finds the node numbers of this server: those of the last time, or the first that no other has.
func (c *Cluster) claimNodes(ctx context.Context, shared store.Store) error {
	if c.config.Workers >= nodesPerServer {
		return fmt.Errorf("--nodes %d: a server that shares an etcd has at most %d worker nodes", c.config.Workers, nodesPerServer-1)
	}
	place := func(n int) string { return fmt.Sprintf("%s%03d", sharedServers, n) }
	page, err := shared.List(ctx, sharedServers, store.ListOptions{})
	if err != nil {
		return err
	}
	mine := slices.IndexFunc(page.Entries, func(e *store.Entry) bool { return string(e.Value()) == c.state.Server })
	for n := len(page.Entries); mine < 0; n++ { // places are taken in order, and never given back
		_, err := shared.Write(ctx, store.Write{Key: place(n), Value: []byte(c.state.Server), Meta: c.upkeep("claim nodes")})
		if err == nil {
			mine = n
		} else if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	c.firstNode = mine * nodesPerServer
	for i, number := range c.config.workers {
		if number <= c.firstNode || number >= c.firstNode+nodesPerServer {
			c.config.workers[i] = c.firstNode + i + 1
		}
	}
	return nil
}

// agreedNetwork is the network of the servers that were here before, if any.
func (c *Cluster) agreedNetwork(ctx context.Context) (netip.Prefix, error) {
	if !c.shared() {
		return netip.Prefix{}, nil
	}
	entry, err := c.store.Get(ctx, sharedNetwork, 0)
	if errors.Is(err, store.ErrNotFound) {
		return netip.Prefix{}, nil
	}
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.ParsePrefix(string(entry.Value()))
}

// shareNetwork makes sure that all servers have the same network: services have the same addresses everywhere.
func (c *Cluster) shareNetwork(ctx context.Context) error {
	if !c.shared() {
		return nil
	}
	mine := c.ranges.Network.String()
	_, err := c.store.Write(ctx, store.Write{Key: sharedNetwork, Value: []byte(mine), Meta: c.upkeep("share network")})
	if err == nil || !errors.Is(err, store.ErrConflict) {
		return err
	}
	entry, err := c.store.Get(ctx, sharedNetwork, 0)
	if err != nil {
		return err
	}
	if theirs := string(entry.Value()); theirs != mine {
		return fmt.Errorf("the cluster's network is %s and this server's engine has %s free for it: each server needs an engine of its own, or --runtime sim", theirs, mine)
	}
	return nil
}

func (c *Cluster) upkeep(verb string) store.Meta {
	return store.Meta{Time: time.Now(), Actor: auth.Server().GetName(), Verb: verb}
}
