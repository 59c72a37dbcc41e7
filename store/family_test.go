package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// relative is a value of one of several kinds, which has much in common with those of its kind.
func relative(random *rand.Rand, n int) string {
	kind := string(rune('a' + random.IntN(7)))
	return fmt.Sprintf("%s %d %s %x %s", strings.Repeat("this is of kind "+kind+", ", 9), n, strings.Repeat(kind+" ends ", 12), random.Uint64(), kind)
}

// TestFamilies writes many values that are alike, of which some are replaced and some deleted, early or late, and wants
// each back as it was, by every way of reading.
func TestFamilies(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	m := NewMemory()
	want := map[int64]string{} // by revision
	now := map[string]*Entry{}
	write := func(key, value string) {
		w := Write{Key: key, Value: []byte(value), Delete: value == ""}
		if current := now[key]; current != nil {
			w.Expected = current.Revision
		}
		entry, err := m.Write(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if want[entry.Revision], now[key] = value, entry; entry.Deleted {
			delete(now, key)
		}
	}
	for n := range 5 * unsettled {
		number := random.IntN(2 * unsettled)
		key := fmt.Sprintf("/registry/group/%d/key%d", number%3, number)
		if _, ok := now[key]; ok && random.IntN(8) == 0 {
			write(key, "")
			continue
		}
		write(key, relative(random, n))
	}
	checkAll(t, m, now, want)
	if err := m.Compact(t.Context(), m.Revision()-unsettled/2); err != nil {
		t.Fatal(err)
	}
	checkAll(t, m, now, want)

	var kept, whole int
	m.keys.Ascend(func(v *versions) bool {
		if entry := v.entries[0]; entry.Revision <= m.revision-unsettled {
			kept += len(entry.value)
			whole += len(want[entry.Revision])
		}
		return true
	})
	if kept > whole/3 {
		t.Errorf("of %d bytes %d are kept", whole, kept)
	}
}

func checkAll(t *testing.T, m *Memory, now map[string]*Entry, want map[int64]string) {
	t.Helper()
	page, err := m.List(t.Context(), "", ListOptions{})
	if err != nil || len(page.Entries) != len(now) {
		t.Fatalf("%d entries instead of %d, %v", len(page.Entries), len(now), err)
	}
	for _, entry := range page.Entries {
		if string(entry.Value()) != want[entry.Revision] || string(now[entry.Key].Value()) != want[entry.Revision] {
			t.Fatalf("%s is %q, want %q", entry.Key, entry.Value(), want[entry.Revision])
		}
		history, err := m.History(t.Context(), entry.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range history {
			if string(old.Value()) != want[old.Revision] {
				t.Fatalf("%s was %q at %d, want %q", old.Key, old.Value(), old.Revision, want[old.Revision])
			}
		}
	}
	watcher, err := m.Watch("", m.CompactedRevision())
	if err != nil {
		t.Fatal(err)
	}
	for at := m.CompactedRevision(); at < m.Revision(); {
		events, err := watcher.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if at = e.Revision; string(e.Value()) != want[at] || e.Previous != nil && string(e.Previous.Value()) != want[e.Previous.Revision] {
				t.Fatalf("event %d of %s: %q, want %q", at, e.Key, e.Value(), want[at])
			}
		}
	}
}
