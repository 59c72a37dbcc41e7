package store

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestDifference makes values out of others by what people and controllers do to objects, and wants them back.
func TestDifference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(random.IntN(4)) // few letters, so that parts of it are alike by chance
		}
		return data
	}
	for range 2000 {
		base := noise(random.IntN(5000))
		value := bytes.Clone(base)
		for range random.IntN(6) {
			at := random.IntN(len(value) + 1)
			end := min(len(value), at+random.IntN(40))
			value = append(append(bytes.Clone(value[:at]), noise(random.IntN(60))...), value[end:]...)
		}
		diff := difference(base, value)
		if diff == nil {
			continue
		}
		if got := patched(base, diff); !bytes.Equal(got, value) {
			t.Fatalf("a value of %d bytes came back as %d others", len(value), len(got))
		}
		if len(diff) > len(value)/2 {
			t.Fatalf("a difference of %d bytes for a value of %d", len(diff), len(value))
		}
	}
}

func TestDifferenceIsSmallWhenLittleChanged(t *testing.T) {
	for _, size := range []int{300, 3000, 300_000} {
		var base strings.Builder
		for i := range size / 30 {
			_, _ = base.WriteString(strings.Repeat(string(rune('a'+i%26)), 1+i%7))
			_, _ = base.WriteString(" is line " + string(rune('0'+i%10)) + string(rune('A'+i/10%50)) + string(rune('A'+i/500%50)) + " of it\n")
		}
		value := strings.Replace(base.String(), "of it", "of this", 1) + "and one more line"
		diff := difference([]byte(base.String()), []byte(value))
		if diff == nil || len(diff) > 40+len(value)/50 {
			t.Errorf("two changes of %d bytes took %d bytes", len(value), len(diff))
		}
	}
}

func TestNoDifferenceOfStrangers(t *testing.T) {
	one, other := bytes.Repeat([]byte("one thing"), 50), make([]byte, 400)
	for i := range other {
		other[i] = byte(i * i >> 3)
	}
	if diff := difference(one, other); diff != nil {
		t.Errorf("two values that share nothing: %d bytes kept instead of %d", len(diff), len(other))
	}
}

func BenchmarkDifference(b *testing.B) {
	base := make([]byte, 2500)
	for i := range base {
		base[i] = byte(rand.IntN(60))
	}
	value := append(append(bytes.Clone(base[:300]), "changed"...), base[310:1900]...)
	for b.Loop() {
		if difference(base, value) == nil {
			b.Fatal("nothing saved")
		}
	}
}
