package proxy_test

import (
	"fmt"
	"testing"

	"wswarden/policies"
)

// Of many pings at once upstream gets the first few, and the latest when it has
// answered one of them. Nothing else is held up.
func TestPingsAtOnce(t *testing.T) {
	w := start(t, policies.Policy{})
	client, upstream := w.open()
	var frames [][]byte
	for i := range 100 {
		frames = append(frames, client.frame(ping, fmt.Sprint(i)))
	}
	client.send(append(frames, client.frame(text, "behind them"))...)
	for i := range 16 {
		upstream.want(ping, fmt.Sprint(i))
	}
	upstream.want(text, "behind them")
	upstream.send(upstream.frame(pong, "0"))
	client.want(pong, "0")
	upstream.want(ping, "99")
	for i := 1; i < 16; i++ {
		upstream.send(upstream.frame(pong, fmt.Sprint(i)))
		client.want(pong, fmt.Sprint(i))
	}
	upstream.send(upstream.frame(pong, "99"))
	client.want(pong, "99")
	for i := range 50 { // one by one, none is held back
		client.send(client.frame(ping, fmt.Sprint(i)))
		upstream.want(ping, fmt.Sprint(i))
		upstream.send(upstream.frame(pong, fmt.Sprint(i)))
		client.want(pong, fmt.Sprint(i))
	}
	w.wantAlive(client, upstream)
}
