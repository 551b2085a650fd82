package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"wswarden/policies"
)

func TestMessageRate(t *testing.T) {
	rate := func(onExcess policies.Excess) policies.Policy {
		return policies.Policy{Messages: policies.Messages{Rate: 0.001, Burst: 3, OnExcess: onExcess}}
	}
	burst := func(client *peer) (frames [][]byte) {
		for i := range 4 {
			frames = append(frames, client.frame(text, fmt.Sprint(i)))
		}
		return frames
	}
	t.Run("close", func(t *testing.T) {
		w := start(t, rate(policies.ExcessClose))
		client, upstream := w.open()
		client.send(burst(client)...)
		for i := range 3 {
			upstream.want(text, fmt.Sprint(i))
		}
		upstream.wantClose(policies.CodeGoingAway, "message_rate")
		client.wantClose(policies.CodePolicy, "message_rate")
		upstream.answerClose(policies.CodeGoingAway)
		client.answerClose(policies.CodePolicy)
		w.wantEnd(policies.MessageRate, policies.CodePolicy)
	})
	t.Run("drop", func(t *testing.T) {
		w := start(t, rate(policies.ExcessDrop))
		client, upstream := w.open()
		client.send(burst(client)...)
		client.send(client.frame(textBegins, "dropped"), client.frame(ping, "passes"), client.frame(goesEnd, "too"))
		for i := range 3 {
			upstream.want(text, fmt.Sprint(i))
		}
		upstream.want(ping, "passes")
		upstream.send(upstream.frame(text, "not limited"))
		client.want(text, "not limited")
		upstream.wantNothing()
	})
	t.Run("drop by bytes", func(t *testing.T) {
		w := start(t, policies.Policy{Messages: policies.Messages{BytesPerSecond: 1024, OnExcess: policies.ExcessDrop}})
		client, upstream := w.open()
		client.send(client.frame(text, strings.Repeat("x", 1025)), client.frame(ping, "after"))
		upstream.want(ping, "after")
	})
}

// A client that sends too fast is read from more slowly, and loses nothing.
func TestMessageRateDelays(t *testing.T) {
	w := start(t, policies.Policy{Messages: policies.Messages{Rate: 20, Burst: 1, OnExcess: policies.ExcessDelay}})
	client, upstream := w.open()
	began := time.Now()
	const n = 11
	for i := range n {
		client.send(client.frame(text, fmt.Sprint(i)))
	}
	for i := range n {
		upstream.want(text, fmt.Sprint(i))
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("11 messages at 20 a second took %v", took)
	}
	client.send(client.closeFrame(1000, ""))
	upstream.wantClose(1000, "")
	upstream.answerClose(1000)
	client.wantClose(1000, "")
	client.end()
	w.wantEnd(policies.ClientClose, 1000)
}
