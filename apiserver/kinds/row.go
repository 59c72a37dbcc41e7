package kinds

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Row writes a Kind with functions over its own Go type. Base holds the names and switches; see Kind for what each
// function is for.
type Row[T Object] struct {
	Base Kind

	New     func() T
	NewList func() runtime.Object

	Default          func(object T)
	PrepareForCreate func(object T)
	SetCreator       func(object T, by user.Info)
	PrepareForUpdate func(object, old T)
	Validate         func(object T) field.ErrorList
	ValidateUpdate   func(object, old T) field.ErrorList
	// Warnings gets a nil old object on create.
	Warnings func(object, old T) []string

	PrepareStatus  func(object, old T)
	ValidateStatus func(object, old T) field.ErrorList
	HasStatus      bool

	Allocate func(ctx context.Context, cluster Cluster, object, old T) (release func(), err error)
	Grace    func(object T, asked *int64) int64
	Fields   func(object T) fields.Set
	Columns  []metav1.TableColumnDefinition
	Cells    func(object T) []any

	GetScale func(object T) (wanted, present int32, selector string)
	SetScale func(object T, wanted int32)
}

// Kind returns the row as the registry holds it.
func (r Row[T]) Kind() *Kind {
	k := r.Base
	k.New = func() Object { return r.New() }
	k.NewList = r.NewList
	k.Default = one(r.Default)
	k.PrepareForCreate = one(r.PrepareForCreate)
	if r.SetCreator != nil {
		k.SetCreator = func(object Object, by user.Info) { r.SetCreator(object.(T), by) }
	}
	k.PrepareForUpdate = two(r.PrepareForUpdate)
	k.Validate = check(r.Validate)
	k.ValidateUpdate = compare(r.ValidateUpdate)
	if r.Warnings != nil {
		k.Warnings = func(object, old Object) []string { return r.Warnings(object.(T), orZero[T](old)) }
	}
	if r.HasStatus {
		k.Status = &StatusSubresource{Prepare: two(r.PrepareStatus), Validate: compare(r.ValidateStatus)}
	}
	if r.Allocate != nil {
		k.Allocate = func(ctx context.Context, cluster Cluster, object, old Object) (func(), error) {
			return r.Allocate(ctx, cluster, orZero[T](object), orZero[T](old))
		}
	}
	if r.Grace != nil {
		k.Grace = func(object Object, asked *int64) int64 { return r.Grace(object.(T), asked) }
	}
	if r.Fields != nil {
		k.Fields = func(object Object) fields.Set { return r.Fields(object.(T)) }
	}
	k.Columns = r.Columns
	if r.Cells != nil {
		k.Cells = func(object Object) []any { return r.Cells(object.(T)) }
	}
	if r.GetScale != nil {
		k.Scale = &ScaleSubresource{
			Get: func(object Object) (int32, int32, string) { return r.GetScale(object.(T)) },
			Set: func(object Object, wanted int32) { r.SetScale(object.(T), wanted) },
		}
	}
	return &k
}

func orZero[T Object](object Object) T {
	typed, _ := object.(T)
	return typed
}

func one[T Object](f func(T)) func(Object) {
	if f == nil {
		return nil
	}
	return func(object Object) { f(object.(T)) }
}

func two[T Object](f func(T, T)) func(Object, Object) {
	if f == nil {
		return nil
	}
	return func(object, old Object) { f(object.(T), old.(T)) }
}

func check[T Object](f func(T) field.ErrorList) func(Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return func(object Object) field.ErrorList { return Distinct(f(object.(T))) }
}

func compare[T Object](f func(T, T) field.ErrorList) func(Object, Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return func(object, old Object) field.ErrorList { return Distinct(f(object.(T), old.(T))) }
}

// Distinct leaves out errors that say again what one before them said, as Kubernetes does.
func Distinct(errs field.ErrorList) field.ErrorList {
	if len(errs) < 2 {
		return errs
	}
	seen := make(map[string]bool, len(errs))
	kept := errs[:0]
	for _, err := range errs {
		if said := err.Error(); !seen[said] {
			seen[said] = true
			kept = append(kept, err)
		}
	}
	return kept
}
