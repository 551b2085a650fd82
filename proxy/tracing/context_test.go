package tracing

import (
	"encoding/hex"
	"strings"
	"testing"
)

func hexOf(raw []byte) string { return hex.EncodeToString(raw) }

// What a client's headers make of a trace: whose id it has, whether it is sampled, and
// what upstream is told.
func TestContexts(t *testing.T) {
	const own = "an id of its own"
	id := clientTrace + "-" + clientSpan
	for _, row := range []struct {
		name          string
		parent, state string
		ratio         float64
		trace         string // its id
		flags         string
		wantState     string
		traced        bool
	}{
		{"none", "", "", 1, own, "01", "", true},
		{"none, and none is wanted", "", "", 0, own, "00", "", false},
		{"sampled", "00-" + id + "-01", "a=b", 1, clientTrace, "01", "a=b", true},
		{"sampled, against the ratio", "00-" + id + "-01", "a=b", 0, clientTrace, "01", "a=b", true},
		{"sampled, with a random id", "00-" + id + "-03", "", 1, clientTrace, "03", "", true},
		{"not sampled, against the ratio", "00-" + id + "-00", "a=b", 1, clientTrace, "00", "a=b", false},
		{"not sampled, with a random id", "00-" + id + "-02", "a=b", 1, clientTrace, "02", "a=b", false},
		{"of a later version", "01-" + id + "-01-more", "a=b", 1, clientTrace, "01", "a=b", true},
		{"with space around it", " 00-" + id + "-01\t", "", 1, clientTrace, "01", "", true},

		// malformed: a new trace begins, without the state of the other one
		{"half", "00-" + clientTrace, "a=b", 1, own, "01", "", true},
		{"with more behind it", "00-" + id + "-01-more", "a=b", 1, own, "01", "", true},
		{"in capitals", "00-" + strings.ToUpper(id) + "-01", "a=b", 1, own, "01", "", true},
		{"of version ff", "ff-" + id + "-01", "a=b", 1, own, "01", "", true},
		{"of trace 0", "00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01", "a=b", 1, own, "01", "", true},
		{"of span 0", "00-" + clientTrace + "-" + strings.Repeat("0", 16) + "-01", "a=b", 1, own, "01", "", true},
		{"twice", "00-" + id + "-01,00-" + id + "-01", "a=b", 1, own, "01", "", true},
		{"other text", "x", "a=b", 1, own, "01", "", true},
		{"a state alone", "", "a=b", 1, own, "01", "", true},
		{"malformed, and none is wanted", "x", "a=b", 0, own, "00", "", false},

		// states
		{"several lines", "00-" + id + "-01", "a=b, c=d,,\te@f=g ", 1, clientTrace, "01", "a=b,c=d,e@f=g", true},
		{"malformed state", "00-" + id + "-01", "a=b,C=d", 1, clientTrace, "01", "", true},
		{"state twice", "00-" + id + "-01", "a=b,a=c", 1, clientTrace, "01", "", true},
		{"long member", "00-" + id + "-01", "a=b,c=" + strings.Repeat("d", 250) + ",e=" + strings.Repeat("f", 250) + ",g=h", 1, clientTrace, "01",
			"a=b,g=h", true},
		{"many members", "00-" + id + "-01", "a=" + strings.Repeat("1", 120) + ",b=" + strings.Repeat("2", 120) + ",c=" + strings.Repeat("3", 120) +
			",d=" + strings.Repeat("4", 120) + ",e=" + strings.Repeat("5", 120), 1, clientTrace, "01",
			"a=" + strings.Repeat("1", 120) + ",b=" + strings.Repeat("2", 120) + ",c=" + strings.Repeat("3", 120) + ",d=" + strings.Repeat("4", 120), true},
		{"one member that is too long", "00-" + id + "-00", "a=" + strings.Repeat("b", 600), 1, clientTrace, "00", "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var parent, state string
			c := traced(t, row.ratio, func(tracer *Tracer) {
				tr := tracer.Handshake(Handshake{Traceparent: row.parent, Tracestate: row.state, Began: noon})
				parent, state = tr.Header()
				tr = tr.Opened(noon)
				tr.Ended(noon, noon, "", anEnding())
			})
			parts := strings.Split(parent, "-")
			if len(parts) != 4 || parts[0] != "00" || parts[3] != row.flags || state != row.wantState {
				t.Fatalf("upstream gets %q and %q", parent, state)
			}
			if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" || (parts[1] == clientTrace) != (row.trace == clientTrace) {
				t.Errorf("upstream gets %q", parent)
			}
			if !row.traced {
				if c.count() != 0 {
					t.Errorf("%d spans", c.count())
				}
				if row.trace == clientTrace && parts[2] != clientSpan {
					t.Errorf("upstream gets %q: a span that nobody has", parent)
				}
				return
			}
			handshake := c.span(t, "handshake")
			if hexOf(handshake.TraceId) != parts[1] || hexOf(handshake.SpanId) != parts[2] || c.count() != 3 {
				t.Errorf("%d spans; upstream gets %q, the handshake is %x of %x", c.count(), parent, handshake.SpanId, handshake.TraceId)
			}
			wantParent := ""
			if row.trace == clientTrace {
				wantParent = clientSpan
			}
			if got := hexOf(handshake.ParentSpanId); got != wantParent {
				t.Errorf("the handshake is below %s, want %s", got, wantParent)
			}
		})
	}
}

// Of those who have not decided, about the ratio is traced: the odds against this
// test's bounds are a million to one.
func TestRatio(t *testing.T) {
	const all = 2000
	c := traced(t, 0.25, func(tracer *Tracer) {
		for range all {
			tracer.Handshake(Handshake{Began: noon}).Opened(noon)
		}
	})
	if n := c.count(); n < 400 || n > 600 {
		t.Errorf("%d of %d are traced", n, all)
	}
}
