package custom

import (
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	openapiv2 "k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// describe returns the version's schema for OpenAPI: what `kubectl explain` prints. Version 2 cannot say everything; what it
// cannot is left out.
func (v *version) describe(v2 bool) *spec.Schema {
	switch {
	case !v2:
		return v.structural.ToKubeOpenAPI()
	case v.keepUnknown:
		return (&structuralschema.Structural{
			Generic: structuralschema.Generic{Type: "object"}, Extensions: structuralschema.Extensions{XPreserveUnknownFields: true},
		}).ToKubeOpenAPI()
	}
	return openapiv2.ToStructuralOpenAPIV2(v.structural).ToKubeOpenAPI()
}
