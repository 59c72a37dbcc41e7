package explain

import (
	"strings"
	"time"
)

// Missing says of an object that does not exist what is known instead: that it was deleted, that there is one of that name
// in another namespace, or one of nearly that name.
func (s *Snapshot) Missing(ref Ref, writes []Write, language string) string {
	hint := ""
	switch near, elsewhere := s.similar(ref); {
	case len(writes) > 0 && writes[len(writes)-1].Deleted:
		last := writes[len(writes)-1]
		hint = Text(language, "word.goneHint.was", map[string]any{"time": last.Time.Local().Format(time.DateTime), "who": last.Who})
	case elsewhere != "":
		hint = Text(language, "word.goneHint.elsewhere", map[string]any{"other": elsewhere})
	case near != "":
		hint = Text(language, "word.goneHint.near", map[string]any{"near": near})
	}
	return Text(language, "word.gone", map[string]any{"object": ref.Short(), "hint": hint})
}

// similar looks for the object's name in other namespaces, and for names like it in its own.
func (s *Snapshot) similar(ref Ref) (near, elsewhere string) {
	var there, others []string
	for key, object := range s.byName {
		if !strings.EqualFold(refOf(object).Kind, ref.Kind) {
			continue
		}
		switch {
		case key.namespace == ref.Namespace:
			there = append(there, key.name)
		case key.name == ref.Name:
			others = append(others, key.namespace)
		}
	}
	return nearest(ref.Name, there), strings.Join(others, ", ")
}
