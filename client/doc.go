// Package client is how every component talks to the API: the part that client-go plays in Kubernetes.
//
// Interface holds the verbs. InProcess carries them to an API server in the same process, through the same chain as an
// HTTP request (authentication has happened when the client was made; authorization, admission, validation and the store
// follow), and skips only the encoding. Remote carries them over HTTP.
//
// On top stand two small conveniences: Of gives the verbs of one Go type, Informers keep local copies of what a component
// watches. Objects that come out of either are shared with everybody: copy (DeepCopy) before you change one.
package client
