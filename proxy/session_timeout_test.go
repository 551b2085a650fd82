package proxy_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"wswarden/policies"
)

// wantEnded checks how a session ends in which both peers answer.
func (w *warden) wantEnded(client, upstream *peer, cause policies.Cause, code uint16) {
	w.t.Helper()
	client.wantClose(code, cause.String())
	upstream.wantClose(1001, cause.String())
	client.answerClose(code)
	upstream.answerClose(1001)
	w.wantEnd(cause, code)
}

// Pings and pongs, of either peer, are no messages: a session in which nothing
// else passes is idle.
func TestIdle(t *testing.T) {
	t.Parallel()
	const timeout = 400 * time.Millisecond
	w := start(t, policies.Policy{Idle: policies.Idle{Timeout: timeout}})
	dialed := time.Now()
	client, upstream := w.open()

	// The client pings and upstream answers, until upstream gets the close frame
	// instead of a ping.
	for n := 0; ; n++ {
		client.send(client.frame(ping, "c"))
		first, payload, err := upstream.read()
		if err != nil {
			t.Fatal(err)
		}
		if first == closing {
			t.Logf("%d pings had passed", n)
			break
		}
		upstream.send(upstream.frame(pong, payload))
		time.Sleep(10 * time.Millisecond)
	}
	wantAfter(t, dialed, timeout)
	upstream.answerClose(1001)
	client.skip(pong)
	client.wantClose(1001, "idle")
	client.answerClose(1001)
	w.wantEnd(policies.IdleTimeout, 1001)
}

// A message of either peer begins the time anew.
func TestIdleCountsFromTheLastMessage(t *testing.T) {
	t.Parallel()
	const timeout, wait = 1500 * time.Millisecond, 300 * time.Millisecond
	for _, sender := range []string{"client", "upstream"} {
		t.Run(sender, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Idle: policies.Idle{Timeout: timeout}})
			client, upstream := w.open()
			time.Sleep(wait)
			spoken := time.Now()
			from, to := client, upstream
			if sender == "upstream" {
				from, to = upstream, client
			}
			from.send(from.frame(text, "x"))
			to.want(text, "x")
			client.wantClose(1001, "idle")
			wantAfter(t, spoken, timeout)
			upstream.wantClose(1001, "idle")
		})
	}
}

func TestFirstMessage(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{FirstMessage: policies.FirstMessage{Timeout: soon}})
	dialed := time.Now()
	client, upstream := w.open()
	upstream.send(upstream.frame(text, "welcome"))
	client.want(text, "welcome")
	client.send(client.frame(ping, "no message"))
	upstream.want(ping, "no message")
	w.wantEnded(client, upstream, policies.NoFirstMessage, 1001)
	wantAfter(t, dialed, soon)
}

// A client that has spoken once may be silent.
func TestFirstMessageGiven(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	w := start(t, policies.Policy{FirstMessage: policies.FirstMessage{Timeout: timeout}})
	client, upstream := w.open()
	client.send(client.frame(text, "hello"))
	upstream.want(text, "hello")
	time.Sleep(timeout + soon)
	w.wantAlive(client, upstream)
}

// Sessions that began together end apart: each is shortened by its own share of
// the jitter.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	const most, jitter, sessions = 800 * time.Millisecond, 0.5, 32
	w := start(t, policies.Policy{Lifetime: policies.Lifetime{Max: most, Jitter: jitter}})
	var leaving sync.WaitGroup
	for range sessions {
		client, upstream := w.open()
		client.send(client.frame(text, "busy"))
		upstream.want(text, "busy")
		leaving.Go(func() { client.leave(1012, "max_age") })
		leaving.Go(func() { upstream.leave(1001, "max_age") })
	}
	leaving.Wait()
	var ages []time.Duration
	for range sessions {
		ages = append(ages, w.wantEnd(policies.MaxAge, 1012).duration)
	}
	youngest, oldest := slices.Min(ages), slices.Max(ages)
	t.Logf("%d sessions ended at an age of %s to %s", sessions, youngest.Round(time.Millisecond), oldest.Round(time.Millisecond))
	if youngest < time.Duration(float64(most)*(1-jitter)) {
		t.Errorf("a session of %s is too young to end", youngest)
	}
	if oldest-youngest < most/10 {
		t.Errorf("all ages from %s to %s: no jitter", youngest, oldest)
	}
}

// A message that is under way when the time comes is completed before the close.
func TestMessageUnderWayIsCompleted(t *testing.T) {
	t.Parallel()
	const age = 200 * time.Millisecond
	policy := policies.Policy{
		Lifetime: policies.Lifetime{Max: age},
		Release:  policies.Release{Farewell: []string{"bye"}},
	}
	t.Run("of the client", func(t *testing.T) {
		t.Parallel()
		w := start(t, policy)
		client, upstream := w.open()
		client.send(client.frame(textBegins, "once upon "))
		upstream.want(textBegins, "once upon ")
		time.Sleep(2 * age)
		client.send(client.frame(goesOn, "a "))
		upstream.want(goesOn, "a ")
		client.send(client.frame(goesEnd, "time"), client.frame(text, "and more"))
		upstream.want(goesEnd, "time")
		upstream.want(text, "bye")
		w.wantEnded(client, upstream, policies.MaxAge, 1012)
	})
	t.Run("of upstream", func(t *testing.T) {
		t.Parallel()
		w := start(t, policy)
		client, upstream := w.open()
		message := upstream.frame(text, "once upon a time")
		upstream.send(message[:7])
		client.wantBytes(message[:7])
		time.Sleep(2 * age)
		upstream.send(message[7:], upstream.frame(text, "and more"))
		client.wantBytes(message[7:])
		upstream.want(text, "bye")
		w.wantEnded(client, upstream, policies.MaxAge, 1012)
	})
}

// A message that is never completed delays the close by grace, no longer. What
// the peer has half of a frame of is reset.
func TestMessageNeverCompleted(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Lifetime: policies.Lifetime{Max: soon},
		Release:  policies.Release{Grace: soon, Farewell: []string{"bye"}},
	})
	dialed := time.Now()
	client, upstream := w.open()
	half := client.frame(text, "a message")[:9]
	client.send(half)
	upstream.wantBytes(half)
	client.wantClose(1012, "max_age")
	wantAfter(t, dialed, 2*soon)
	upstream.wantReset()
	client.wantReset()
	w.wantEnd(policies.MaxAge, 1012)
}

// The client's close code can be set for each rule.
func TestCloseCodeOfRule(t *testing.T) {
	t.Parallel()
	const code = 4567
	rules := map[string]policies.Policy{
		"heartbeat_timeout": {Heartbeat: policies.Heartbeat{Interval: soon, Timeout: soon, Liveness: policies.LivenessPong, CloseCode: code}},
		"upstream_timeout":  {UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: soon, Timeout: soon, CloseCode: code}},
		"idle":              {Idle: policies.Idle{Timeout: soon, CloseCode: code}},
		"first_message":     {FirstMessage: policies.FirstMessage{Timeout: soon, CloseCode: code}},
		"max_age":           {Lifetime: policies.Lifetime{Max: soon, CloseCode: code}},
	}
	for cause, policy := range rules {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			w := start(t, policy)
			client, upstream := w.open()
			if policy.Heartbeat.Interval > 0 {
				client.wantPing()
			}
			if policy.UpstreamHeartbeat.Interval > 0 {
				upstream.wantPing()
			}
			client.wantClose(code, cause)
			upstream.wantClose(1001, cause)
			client.answerClose(code)
			upstream.answerClose(1001)
			if got := <-w.log; got.cause != cause || got.code != code {
				t.Errorf("session ended for %s with code %d", got.cause, got.code)
			}
		})
	}
}
