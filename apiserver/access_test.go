package apiserver_test

import (
	"context"

	"kubette/apiserver"
)

// readers lets everybody read, and create namespaces.
type readers struct{}

func (readers) Authorize(_ context.Context, a apiserver.Attributes) (bool, string, error) {
	if a.Verb == "list" || a.Verb == "get" || a.Verb == "watch" || a.Resource == "namespaces" {
		return true, "", nil
	}
	return false, "only reading", nil
}

// reviewers lets everybody read and ask.
type reviewers struct{}

func (reviewers) Authorize(ctx context.Context, a apiserver.Attributes) (bool, string, error) {
	if a.Verb == "create" {
		return true, "", nil
	}
	return readers{}.Authorize(ctx, a)
}
