package store

import "context"

type causeKey struct{}

// CommandCause begins the cause of a user's write that belongs to a command somebody follows: "command/" and the command's
// identifier (`kubette trace -- COMMAND`).
const CommandCause = "command/"

// WithCause attaches to a context what leads to the writes made under it: for a control loop, the identifier of the
// trace record of the reconciliation under way ("replicaset-controller/1234"); for a user, the request. The store keeps
// it with each write, and so one can follow a chain of causes back to its beginning.
func WithCause(ctx context.Context, cause string) context.Context {
	return context.WithValue(ctx, causeKey{}, cause)
}

// CauseFrom returns the cause attached to a context, or "".
func CauseFrom(ctx context.Context) string {
	cause, _ := ctx.Value(causeKey{}).(string)
	return cause
}
