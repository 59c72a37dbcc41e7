package kinds

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func roleBinding() *Kind {
	return Row[*rbacv1.RoleBinding]{
		Base: Kind{
			Group: rbacv1.GroupName, Version: "v1", Kind: "RoleBinding", Plural: "rolebindings", Singular: "rolebinding",
			Namespaced: true, ValidateName: path.ValidatePathSegmentName, AllowCreateOnUpdate: true, UnconditionalUpdate: true,
		},
		New:      func() *rbacv1.RoleBinding { return &rbacv1.RoleBinding{} },
		NewList:  func() runtime.Object { return &rbacv1.RoleBindingList{} },
		Default:  func(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) },
		Validate: func(b *rbacv1.RoleBinding) field.ErrorList { return validateBinding(&b.RoleRef, b.Subjects, true) },
		ValidateUpdate: func(b, old *rbacv1.RoleBinding) field.ErrorList {
			return append(validateBinding(&b.RoleRef, b.Subjects, true), sameRole(b.RoleRef, old.RoleRef)...)
		},
		Columns: bindingColumns("roleBinding", rbacv1beta1.RoleBinding{}.SwaggerDoc()["roleRef"]),
		Cells: func(b *rbacv1.RoleBinding) []any {
			return bindingCells(b, &b.RoleRef, b.Subjects)
		},
	}.Kind()
}

func defaultBinding(role *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	setDefault(&role.APIGroup, rbacv1.GroupName)
	for i := range subjects {
		if kind := subjects[i].Kind; kind == rbacv1.UserKind || kind == rbacv1.GroupKind {
			setDefault(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

// validateBinding checks who gets which role. That names are given is declared in the API's types, and such checks come
// last.
func validateBinding(role *rbacv1.RoleRef, subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	at := field.NewPath("roleRef")
	errs := oneOf(role.APIGroup, at.Child("apiGroup"), rbacv1.GroupName)
	roles := []string{"ClusterRole"}
	if namespaced {
		roles = []string{"Role", "ClusterRole"}
	}
	errs = append(errs, oneOf(role.Kind, at.Child("kind"), roles...)...)
	if role.Name != "" {
		errs = append(errs, invalid(at.Child("name"), role.Name, path.IsValidPathSegmentName(role.Name))...)
	}
	var unnamed field.ErrorList
	for i := range subjects {
		subject := field.NewPath("subjects").Index(i)
		errs = append(errs, validateSubject(&subjects[i], namespaced, subject)...)
		unnamed = append(unnamed, required(subjects[i].Name, subject.Child("name"), "")...)
	}
	errs = append(errs, unnamed...)
	return append(errs, required(role.Name, at.Child("name"), "")...)
}

func validateSubject(s *rbacv1.Subject, namespaced bool, at *field.Path) (errs field.ErrorList) {
	name, group := at.Child("name"), at.Child("apiGroup")
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			errs = append(errs, invalid(name, s.Name, apivalidation.ValidateServiceAccountName(s.Name, false))...)
		}
		errs = append(errs, oneOf(s.APIGroup, group, "")...)
		if !namespaced {
			errs = append(errs, required(s.Namespace, at.Child("namespace"), "")...)
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		errs = append(errs, oneOf(s.APIGroup, group, rbacv1.GroupName)...)
	default:
		errs = append(errs, oneOf(s.Kind, at.Child("kind"), rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind)...)
	}
	return errs
}

// sameRole: a binding cannot get another role. Who may give somebody the one role may not be allowed to give the other.
func sameRole(role, old rbacv1.RoleRef) field.ErrorList {
	if equality.Semantic.DeepEqual(role, old) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), internalForm(role), apivalidation.FieldImmutableErrorMsg)}
}

func bindingColumns(kind, role string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		nameColumn(),
		column("Role", "string", role),
		ageColumn(),
		wideColumn("Users", "string", "Users in the "+kind),
		wideColumn("Groups", "string", "Groups in the "+kind),
		wideColumn("ServiceAccounts", "string", "ServiceAccounts in the "+kind),
	}
}

func bindingCells(b Object, role *rbacv1.RoleRef, subjects []rbacv1.Subject) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	return []any{b.GetName(), role.Kind + "/" + role.Name, age(b.GetCreationTimestamp()),
		strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", ")}
}
