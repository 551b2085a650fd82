package admin

import (
	"net/http"
	"slices"
	"testing"

	"wswarden/proxy/admin/api"
)

func benchmark(b *testing.B, n int, order func(a, b api.Session) int, path string, header ...string) {
	f := &fake{sessions: sessions(n)}
	slices.SortFunc(f.sessions, order)
	w := start(b, f)
	r, _ := http.NewRequest("GET", "http://localhost"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	b.ReportAllocs()
	for b.Loop() {
		w.admin.http.Handler.ServeHTTP(discard{}, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/session")
}

func byID(a, b api.Session) int { return api.Sort("").Compare(&a, &b) }

func worst(a, b api.Session) int { return -api.Sort("bytes").Compare(&a, &b) }

// BenchmarkPage is of 1,000 out of 100,000 sessions.
func BenchmarkPage(b *testing.B) {
	b.Run("sorted by id", func(b *testing.B) { benchmark(b, 100_000, byID, "/v1/sessions?limit=1000") })
	b.Run("in no order", func(b *testing.B) { benchmark(b, 100_000, byID, "/v1/sessions?limit=1000&sort=bytes") })
	b.Run("in the worst", func(b *testing.B) { benchmark(b, 100_000, worst, "/v1/sessions?limit=1000&sort=bytes") })
}

func BenchmarkStream(b *testing.B) {
	benchmark(b, 100_000, byID, "/v1/sessions", "Accept", ndjson)
}
