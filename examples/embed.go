// Package examples holds the manifests that students apply, so that `kubette demo` has them wherever it is started.
package examples

import "embed"

// Course is the course's application: one folder, a file for each object.
//
//go:embed course/*.yaml
var Course embed.FS
