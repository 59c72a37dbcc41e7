// Package custom serves kinds that users define. A CustomResourceDefinition says the names, the versions and the schemas of
// a kind; Rows turns it into rows of the same registry that holds Kubernetes' own kinds, and Definitions keeps the API
// server's rows in step with the definitions that are stored.
//
// A custom resource has no Go type: it is what its JSON says, pruned of what the schema does not know, with the schema's
// defaults filled in, and checked against the schema, its list types and its CEL rules. All four are Kubernetes' own
// libraries. In kube-apiserver this is the extension server, and its naming, establishing and finalizing controllers.
//
// Left out: conversion between versions by webhooks. All versions of a kind have the same content here, which is what the
// conversion strategy None means.
//
// Read rows.go (a definition as rows), content.go (what a row does with an object), check.go, scale.go, columns.go, ownership.go
// and openapi.go (what else a schema is good for), then definitions.go (the control loop), names.go and cleanup.go.
package custom
