package cluster

import (
	"context"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/controllers"
	"kubette/controllers/certificates"
	"kubette/controllers/clusterroleaggregation"
	"kubette/controllers/cronjob"
	"kubette/controllers/daemonset"
	"kubette/controllers/deployment"
	"kubette/controllers/disruption"
	"kubette/controllers/endpoints"
	"kubette/controllers/endpointslice"
	"kubette/controllers/endpointslicemirroring"
	"kubette/controllers/ephemeralvolume"
	"kubette/controllers/garbagecollector"
	"kubette/controllers/horizontalpodautoscaler"
	"kubette/controllers/job"
	"kubette/controllers/localprovisioner"
	"kubette/controllers/namespace"
	"kubette/controllers/nodelifecycle"
	"kubette/controllers/persistentvolume"
	"kubette/controllers/podgc"
	"kubette/controllers/protection"
	"kubette/controllers/replicaset"
	"kubette/controllers/replicationcontroller"
	"kubette/controllers/resourcequota"
	"kubette/controllers/rootca"
	"kubette/controllers/serviceaccount"
	"kubette/controllers/serviceaccounttoken"
	"kubette/controllers/statefulset"
	"kubette/controllers/tainteviction"
	"kubette/controllers/ttl"
	"kubette/controllers/ttlafterfinished"
)

// controllersAndScheduler are what acts on the cluster as a whole. Of several servers only one runs each.
func (c *Cluster) controllersAndScheduler() []part {
	scheduler := func() []part { return []part{c.scheduler()} }
	kept := c.restartable
	if c.shared() {
		kept = c.elected
	}
	return []part{kept("kube-controller-manager", c.controllers), kept("kube-scheduler", scheduler)}
}

// controllers makes kube-controller-manager: all controllers share their informers, and each writes in its own name, as a
// service account of kube-system with a default role of that name.
func (c *Cluster) controllers() []part {
	informers := client.NewInformers(c.as(component("kube-controller-manager")), nil)
	var parts []part
	add := func(account, source string, make func(base controllers.Base) controllers.Controller) {
		own := c.as(controller(account))
		events := client.NewRecorder(own, source, "")
		made := make(controllers.Base{Client: own, Informers: informers, Events: events, Machine: c.machine})
		parts = append(parts, events.Run, made.Run)
	}
	type base = controllers.Base
	type made = controllers.Controller
	add("deployment-controller", "deployment-controller", func(b base) made { return deployment.New(b) })
	add("replicaset-controller", "replicaset-controller", func(b base) made { return replicaset.New(b) })
	add("endpointslice-controller", "endpoint-slice-controller", func(b base) made { return endpointslice.New(b) })
	add("endpoint-controller", "endpoint-controller", func(b base) made { return endpoints.New(b) })
	add("endpointslicemirroring-controller", "endpoint-slice-mirroring-controller", func(b base) made { return endpointslicemirroring.New(b) })
	add("service-account-controller", "serviceaccount-controller", func(b base) made { return serviceaccount.New(b) })
	add("root-ca-cert-publisher", "root-ca-cert-publisher", func(b base) made { return rootca.New(b, c.ca.PEM()) })
	add("namespace-controller", "namespace-controller", func(b base) made { return namespace.New(b, c.discover) })
	add("generic-garbage-collector", "garbage-collector", func(b base) made { return garbagecollector.New(b, c.discover) })
	add("node-controller", "node-controller", func(b base) made { return nodelifecycle.New(b, nodelifecycle.Options{}) })
	add("node-controller", "taint-eviction-controller", func(b base) made { return tainteviction.New(b) })
	add(ttl.Name, ttl.Name, func(b base) made { return ttl.New(b) })
	add("pod-garbage-collector", "pod-garbage-collector", func(b base) made { return podgc.New(b, 0) })
	add("replication-controller", "replication-controller", func(b base) made { return replicationcontroller.New(b) })
	add("daemon-set-controller", "daemonset-controller", func(b base) made { return daemonset.New(b) })
	add("statefulset-controller", "statefulset-controller", func(b base) made { return statefulset.New(b) })
	add("job-controller", "job-controller", func(b base) made { return job.New(b) })
	add("cronjob-controller", "cronjob-controller", func(b base) made { return cronjob.New(b) })
	add("ttl-after-finished-controller", "ttl-after-finished-controller", func(b base) made { return ttlafterfinished.New(b) })
	add("disruption-controller", "controllermanager", func(b base) made { return disruption.New(b) })
	add("resourcequota-controller", "resourcequota-controller", func(b base) made { return resourcequota.New(b, c.quotaUsage) })
	add("pvc-protection-controller", "pvc-protection-controller", func(b base) made { return protection.NewClaims(b) })
	add("pv-protection-controller", "pv-protection-controller", func(b base) made { return protection.NewVolumes(b) })
	add("persistent-volume-binder", "persistentvolume-controller", func(b base) made { return persistentvolume.New(b) })
	add(localprovisioner.Name, localprovisioner.Provisioner, func(b base) made {
		return localprovisioner.New(b, localprovisioner.Options{Root: c.volumeRoot(), Remove: c.removeVolume})
	})
	add("ephemeral-volume-controller", ephemeralvolume.EventSource, func(b base) made { return ephemeralvolume.New(b) })
	add("horizontal-pod-autoscaler", horizontalpodautoscaler.EventSource, func(b base) made {
		return horizontalpodautoscaler.New(b, podUse(b.Client))
	})
	add("certificate-controller", "certificate-controller", func(b base) made { return certificates.New(b, c.sign) })
	// The tokens controller writes secrets, which only kube-controller-manager itself may.
	manager := base{Client: c.as(component("kube-controller-manager")), Informers: informers, Machine: c.machine}
	parts = append(parts, serviceaccounttoken.New(manager, c.authenticator.Tokens, c.ca.PEM()).Run)
	add("clusterrole-aggregation-controller", "clusterrole-aggregation-controller", func(b base) made { return clusterroleaggregation.New(b) })
	return []part{withInformers(informers, parts...)}
}

// quotaUsage counts what a namespace uses, as admission does.
func (c *Cluster) quotaUsage(quota *corev1.ResourceQuota) corev1.ResourceList {
	return c.quota.Usage(c.server.Cluster(), quota)
}

// volumeRoot is where persistent volumes lie.
func (c *Cluster) volumeRoot() string { return filepath.Join(c.config.DataDir, volumesDir) }

// removeVolume deletes the directory of a persistent volume that nobody claims any more.
func (c *Cluster) removeVolume(ctx context.Context, _, dir string) error {
	return c.machines.removeVolume(ctx, dir)
}

// discover tells the controllers that handle objects of every kind what the API serves.
func (c *Cluster) discover() ([]controllers.Resource, <-chan struct{}) {
	rows, changed := c.server.Kinds()
	var all []controllers.Resource
	for _, kind := range rows {
		if kind.Virtual || kind.Storage != nil {
			continue
		}
		verbs := kind.Verbs
		if verbs == nil {
			verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
		}
		if slices.Contains(verbs, "list") {
			all = append(all, controllers.Resource{GroupVersionResource: kind.Resource(), Kind: kind.Kind, Namespaced: kind.Namespaced, Verbs: verbs})
		}
	}
	return all, changed
}
