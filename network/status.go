package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// report fills in status.loadBalancer of the ingresses that are served, and says which annotations have no effect.
func (i *Ingress) report(ctx context.Context, served []*networkingv1.Ingress) error {
	var wanted []networkingv1.IngressLoadBalancerIngress
	for _, address := range i.config.Addresses {
		wanted = append(wanted, networkingv1.IngressLoadBalancerIngress{IP: address})
	}
	var errs []error
	for _, ingress := range served {
		if equality.Semantic.DeepEqual(ingress.Status.LoadBalancer.Ingress, wanted) {
			continue
		}
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": wanted}}})
		if err != nil {
			return err
		}
		_, err = client.Of[*networkingv1.Ingress](i.config.Client).Patch(ctx, ingress.Namespace, ingress.Name, types.MergePatchType, patch, "status")
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("report on ingress %s/%s: %w", ingress.Namespace, ingress.Name, err))
			continue
		}
		i.config.Events.Event(ingress, corev1.EventTypeNormal, "Sync", "Scheduled for sync")
		for _, text := range Unserved(ingress) {
			i.config.Events.Event(ingress, corev1.EventTypeWarning, "NotServed", "%s", text)
		}
	}
	return errors.Join(errs...)
}
