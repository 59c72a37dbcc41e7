package kinds

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func serviceAccount() *Kind {
	return Row[*corev1.ServiceAccount]{
		Base: Kind{
			Version: "v1", Kind: "ServiceAccount", Plural: "serviceaccounts", Singular: "serviceaccount",
			ShortNames: []string{"sa"}, Namespaced: true, UnconditionalUpdate: true, ReturnDeleted: true,
		},
		New:     func() *corev1.ServiceAccount { return &corev1.ServiceAccount{} },
		NewList: func() runtime.Object { return &corev1.ServiceAccountList{} },
		// Of a secret only the name counts.
		PrepareForCreate: func(a *corev1.ServiceAccount) { nameSecretsOnly(a) },
		PrepareForUpdate: func(a, _ *corev1.ServiceAccount) { nameSecretsOnly(a) },
		Warnings:         serviceAccountWarnings,
		Columns:          []metav1.TableColumnDefinition{nameColumn(), ageColumn()},
		Cells:            func(s *corev1.ServiceAccount) []any { return []any{s.Name, age(s.CreationTimestamp)} },
	}.Kind()
}

func nameSecretsOnly(a *corev1.ServiceAccount) {
	for i := range a.Secrets {
		a.Secrets[i] = corev1.ObjectReference{Name: a.Secrets[i].Name}
	}
}
