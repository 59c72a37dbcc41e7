package store

// Objects of one kind are much alike: the pods of a Deployment differ in their names, addresses and times, the events
// about them say the same of each. What a value has in common with others is kept once, for a family: what was written
// some time ago and may stay for long is a difference from that. etcd keeps every value whole, but on disk.

const (
	// unsettled is how many writes an entry is left as it was written. Most are soon replaced: a new pod three times.
	unsettled = 2000
	// lore bounds what a family has in common, in bytes.
	lore = 32 << 10
)

// familyOf says to which family a key belongs: that of its resource, which its first three parts name.
func familyOf(key string) string {
	parts := 0
	for i := range len(key) {
		if key[i] == '/' {
			if parts++; parts == 4 {
				return key[:i]
			}
		}
	}
	return ""
}

// family is the values of one kind: what they have in common, and where in it windows are.
type family struct {
	common *common
	places *places
}

// common is what the values of a family have in common: some of them, one after the other. It never changes; when a value
// is added to it there is another one, which begins as this one does.
type common struct{ data []byte }

// Value implements base.
func (c *common) Value() []byte { return c.data }

// pack returns a value as a difference from what its family has in common; without a base when it has too little of it. A
// value that is unlike those before is added to what they have in common.
func (f *family) pack(value []byte) ([]byte, base) {
	if len(value) > lore/4 {
		return value, nil
	}
	if f.common == nil {
		f.common = &common{data: value}
		return value, nil
	}
	if f.places == nil {
		f.places = &places{}
		f.places.add(f.common.data, 0)
	}
	diff := f.places.difference(f.common.data, value)
	if diff != nil && len(diff) <= len(value)*2/5 {
		return diff, f.common
	}
	from := len(f.common.data)
	if from+len(value) > lore {
		if diff != nil {
			return diff, f.common
		}
		*f = family{common: &common{data: value}}
		return value, nil
	}
	f.common = &common{data: append(f.common.data, value...)}
	f.places.add(f.common.data, from)
	return step(nil, nil, from, len(value)), f.common
}
