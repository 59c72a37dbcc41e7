// Package podgc removes pods that nobody else will: those of nodes that are gone, those that were deleted before they had
// a node, those stuck on a node that a person has declared out of service, and, when there are very many, those that have
// finished.
//
// A kubelet confirms the end of its pods by deleting them for good. Where there is no kubelet any more, nobody would.
package podgc
