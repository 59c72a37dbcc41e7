// Package serviceaccount sees to it that every namespace has a service account named default, which pods run under when
// they name none. Without it no pod can be created there.
//
// It watches namespaces and service accounts; a deleted default account comes back at once.
package serviceaccount
