package kubelet

import (
	"context"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
)

const (
	leasePeriod   = 10 * time.Second
	leaseDuration = 40 // seconds
)

// renewLease is the node's heartbeat: a small object, written every ten seconds.
func (s *session) renewLease(ctx context.Context) {
	for failures := 0; ; {
		wait := leasePeriod
		if err := s.writeLease(ctx); err != nil && ctx.Err() == nil {
			failures++
			wait = min(200*time.Millisecond<<min(failures, 6), 7*time.Second)
			slog.Debug("the node's lease could not be renewed", "node", s.config.NodeName, "error", err)
		} else {
			failures = 0
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

func (s *session) writeLease(ctx context.Context) error {
	leases := client.Of[*coordinationv1.Lease](s.client)
	now, duration, name := metav1.NowMicro(), int32(leaseDuration), s.config.NodeName
	lease, err := leases.Get(ctx, corev1.NamespaceNodeLease, name)
	if err == nil {
		changed := lease.DeepCopy()
		changed.Spec.RenewTime, changed.Spec.HolderIdentity, changed.Spec.LeaseDurationSeconds = &now, &name, &duration
		if len(changed.OwnerReferences) == 0 {
			changed.OwnerReferences = s.leaseOwner()
		}
		_, err = leases.Update(ctx, changed)
		return err
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name, OwnerReferences: s.leaseOwner()},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &duration, RenewTime: &now},
	})
	return err
}

// leaseOwner makes the lease go when the node goes.
func (s *session) leaseOwner() []metav1.OwnerReference {
	node := s.node.current()
	if node == nil {
		return nil
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
}
