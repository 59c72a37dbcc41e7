package certificates

import (
	"context"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/loop"
)

// approve approves a kubelet's request for its own client certificate; all others are left to a person. (Kubernetes also
// asks RBAC whether the requester may; here only nodes themselves may.)
func (c *Controller) approve(ctx context.Context, request *certificatesv1.CertificateSigningRequest) error {
	if request.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	parsed, err := parse(request.Spec.Request)
	if err != nil || checkKubeletClient(parsed, request.Spec.Usages) != nil {
		return nil // malformed: a person has to look at it
	}
	if parsed.Subject.CommonName != request.Spec.Username || !slices.Contains(request.Spec.Groups, "system:nodes") {
		return nil
	}
	loop.Say(ctx, "Approve", "node", request.Spec.Username)
	changed := request.DeepCopy()
	changed.Status.Conditions = append(changed.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved",
		Message: "Auto approving self kubelet client certificate after SubjectAccessReview.", LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	})
	_, err = c.Client.Update(ctx, client.ResourceOf[*certificatesv1.CertificateSigningRequest](), "", request.Name, changed, metav1.UpdateOptions{}, "approval")
	return err
}
