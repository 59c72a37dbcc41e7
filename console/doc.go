// Package console is the cluster in the browser: what is wanted, what is there, who acts, and why.
//
// The server side is small, because the cluster itself holds everything worth showing. It has three parts.
//
//   - The door. The console listens on the loopback address only, and who comes in is the administrator; so it must be sure
//     that it is the user who comes in, and not a page of somebody else's that happens to be open in the same browser. A link
//     with a one-time key, which `kubette up` and `kubette status` print, becomes a session cookie that scripts cannot read.
//     Requests must name this machine in their Host header (or a name that an attacker points at 127.0.0.1 would do), and
//     writes and WebSockets must come from the console's own pages.
//   - The Kubernetes API, passed through as it is to the API server in the same process.
//   - The feed: the store's log, in the order of its revisions, over one WebSocket. A browser opens six connections to one
//     origin, shared by all its tabs, so a watch for each of a dozen resources would block it. And the log has what watches
//     have not: who wrote, what caused it, and one order for all resources, so that what a page shows is the cluster at one
//     revision, never a mixture of several.
//
// The browser side, in web/, is plain HTML, CSS and ES modules: no build step and nothing of anybody else's. It keeps a copy of
// the objects, to which it applies the feed. The past is the same copy with other objects in it: those that differ between
// two revisions, which the server tells.
//
// Reading order: server.go, door.go, files.go, api.go, entry.go, feed.go, past.go, log.go, apply.go, visit.go.
package console
