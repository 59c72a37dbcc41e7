package kinds

import (
	rbacv1 "k8s.io/api/rbac/v1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func clusterRoleBinding() *Kind {
	return Row[*rbacv1.ClusterRoleBinding]{
		Base: Kind{
			Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRoleBinding", Plural: "clusterrolebindings",
			Singular: "clusterrolebinding", ValidateName: path.ValidatePathSegmentName, AllowCreateOnUpdate: true,
			UnconditionalUpdate: true,
		},
		New:     func() *rbacv1.ClusterRoleBinding { return &rbacv1.ClusterRoleBinding{} },
		NewList: func() runtime.Object { return &rbacv1.ClusterRoleBindingList{} },
		Default: func(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) },
		Validate: func(b *rbacv1.ClusterRoleBinding) field.ErrorList {
			return validateBinding(&b.RoleRef, b.Subjects, false)
		},
		ValidateUpdate: func(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
			return append(validateBinding(&b.RoleRef, b.Subjects, false), sameRole(b.RoleRef, old.RoleRef)...)
		},
		Columns: bindingColumns("clusterRoleBinding", rbacv1beta1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"]),
		Cells: func(b *rbacv1.ClusterRoleBinding) []any {
			return bindingCells(b, &b.RoleRef, b.Subjects)
		},
	}.Kind()
}
