package kinds

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// customResourceDefinition is a kind that a user makes. Its schemas are checked by Kubernetes' own library; package custom
// makes a row of each version that it serves.
func customResourceDefinition() *Kind {
	return Row[*apiextensionsv1.CustomResourceDefinition]{
		Base: Kind{
			Group: apiextensionsv1.GroupName, Version: "v1", Kind: "CustomResourceDefinition", Plural: "customresourcedefinitions",
			Singular: "customresourcedefinition", ShortNames: []string{"crd", "crds"}, Categories: []string{"api-extensions"},
			// A definition goes last: what it defines must be deleted first, and only a served kind can be.
			HoldsDeletion:    func(object Object) bool { return object.GetDeletionTimestamp() == nil },
			PrepareForDelete: func(object Object) { terminateDefinition(object.(*apiextensionsv1.CustomResourceDefinition)) },
		},
		New:              func() *apiextensionsv1.CustomResourceDefinition { return &apiextensionsv1.CustomResourceDefinition{} },
		NewList:          func() runtime.Object { return &apiextensionsv1.CustomResourceDefinitionList{} },
		Default:          apiextensionsv1.SetObjectDefaults_CustomResourceDefinition,
		PrepareForCreate: prepareDefinition,
		PrepareForUpdate: func(d, old *apiextensionsv1.CustomResourceDefinition) {
			d.Status = *old.Status.DeepCopy()
			raiseGeneration(d, old, d.Spec, old.Spec)
			rememberStorageVersion(d)
		},
		Validate: func(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
			return checkDefinition(d, nil, func(ctx context.Context, d, _ *apiextensions.CustomResourceDefinition) field.ErrorList {
				return crdvalidation.ValidateCustomResourceDefinition(ctx, d)
			})
		},
		ValidateUpdate: func(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
			return checkDefinition(d, old, crdvalidation.ValidateCustomResourceDefinitionUpdate)
		},
		Warnings:      definitionWarnings,
		HasStatus:     true,
		PrepareStatus: func(d, old *apiextensionsv1.CustomResourceDefinition) { d.Spec = old.Spec },
		ValidateStatus: func(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
			return checkDefinition(d, old, crdvalidation.ValidateUpdateCustomResourceDefinitionStatus)
		},
		Columns: []metav1.TableColumnDefinition{
			nameColumn(),
			column("Scope", "string", "Cluster/Namespaced"),
			column("Versions", "string", "Served versions"),
			column("Created At", "date", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]),
			wideColumn("Group", "string", "API group"),
			wideColumn("Kind", "string", "CustomResource kind"),
			wideColumn("ShortNames", "string", "Short names"),
			wideColumn("Established", "boolean", "Established status"),
		},
		Cells: definitionCells,
	}.Kind()
}

func prepareDefinition(d *apiextensionsv1.CustomResourceDefinition) {
	d.Generation, d.Status = 1, apiextensionsv1.CustomResourceDefinitionStatus{}
	rememberStorageVersion(d)
}

// rememberStorageVersion keeps note of every version in which objects may have been stored.
func rememberStorageVersion(d *apiextensionsv1.CustomResourceDefinition) {
	for _, v := range d.Spec.Versions {
		if v.Storage && !slices.Contains(d.Status.StoredVersions, v.Name) {
			d.Status.StoredVersions = append(d.Status.StoredVersions, v.Name)
		}
	}
}

// terminateDefinition holds a definition that is being deleted until its objects are gone.
func terminateDefinition(d *apiextensionsv1.CustomResourceDefinition) {
	if !slices.Contains(d.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer) {
		d.Finalizers = append(d.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer)
	}
	apihelpers.SetCRDCondition(d, apiextensionsv1.CustomResourceDefinitionCondition{
		Type: apiextensionsv1.Terminating, Status: apiextensionsv1.ConditionTrue, Reason: "InstanceDeletionPending",
		Message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
	})
}

// checkDefinition runs one of the library's checks, which are written for the form that kube-apiserver keeps in memory. What
// they say of metadata is left out: the server checks that for every kind alike.
func checkDefinition(d, old *apiextensionsv1.CustomResourceDefinition,
	check func(ctx context.Context, d, old *apiextensions.CustomResourceDefinition) field.ErrorList) field.ErrorList {
	now, err := internalDefinition(d)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("spec"), err)}
	}
	var before *apiextensions.CustomResourceDefinition
	if old != nil {
		if before, err = internalDefinition(old); err != nil {
			return field.ErrorList{field.InternalError(field.NewPath("spec"), err)}
		}
	}
	errs := check(context.Background(), now, before)
	return slices.DeleteFunc(errs, func(err *field.Error) bool {
		// But a definition must be named after what it defines, and those of Kubernetes' own groups be approved.
		special := strings.Contains(err.Detail, "spec.names.plural") || strings.Contains(err.Field, apiextensionsv1.KubeAPIApprovedAnnotation)
		return strings.HasPrefix(err.Field, "metadata.") && !special
	})
}

func internalDefinition(d *apiextensionsv1.CustomResourceDefinition) (*apiextensions.CustomResourceDefinition, error) {
	internal := &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d.DeepCopy(), internal, nil); err != nil {
		return nil, fmt.Errorf("read definition %s: %w", d.Name, err)
	}
	return internal, nil
}

// definitionWarnings name what a schema says without effect. On an update, what it said before is not repeated.
func definitionWarnings(d, old *apiextensionsv1.CustomResourceDefinition) []string {
	warnings := schemaWarnings(d)
	if old == nil {
		return warnings
	}
	before := schemaWarnings(old)
	return slices.DeleteFunc(warnings, func(w string) bool { return slices.Contains(before, w) })
}

func schemaWarnings(d *apiextensionsv1.CustomResourceDefinition) []string {
	internal, err := internalDefinition(d)
	if err != nil {
		return nil
	}
	var formats, sets []string
	visit := func(s *apiextensions.JSONSchemaProps) bool {
		if s.Format != "" {
			formatted := &spec.Schema{SchemaProps: spec.SchemaProps{Format: s.Format, Type: []string{s.Type}}}
			for _, format := range schemavalidation.GetUnrecognizedFormats(formatted, environment.DefaultCompatibilityVersion()) {
				formats = append(formats, fmt.Sprintf("unrecognized format %q", format))
			}
		}
		if s.XListType != nil && *s.XListType == "set" && s.Items != nil && s.Items.Schema != nil {
			if typ := s.Items.Schema.Type; typ == "object" || typ == "array" {
				sets = append(sets, fmt.Sprintf("x-kubernetes-list-type: set for items of type %q is not supported by server-side apply or CEL validation rules", typ))
			}
		}
		return false // go on
	}
	// The internal form has what all versions share in one place.
	if internal.Spec.Validation != nil && internal.Spec.Validation.OpenAPIV3Schema != nil {
		crdvalidation.SchemaHas(internal.Spec.Validation.OpenAPIV3Schema, visit)
	}
	for _, v := range internal.Spec.Versions {
		if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			crdvalidation.SchemaHas(v.Schema.OpenAPIV3Schema, visit)
		}
	}
	slices.Sort(sets)
	return append(formats, slices.Compact(sets)...)
}

func definitionCells(d *apiextensionsv1.CustomResourceDefinition) []any {
	var versions []string
	for _, v := range d.Spec.Versions {
		switch {
		case v.Served && v.Storage:
			versions = append(versions, v.Name+"(storage)")
		case v.Served:
			versions = append(versions, v.Name)
		}
	}
	slices.Sort(versions)
	return []any{d.Name, string(d.Spec.Scope), strings.Join(versions, ","), createdAtCells(d)[1], d.Spec.Group, d.Spec.Names.Kind,
		strings.Join(d.Spec.Names.ShortNames, ","), apihelpers.IsCRDConditionTrue(d, apiextensionsv1.Established)}
}
