package custom

import (
	"fmt"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"kubette/apiserver/kinds"
)

// Rows returns a row for each version that a definition serves. The first one stores the objects; the others show them.
func Rows(definition *apiextensionsv1.CustomResourceDefinition) ([]*kinds.Kind, error) {
	if err := convertible(definition); err != nil {
		return nil, err
	}
	versions, err := readVersions(definition)
	if err != nil {
		return nil, err
	}
	rows := make([]*kinds.Kind, 0, len(versions))
	for i, v := range versions {
		row, err := v.row()
		if err != nil {
			return nil, fmt.Errorf("version %s of %s: %w", v.name, definition.Name, err)
		}
		if i > 0 {
			row.Storage = &schema.GroupKind{Group: v.group, Kind: v.names.Kind}
			row.ToStorage = versions[0].show
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// convertible refuses what would need a webhook.
func convertible(d *apiextensionsv1.CustomResourceDefinition) error {
	if c := d.Spec.Conversion; c != nil && c.Strategy == apiextensionsv1.WebhookConverter && len(d.Spec.Versions) > 1 {
		return fmt.Errorf("kubette converts custom resources between versions with the strategy None only, not by calling a webhook")
	}
	return nil
}

// version is one version of a definition, ready to be asked about objects.
type version struct {
	group, name string
	names       apiextensionsv1.CustomResourceDefinitionNames
	namespaced  bool
	deprecation string // the warning that the version is answered with; "" for none

	keepUnknown  bool
	structural   *structuralschema.Structural
	schema       schemavalidation.SchemaValidator
	statusSchema schemavalidation.SchemaValidator
	rules        *cel.Validator
	hasStatus    bool
	scale        *apiextensionsv1.CustomResourceSubresourceScale
	columns      []apiextensionsv1.CustomResourceColumnDefinition
	selectable   []apiextensionsv1.SelectableField
}

// readVersions reads the served versions, the stored one first. A definition that serves none is read in its stored version,
// so that what is left of it can be deleted.
func readVersions(d *apiextensionsv1.CustomResourceDefinition) ([]*version, error) {
	internal := &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(d.DeepCopy(), internal, nil); err != nil {
		return nil, fmt.Errorf("read definition %s: %w", d.Name, err)
	}
	var stored, served []*version
	none := !apihelpers.HasServedCRDVersion(d, storedVersion(d)) && len(servedVersions(d)) == 0
	for i := range d.Spec.Versions {
		v := &d.Spec.Versions[i]
		if !v.Served && !(none && v.Storage) {
			continue
		}
		read, err := readVersion(d, internal, v)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read version %s of %s: %w", v.Name, d.Name, err)
		case v.Storage:
			stored = append(stored, read)
		default:
			served = append(served, read)
		}
	}
	return append(stored, served...), nil
}

func storedVersion(d *apiextensionsv1.CustomResourceDefinition) string {
	name, err := apihelpers.GetCRDStorageVersion(d)
	if err != nil {
		return "" // a definition without one is never stored
	}
	return name
}

func servedVersions(d *apiextensionsv1.CustomResourceDefinition) (names []string) {
	for _, v := range d.Spec.Versions {
		if v.Served {
			names = append(names, v.Name)
		}
	}
	return names
}

func readVersion(d *apiextensionsv1.CustomResourceDefinition, internal *apiextensions.CustomResourceDefinition, v *apiextensionsv1.CustomResourceDefinitionVersion) (*version, error) {
	read := &version{
		group: d.Spec.Group, name: v.Name, names: acceptedNames(d), namespaced: d.Spec.Scope == apiextensionsv1.NamespaceScoped,
		deprecation: deprecation(d, v), keepUnknown: d.Spec.PreserveUnknownFields, columns: v.AdditionalPrinterColumns,
		selectable: v.SelectableFields,
	}
	if s := v.Subresources; s != nil {
		read.hasStatus, read.scale = s.Status != nil, s.Scale
	}
	validation, err := apiextensions.GetSchemaForVersion(internal, v.Name)
	if err != nil {
		return nil, err
	}
	if validation == nil || validation.OpenAPIV3Schema == nil {
		return nil, fmt.Errorf("it has no schema")
	}
	if read.structural, err = structuralschema.NewStructural(validation.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	if read.schema, _, err = schemavalidation.NewSchemaValidator(validation.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	if status, ok := validation.OpenAPIV3Schema.Properties["status"]; ok && read.hasStatus {
		if read.statusSchema, _, err = schemavalidation.NewSchemaValidator(&status); err != nil {
			return nil, err
		}
	}
	read.rules = cel.NewValidator(read.structural, true, celconfig.PerCallLimit)
	return read, nil
}

// acceptedNames are the names that are served: those that nobody had before.
func acceptedNames(d *apiextensionsv1.CustomResourceDefinition) apiextensionsv1.CustomResourceDefinitionNames {
	if d.Status.AcceptedNames.Plural != "" {
		return d.Status.AcceptedNames
	}
	return d.Spec.Names
}

func deprecation(d *apiextensionsv1.CustomResourceDefinition, v *apiextensionsv1.CustomResourceDefinitionVersion) string {
	switch {
	case !v.Deprecated:
		return ""
	case v.DeprecationWarning != nil:
		return *v.DeprecationWarning
	}
	return fmt.Sprintf("%s/%s %s is deprecated", d.Spec.Group, v.Name, acceptedNames(d).Kind)
}

// row is the version as the registry holds it.
func (v *version) row() (*kinds.Kind, error) {
	columns, cells, err := v.table()
	if err != nil {
		return nil, err
	}
	row := &kinds.Kind{
		Group: v.group, Version: v.name, Kind: v.names.Kind, Plural: v.names.Plural, Singular: v.names.Singular,
		ShortNames: v.names.ShortNames, Categories: v.names.Categories, Namespaced: v.namespaced, Deprecation: v.deprecation,
		Verbs:   []string{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}, // as Kubernetes lists them
		New:     func() kinds.Object { return v.empty() },
		NewList: v.emptyList,

		Prune: v.prune, Default: v.fillIn, FromStorage: v.show, Structure: v.structure(), Schema: v.describe,
		PrepareForCreate: v.prepareForCreate, PrepareForUpdate: v.prepareForUpdate,
		Validate: v.validate, ValidateUpdate: v.validateUpdate, Warnings: warnings,
		Columns: columns, Cells: cells,
	}
	if v.hasStatus {
		row.Status = &kinds.StatusSubresource{Prepare: prepareStatus, Validate: v.validateStatus}
	}
	if v.scale != nil {
		row.Scale = &kinds.ScaleSubresource{Get: v.getScale, Set: v.setScale}
	}
	if len(v.selectable) > 0 {
		row.Fields, row.FieldNames, err = v.fields()
	}
	return row, err
}

func (v *version) apiVersion() string { return v.group + "/" + v.name }

func (v *version) empty() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": v.apiVersion(), "kind": v.names.Kind}}
}

func (v *version) emptyList() runtime.Object {
	return &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": v.apiVersion(), "kind": v.names.ListKind}}
}

// show returns an object as this version: the same but for its apiVersion. Objects are shared, so this is a copy.
func (v *version) show(object kinds.Object) (kinds.Object, error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("%T is not a custom resource", object)
	}
	if u.GetAPIVersion() == v.apiVersion() {
		return u, nil
	}
	shown := make(map[string]any, len(u.Object))
	for key, value := range u.Object {
		shown[key] = value
	}
	shown["apiVersion"] = v.apiVersion()
	return &unstructured.Unstructured{Object: shown}, nil
}

// segments are the fields that a simple JSON path such as .spec.replicas goes through.
func segments(path string) []string { return strings.Split(strings.TrimPrefix(path, "."), ".") }
