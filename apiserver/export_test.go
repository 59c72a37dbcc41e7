package apiserver

import "testing"

// CompactForTest forgets all revisions but the present one.
func CompactForTest(t testing.TB, s *Server) {
	t.Helper()
	if err := s.config.Store.Compact(t.Context(), s.config.Store.Revision()); err != nil {
		t.Fatal(err)
	}
}

// LoadedForTest says whether a core resource's objects are at hand decoded.
func LoadedForTest(s *Server, plural string) bool {
	return s.cache.loaded(s.storedResource("", plural))
}
