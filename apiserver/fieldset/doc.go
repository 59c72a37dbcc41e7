// Package fieldset finds out which fields of an object a write has changed, as paths: the raw material of
// metadata.managedFields, by which server-side apply knows who wants what.
//
// Two objects of one Go type are walked side by side. What is a field of its own, and what only counts as a whole, is a
// fact of the API: a list may be a map by a key of its items (containers by name), a set, or one value; so may maps and
// structures. These facts are in facts.txt, one line for each field that is not as its Go type suggests. Kubernetes keeps
// them in its OpenAPI documents, and k8s.io/client-go in a schema that takes a tenth of a second to read; a cluster that
// starts in less cannot wait for it. A test makes facts.txt from that schema, and another one compares results.
//
// Read shape.go (what a type is made of), then compare.go (the walk).
package fieldset
