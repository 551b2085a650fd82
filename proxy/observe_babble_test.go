package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// babble is what a peer may send: mostly frames, of which few are as they should be.
func babble(r *rand.Rand, masked bool, size int, garbage float64) []byte {
	var out bytes.Buffer
	d := newDeflater()
	said := []string{
		subscribe(`"a1"`), subscribe(`"b"`), unsubscribe(`"a1"`), identify("me"), identify("you"), `{"type":"a","type":"b"}`, `{"cut`,
		"\xff\xfe", strings.Repeat("long ", 1000), `{"type":"SUBSCRIBED","payload":{"pnr":"a1"}}`, "",
	}
	for out.Len() < size {
		what := said[r.IntN(len(said))]
		switch n := r.Float64(); {
		case n < garbage:
			b := make([]byte, r.IntN(200))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			out.Write(b)
		case n < garbage+0.01:
			out.Write(encode(masked, closing, []string{"", "\x03\xe8", "\x03", "\x03\xe8\xff", "\x00\x00"}[r.IntN(5)]))
		case n < 0.3:
			out.Write(encode(masked, text, what))
		case n < 0.5:
			out.Write(encode(masked, text|0x40, d.message(what)))
		case n < 0.55:
			out.Write(encode(masked, text|0x40, what)) // no deflate
		case n < 0.6:
			out.Write(encode(masked, []byte{ping, pong}[r.IntN(2)], what[:min(len(what), 100)]))
		case n < 0.65:
			out.Write(encode(masked, 0x82, strings.Repeat("b", r.IntN(100_000))))
		default:
			first := []byte{text, text | 0x40}[r.IntN(2)] &^ 0x80
			if first&0x40 != 0 {
				what = d.message(what)
			}
			cut := r.IntN(len(what) + 1)
			out.Write(encode(masked, first, what[:cut]))
			if r.IntN(2) == 0 {
				out.Write(encode(masked, ping, "in between"))
			}
			if r.IntN(2) == 0 {
				out.Write(encode(masked, goesOn, ""))
			}
			out.Write(encode(masked, goesEnd, what[cut:]))
		}
	}
	out.Write(make([]byte, 200)) // nothing stays behind as half a frame
	return out.Bytes()
}

// trickle writes b in pieces.
func trickle(conn net.Conn, r *rand.Rand, b []byte) {
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN([]int{3, 100, 5000, 200_000}[r.IntN(4)]))
		if _, err := conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// Whatever two peers send, in whatever pieces, it arrives byte by byte while a policy of
// which every rule is violated observes.
func TestObserveBabble(t *testing.T) {
	t.Parallel()
	const sessions = 20
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Policies[0] = strict("")
		c.Policies[0].Connections.Identity = policies.Identity{From: policies.FromMessage}
		c.Admin.Address = "127.0.0.1:0"
	})
	seed := uint64(time.Now().UnixNano())
	for i := range sessions {
		s := seed + uint64(i)
		r := rand.New(rand.NewPCG(s, 1))
		garbage := []float64{0, 0.001, 0.05}[r.IntN(3)]
		up, down := babble(r, true, r.IntN(300_000), garbage), babble(r, false, r.IntN(300_000), garbage)
		client, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		early := r.IntN(min(len(down), 3000))
		hasty := r.IntN(min(len(up), 3000))
		_, _ = client.Write(append([]byte(fmt.Sprintf(observedRequest, "")), up[:hasty]...))
		upstream := w.accept()
		upstream.request()
		_, _ = upstream.conn.Write(append([]byte(observedResponse), down[:early]...))
		head := make([]byte, len(observedResponse))
		if _, err := io.ReadFull(client, head); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { trickle(client, rand.New(rand.NewPCG(s, 2)), up[hasty:]) })
		wg.Go(func() { trickle(upstream.conn, rand.New(rand.NewPCG(s, 3)), down[early:]) })
		check := func(name string, from io.Reader, want []byte) {
			got := make([]byte, len(want))
			n, err := io.ReadFull(from, got)
			if err != nil || !bytes.Equal(got, want) {
				at := 0
				for at < n && got[at] == want[at] {
					at++
				}
				t.Errorf("seed %d, garbage %v: %s got %d of %d bytes, equal up to %d: %v", s, garbage, name, n, len(want), at, err)
			}
		}
		deadline := time.Now().Add(longest)
		_ = client.SetDeadline(deadline)
		_ = upstream.conn.SetDeadline(deadline)
		wg.Go(func() { check("the client", client, down) })
		wg.Go(func() { check("upstream", upstream.br, up) })
		wg.Wait()
		_ = client.Close()
		upstream.end()
		if t.Failed() {
			return
		}
	}
	w.until(func() bool { return w.server.LimitedKeys() == 0 })
}
