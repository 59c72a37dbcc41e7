package kinds

import (
	"k8s.io/apimachinery/pkg/api/equality"
)

// raiseGeneration counts a change of what the user wants, so that controllers can say up to which wish they have acted
// (status.observedGeneration).
func raiseGeneration(object, old Object, wanted, before any) {
	if !equality.Semantic.DeepEqual(wanted, before) {
		object.SetGeneration(old.GetGeneration() + 1)
	}
}
