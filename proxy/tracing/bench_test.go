package tracing

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
)

// All calls for one session, as the proxy makes them; what is exported meanwhile is
// part of "sent" only.
func BenchmarkSession(b *testing.B) {
	s := newDiscarder(b)
	e := anEnding()
	for _, row := range []struct {
		name, parent string
		ratio        float64
		off, sent    bool
	}{
		{name: "off", off: true},
		{name: "not sampled", ratio: 0},
		{name: "not sampled by the client", parent: "00-" + clientTrace + "-" + clientSpan + "-00", ratio: 1},
		{name: "sampled", ratio: 1},
		{name: "sampled by the client", parent: clientParent},
		{name: "sampled and sent", ratio: 1, sent: true},
	} {
		b.Run(row.name, func(b *testing.B) {
			var tracer *Tracer
			if !row.off {
				var err error
				if tracer, err = New(s.URL, row.ratio, "", slog.New(slog.DiscardHandler)); err != nil {
					b.Fatal(err)
				}
				defer flush(b, tracer)
			}
			h := aHandshake()
			h.Traceparent, h.Tracestate = row.parent, ""
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				tr := tracer.Handshake(h)
				_, _ = tr.Header()
				tr = tr.Opened(noon)
				tr.Ended(noon, noon, "", e)
				if i%160 == 159 && tracer != nil { // before a batch is full
					if !row.sent {
						b.StopTimer()
					}
					if err := tracer.processor.ForceFlush(b.Context()); err != nil {
						b.Fatal(err)
					}
					if !row.sent {
						b.StartTimer()
					}
				}
			}
		})
	}
}

func newDiscarder(b *testing.B) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(s.Close)
	return s
}

// What a live session keeps.
func BenchmarkLive(b *testing.B) {
	s := newDiscarder(b)
	for name, ratio := range map[string]float64{"sampled": 1, "not sampled": 0} {
		b.Run(name, func(b *testing.B) {
			tracer, err := New(s.URL, ratio, "", slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			live := make([]*Trace, 0, 10_000)
			before := heap()
			for b.Loop() {
				live = live[:0]
				for range cap(live) {
					live = append(live, tracer.Handshake(Handshake{Began: noon}).Opened(noon))
				}
				flush(b, tracer)
			}
			b.ReportMetric(float64(heap()-before)/float64(len(live)), "B/session")
			runtime.KeepAlive(live)
		})
	}
}
