// Package tainteviction takes pods off nodes that are tainted against them.
//
// A taint with the effect NoExecute drives out every pod that does not tolerate it: at once, or after the
// tolerationSeconds of the pod's toleration. Every pod tolerates node.kubernetes.io/not-ready and unreachable for 300
// seconds, unless it says otherwise; that is why it takes five minutes until the pods of a dead node are replaced.
//
// It watches nodes and pods.
package tainteviction
