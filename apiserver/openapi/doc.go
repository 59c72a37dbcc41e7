// Package openapi describes the API in OpenAPI: what `kubectl explain` prints, and what clients learn the fields of a
// kind from. In Kubernetes the descriptions are generated Go code; here they are made when first asked for, from the Go
// types by reflection: names and types of fields from the types themselves, words from their SwaggerDoc methods, and the
// rest (enumerations, kinds of lists, defaults) from markers.json, which a small program reads from the types' comments.
//
// Read schema.go (a type's schema), custom.go (a custom resource's), markers.go, then document.go (paths and documents, in versions 2 and 3).
package openapi

//go:generate go run ./generate
