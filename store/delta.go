package store

import "encoding/binary"

// A replaced value is kept as what must be done to its successor to get it back: copy this part, insert those bytes. The
// versions of one object are nearly the same (a pod that becomes ready differs from the one before in its status), so
// the difference takes a tenth of the value. etcd keeps every version whole, but on disk.
//
// A difference is a sequence of: how many bytes to insert, the bytes, how many to copy, and from where. Numbers are
// uvarints.

const (
	// window is the shortest part worth copying, and what both values are compared by.
	window = 8
	// landmarkBits is the length of a landmark's hash, by which windows of the base are remembered, whatever its size.
	landmarkBits = 12
	landmarks    = 1 << landmarkBits
)

// places remembers where in a base windows are, one more than the place, by their hash.
type places [landmarks]int32

// difference returns what makes a value out of a base; nil when that would not save half of it.
func difference(base, value []byte) []byte {
	if len(base) < window || len(value)/2 < window {
		return nil
	}
	var p places
	p.add(base, 0)
	return p.difference(base, value)
}

// add remembers the windows of a base from a place on.
func (p *places) add(base []byte, from int) {
	stride := 1 + (len(base)-from)*2/landmarks
	for at := from; at+window <= len(base); at += stride {
		p[landmark(base[at:])] = int32(at + 1)
	}
}

// difference returns what makes a value out of the base whose places these are; nil when that would not save half of it.
func (p *places) difference(base, value []byte) []byte {
	limit := len(value) / 2
	var small [1024]byte // on the stack: most differences fit, and what is kept is a copy
	diff := small[:0]
	done := 0 // so much of the value is in the difference
	for at := 0; at+window <= len(value); {
		from := int(p[landmark(value[at:])]) - 1
		if from < 0 {
			at++
			continue
		}
		start, length := overlap(base, value[done:], from, at-done)
		if length < window {
			at++
			continue
		}
		at += length - (from - start)
		diff = step(diff, value[done:at-length], start, length)
		if done = at; len(diff) > limit {
			return nil
		}
	}
	if diff = step(diff, value[done:], 0, 0); len(diff) > limit {
		return nil
	}
	return append(make([]byte, 0, len(diff)), diff...)
}

// landmark is the hash of the window that begins here.
func landmark(data []byte) uint64 {
	const golden = 0x9E3779B97F4A7C15 // spreads neighbours: Knuth's multiplicative hash
	return binary.LittleEndian.Uint64(data) * golden >> (64 - landmarkBits)
}

// overlap is the longest part that base and value have in common around two places: its start in the base, and its length.
func overlap(base, value []byte, from, at int) (start, length int) {
	end := 0
	for from+end < len(base) && at+end < len(value) && base[from+end] == value[at+end] {
		end++
	}
	if end == 0 {
		return from, 0
	}
	begin := 0
	for from-begin > 0 && at-begin > 0 && base[from-begin-1] == value[at-begin-1] {
		begin++
	}
	return from - begin, begin + end
}

func step(diff, insert []byte, start, length int) []byte {
	diff = binary.AppendUvarint(diff, uint64(len(insert)))
	diff = append(diff, insert...)
	diff = binary.AppendUvarint(diff, uint64(length))
	return binary.AppendUvarint(diff, uint64(start))
}

// patched returns the value that a difference makes out of its base.
func patched(base, diff []byte) []byte {
	value := make([]byte, 0, len(base)+len(diff))
	number := func() int {
		n, size := binary.Uvarint(diff)
		diff = diff[size:]
		return int(n)
	}
	for len(diff) > 0 {
		insert := number()
		value, diff = append(value, diff[:insert]...), diff[insert:]
		length := number()
		start := number()
		value = append(value, base[start:start+length]...)
	}
	return value
}
