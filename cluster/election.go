package cluster

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"kubette/client"
)

// Of several servers that share a store, one runs the controllers and one the scheduler: who holds the Lease of that name
// in kube-system, as in Kubernetes, and with its times. A leader that dies is followed after leaseDuration; one that stops
// hands over at once.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// elected runs parts while this server leads, made anew each time that it begins to.
func (c *Cluster) elected(name string, parts func() []part) part {
	lock := &leaseLock{client: client.Of[*coordinationv1.Lease](c.as(component(name))), name: name, identity: c.state.Server}
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			if err := lead(ctx, lock, parts); err != nil {
				slog.Error("cannot take part in the election of a leader", "of", name, "error", err)
				return
			}
		}
	}
}

// lead waits to be the leader, runs the parts, and returns when it no longer leads and they have ended. The Lease is given
// up only after that, so that no two servers do the same.
func lead(ctx context.Context, lock *leaseLock, parts func() []part) error {
	electing, resign := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	defer resign()
	var working sync.Mutex
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, Name: lock.name, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				working.Lock()
				defer working.Unlock()
				leading, stop := context.WithCancel(leading)
				defer stop()
				defer context.AfterFunc(ctx, stop)()
				if leading.Err() == nil && ctx.Err() == nil {
					slog.Info("this server leads", "component", lock.name)
					run(leading, parts())
				}
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		working.Lock()
		defer working.Unlock()
		resign()
	})()
	elector.Run(electing)
	working.Lock() // until the parts have ended
	defer working.Unlock()
	return nil
}

// leaseLock is a Lease in kube-system as client-go's leader election wants it.
type leaseLock struct {
	client         client.Typed[*coordinationv1.Lease]
	name, identity string
	last           *coordinationv1.Lease
}

// Get implements resourcelock.Interface.
func (l *leaseLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	lease, err := l.client.Get(ctx, metav1.NamespaceSystem, l.name)
	if err != nil {
		return nil, nil, err
	}
	l.last = lease
	record := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	data, err := json.Marshal(record)
	return record, data, err
}

// Create implements resourcelock.Interface.
func (l *leaseLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	lease, err := l.client.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: l.name},
		Spec:       resourcelock.LeaderElectionRecordToLeaseSpec(&record),
	})
	if err == nil {
		l.last = lease
	}
	return err
}

// Update implements resourcelock.Interface.
func (l *leaseLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	next := l.last.DeepCopy()
	next.Spec = resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	lease, err := l.client.Update(ctx, next)
	if err == nil {
		l.last = lease
	}
	return err
}

// RecordEvent implements resourcelock.Interface. What happened is in the Lease's history.
func (l *leaseLock) RecordEvent(string) {}

// Identity implements resourcelock.Interface.
func (l *leaseLock) Identity() string { return l.identity }

// Describe implements resourcelock.Interface.
func (l *leaseLock) Describe() string { return metav1.NamespaceSystem + "/" + l.name }
