package controllers

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/dump"
	"k8s.io/apimachinery/pkg/util/rand"
)

// ComputeHash is the pod-template-hash of a template: the same as Kubernetes computes, so that a ReplicaSet has the same
// name here and there. The collision count is raised when two templates give the same hash.
func ComputeHash(template *corev1.PodTemplateSpec, collisionCount *int32) string {
	hasher := fnv.New32a()
	fmt.Fprintf(hasher, "%v", dump.ForHash(*received(template)))
	if collisionCount != nil {
		bytes := make([]byte, 8) // four of them stay zero, in Kubernetes too
		binary.LittleEndian.PutUint32(bytes, uint32(*collisionCount))
		_, _ = hasher.Write(bytes) // a hash never fails
	}
	return rand.SafeEncodeString(fmt.Sprint(hasher.Sum32()))
}

// received is a template as Kubernetes' controllers get it, over the wire: there "env: []" is the same as no env, for
// the hash they differ.
func received(template *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	data, err := template.Marshal()
	decoded := &corev1.PodTemplateSpec{}
	if err != nil || decoded.Unmarshal(data) != nil {
		return template // never: what the API stores can be encoded
	}
	return decoded
}
