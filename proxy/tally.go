package proxy

import (
	"sync/atomic"
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
)

// tally counts what the sessions of one policy do on one worker. Its loop alone
// writes, so that no processor waits for another's; anybody may read.
type tally struct {
	opened        atomic.Int64
	live          atomic.Int64
	subscriptions atomic.Int64
	flows         [2]struct{ messages, bytes atomic.Uint64 } // by dialects.Direction

	_ [72]byte // with the above, two cache lines
}

// flow is what has been received from a peer: whole messages, and bytes as they are
// on the wire.
type flow struct{ messages, bytes uint64 }

// direction is that of what the peer sends.
func (d *side) direction() dialects.Direction {
	if d.isClient() {
		return dialects.ClientToUpstream
	}
	return dialects.UpstreamToClient
}

// count counts bytes that have arrived, and the messages that have become complete
// since there were so many.
func (d *side) count(bytes int, messages uint64) {
	d.flow.bytes += uint64(bytes)
	total := &d.session.tally.flows[d.direction()]
	total.bytes.Add(uint64(bytes))
	if n := d.flow.messages - messages; n > 0 {
		total.messages.Add(n)
	}
}

// roundTrips are those of the pings that wswarden has sent to a peer.
type roundTrips struct {
	sent  policies.Moment // the ping that waits for its pong; 0: none does
	count uint32
	// In microseconds: a ping that takes an hour ends its session before.
	last, least, most uint32
	sum               uint64
}

// answered notes a pong, and returns how long it took; not ok: none was waited for.
func (r *roundTrips) answered(now policies.Moment) (took time.Duration, ok bool) {
	if r.sent == 0 {
		return 0, false
	}
	took = now - r.sent
	micros := uint32(max(1, took.Microseconds()))
	if r.count == 0 || micros < r.least {
		r.least = micros
	}
	r.last, r.most, r.sum = micros, max(r.most, micros), r.sum+uint64(micros)
	r.count++
	r.sent = 0
	return took, true
}

// latest returns the last round trip; zero: there was none.
func (r *roundTrips) latest() time.Duration { return time.Duration(r.last) * time.Microsecond }

func (r *roundTrips) mean() time.Duration {
	if r.count == 0 {
		return 0
	}
	return time.Duration(r.sum/uint64(r.count)) * time.Microsecond
}

// sums is what the tallies of a policy come to.
type sums struct {
	opened, live, subscriptions int64
	flows                       [2]flow
}

// sum adds up what a policy's sessions do on all workers.
func (k *kind) sum() (total sums) {
	for i := range k.tallies {
		t := &k.tallies[i]
		total.opened += t.opened.Load()
		total.live += t.live.Load()
		total.subscriptions += t.subscriptions.Load()
		for d := range t.flows {
			total.flows[d].messages += t.flows[d].messages.Load()
			total.flows[d].bytes += t.flows[d].bytes.Load()
		}
	}
	return total
}
