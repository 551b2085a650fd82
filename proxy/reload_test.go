package proxy_test

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
	"wswarden/proxy/admin/api"
)

// reload puts another configuration into use, which is the last one adjusted.
func (w *warden) reload(adjust func(*config.Config)) api.Reloaded {
	w.t.Helper()
	next := *w.next
	next.Policies, next.Listeners = slices.Clone(next.Policies), slices.Clone(next.Listeners)
	adjust(&next)
	complete(&next)
	w.next = &next
	done, err := w.server.Reload(w.t.Context(), "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// rules adjusts the first policy.
func rules(adjust func(*policies.Policy)) func(*config.Config) {
	return func(c *config.Config) { adjust(&c.Policies[0]) }
}

// Rules that count time count from what has happened, and not from the reload.
func TestReloadedTimers(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{})
	client, upstream := w.open()
	before := w.list("")[0]
	client.send(client.frame(ping, "")) // for a moment to pass, and to be known
	upstream.want(ping, "")
	done := w.reload(rules(func(p *policies.Policy) {
		p.Heartbeat = policies.Heartbeat{Interval: time.Hour, Timeout: time.Minute, Liveness: policies.LivenessPong}
		p.FirstMessage.Timeout, p.Idle.Timeout, p.Lifetime.Max = 2*time.Hour, 3*time.Hour, 4*time.Hour
	}))
	if done.Sessions != 1 || !done.Changed || !slices.Equal(done.Policies.Changed, []string{"test"}) {
		t.Errorf("%+v", done)
	}
	var detail api.Detail
	w.call("GET", "/v1/sessions/"+before.ID.String(), &detail)
	due := map[string]time.Duration{"heartbeat": time.Hour, "first_message": 2 * time.Hour, "idle": 3 * time.Hour, "lifetime": 4 * time.Hour}
	for _, next := range detail.Next {
		if got := next.At.Sub(before.Opened); got != due[next.Rule] {
			t.Errorf("%s is due %s after the session was opened, want %s", next.Rule, got, due[next.Rule])
		}
		delete(due, next.Rule)
	}
	if len(due) > 0 {
		t.Errorf("nothing is told of %v", due)
	}
	w.reload(rules(func(p *policies.Policy) { p.Idle.Timeout = time.Millisecond })) // long over
	upstream.wantClose(1001, "idle")
	upstream.end()
	client.end()
}

// What is under way when rules change goes on as it has begun.
func TestReloadInAMessage(t *testing.T) {
	t.Parallel()
	reading := func(p *policies.Policy) { p.Dialect, p.Subscriptions.Max = "rac", 1 }
	observing := func(p *policies.Policy) { reading(p); p.Mode = policies.ModeObserve }
	free := func(p *policies.Policy) { p.Dialect, p.Subscriptions.Max = "", 0 }
	for name, c := range map[string]struct{ before, after func(*policies.Policy) }{
		"it is to be read":              {free, reading},
		"it is not to be read":          {reading, free},
		"it is read, and then observed": {reading, observing},
		"it is observed, and then read": {observing, reading},
		"it is to be observed":          {free, observing},
		"all stays":                     {reading, reading},
	} {
		t.Run(name, func(t *testing.T) {
			policy := policies.Policy{}
			c.before(&policy)
			w := start(t, policy)
			client, upstream := w.open()
			whole := subscribe(`"a"`)
			frame := client.frame(text, whole)
			client.send(client.frame(textBegins, whole[:10]), client.frame(ping, "")) // which passes at once
			content := ""
			hear := func() (first byte) {
				first, payload, err := upstream.read()
				if err != nil {
					t.Fatal(err)
				}
				content += payload
				return first
			}
			for hear() != ping {
			}
			w.reload(func(cfg *config.Config) {
				p := &cfg.Policies[0]
				p.Mode = policies.ModeEnforce
				c.after(p)
			})
			client.send(client.frame(goesEnd, whole[10:]))
			for hear()&0x80 == 0 { // not the last fragment
			}
			if content != whole {
				t.Fatalf("upstream got %q", content)
			}
			client.send(frame[:10])
			w.reload(rules(func(p *policies.Policy) { p.Idle.Timeout = time.Hour }))
			client.send(frame[10:], client.frame(text, "and on"))
			upstream.want(text, whole)
			upstream.want(text, "and on")
			w.wantAlive(client, upstream)
		})
	}
}

// Subscriptions over a lowered limit stay, or go as the policy wants it.
func TestReloadedSubscriptions(t *testing.T) {
	t.Parallel()
	for _, onReload := range []policies.OnReload{policies.OnReloadKeep, policies.OnReloadEnforce} {
		t.Run(string(onReload), func(t *testing.T) {
			policy := atMost(4, policies.ExcessReject)
			policy.OnReload = onReload
			w := start(t, policy)
			client, upstream := w.open()
			for _, topic := range []string{`"a"`, `"b"`, `"c"`} {
				client.send(client.frame(text, subscribe(topic)))
				upstream.want(text, subscribe(topic))
			}
			client.send(client.frame(textBegins, "in the midst ")) // held back, so that it is in nobody's way
			w.reload(rules(func(p *policies.Policy) { p.Subscriptions.Max = 1 }))
			left := []string{`"a"`, `"b"`, `"c"`}
			if onReload == policies.OnReloadEnforce {
				left = left[2:]
				upstream.want(text, unsubscribe(`"a"`))
				upstream.want(text, unsubscribe(`"b"`))
			}
			client.send(client.frame(goesEnd, "of a message"), client.frame(text, subscribe(`"d"`)))
			upstream.want(text, "in the midst of a message")
			client.want(text, refused(`"d"`, "limit of 1 subscription reached"))
			w.wantReleased(client, upstream, left...)
		})
	}
}

// Seats on topics are counted from the moment at which somebody limits them.
func TestReloadedTopics(t *testing.T) {
	t.Parallel()
	w := start(t, atMost(0, policies.ExcessReject))
	first, itsUpstream := w.open()
	first.send(first.frame(text, subscribe(`"a"`)))
	itsUpstream.want(text, subscribe(`"a"`))
	w.reload(rules(func(p *policies.Policy) { p.Subscriptions.MaxPerTopic = 1 }))
	second, upstream := w.open()
	second.send(second.frame(text, subscribe(`"a"`)))
	second.want(text, refused(`"a"`, "limit of 1 session on this topic reached"))
	w.reload(rules(func(p *policies.Policy) { p.Subscriptions.MaxPerTopic = 0 }))
	second.send(second.frame(text, subscribe(`"a"`)))
	upstream.want(text, subscribe(`"a"`))
	w.reload(rules(func(p *policies.Policy) { p.Subscriptions.MaxPerTopic = 3 }))
	w.wantReleased(first, itsUpstream, `"a"`)
	w.wantReleased(second, upstream, `"a"`)
	third, upstream := w.open()
	w.reload(rules(func(p *policies.Policy) { p.Subscriptions.MaxPerTopic = 1 }))
	third.send(third.frame(text, subscribe(`"a"`)))
	upstream.want(text, subscribe(`"a"`))
	w.wantReleased(third, upstream, `"a"`)
}

// A new limit on connections counts those that there are.
func TestReloadedConnectionLimits(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()
	w.reload(rules(func(p *policies.Policy) { p.Connections.PerIP = 1 }))
	w.until(func() bool { return w.server.Seats() == 1 })
	w.dial().wantRefused(policies.RefusedPerIP)
	w.reload(rules(func(p *policies.Policy) { p.Connections.Max, p.Connections.PerIP = 2, 0 }))
	w.until(func() bool { return w.server.Seats() == 1 && w.server.LimitedKeys() == 1 })
	other, itsUpstream := w.open()
	w.dial().wantRefused(policies.RefusedMax)
	w.reload(rules(func(p *policies.Policy) { p.Connections.Max = 0 }))
	w.until(func() bool { return w.server.Seats() == 0 })
	w.bye(client, upstream)
	w.bye(other, itsUpstream)
	w.wantNoSeats()
}

// Who was paused for a rate goes on when that is gone.
func TestReloadedRate(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Messages: policies.Messages{Rate: 0.001, Burst: 1, OnExcess: policies.ExcessDelay}})
	client, upstream := w.open()
	client.send(client.frame(text, "1"), client.frame(text, "2"), client.frame(text, "3"))
	upstream.want(text, "1")
	upstream.want(text, "2")
	w.reload(rules(func(p *policies.Policy) {
		p.Messages.Rate = 0
		p.Messages.Burst = 0
		p.Messages.OnExcess = policies.ExcessClose
	}))
	upstream.want(text, "3")
	w.wantAlive(client, upstream)
}

// What a client has sent while the rate was another one, or was only observed, is not held
// against it.
func TestReloadForgivesDebt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before policies.Policy
		change func(*policies.Policy)
	}{
		"a policy that observed": {
			policies.Policy{Mode: policies.ModeObserve, Messages: policies.Messages{Rate: 1, Burst: 10}},
			func(p *policies.Policy) { p.Mode = policies.ModeEnforce },
		},
		"a rule that observed": {
			policies.Policy{Messages: policies.Messages{Mode: policies.ModeObserve, Rate: 1, Burst: 10}},
			func(p *policies.Policy) { p.Messages.Mode = "" },
		},
		"a lowered rate": {
			policies.Policy{Messages: policies.Messages{Rate: 1000, Burst: 1000}},
			func(p *policies.Policy) { p.Messages.Rate, p.Messages.Burst = 1, 10 },
		},
	} {
		for _, excess := range []policies.Excess{policies.ExcessDelay, policies.ExcessClose} {
			t.Run(name+", "+string(excess), func(t *testing.T) {
				t.Parallel()
				policy := c.before
				policy.Messages.OnExcess = excess
				w := start(t, policy)
				client, upstream := w.open()
				for range 300 {
					client.send(client.frame(text, "before"))
					upstream.want(text, "before")
				}
				w.reload(rules(c.change))
				for range 5 {
					client.send(client.frame(text, "after"))
					upstream.want(text, "after")
				}
				w.bye(client, upstream)
			})
		}
	}
}

// A handshake that was under way when its policy went becomes a session that is to end.
func TestReloadEndsHandshakes(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Policies[0] = policies.Policy{Name: "old", OnReload: policies.OnReloadEnforce}
	})
	client := w.dial()
	upstream := w.accept()
	request := upstream.request()
	w.reload(func(c *config.Config) { c.Policies = []policies.Policy{{Name: "new"}} })
	upstream.agree(request)
	client.response()
	upstream.wantClose(1001, "drain")
	upstream.answerClose(1001)
	client.wantClose(1012, "service restart")
	client.end()
	w.wantEnd(policies.Drain, 1012)
}

// A compressed message that is not to pass would be missing to those that refer to it. So
// the session ends: the client's next one has each compressed alone.
func TestReloadToEnforceCompressed(t *testing.T) {
	t.Parallel()
	const compressed = text | 0x40
	policy := atMost(1, policies.ExcessReject)
	policy.Mode = policies.ModeObserve
	w := start(t, policy)
	client, upstream, say := w.deflated()
	upstream.want(compressed, say(subscribe(`"a"`)))
	upstream.want(compressed, say(subscribe(`"b"`)))
	w.reload(rules(func(p *policies.Policy) { p.Mode = policies.ModeEnforce }))
	upstream.want(compressed, say("compressed as ever"))
	say(subscribe(`"c"`))
	client.want(text, refused(`"c"`, "limit of 1 subscription reached"))
	upstream.want(text, unsubscribe(`"a"`))
	upstream.want(text, unsubscribe(`"b"`))
	upstream.wantClose(1001, "subscription_limit")
	upstream.answerClose(1001)
	client.wantClose(1013, "subscription_limit")
	client.end()
	w.wantEnd(policies.SubscriptionLimit, 1013)
}

// The sessions of a policy that is gone live on under it, or end.
func TestReloadWithoutAPolicy(t *testing.T) {
	t.Parallel()
	for _, onReload := range []policies.OnReload{policies.OnReloadKeep, policies.OnReloadEnforce} {
		t.Run(string(onReload), func(t *testing.T) {
			w := startWith(t, proxy.New, func(c *config.Config) {
				c.Admin.Address = "127.0.0.1:0"
				c.Policies[0] = policies.Policy{Name: "old", OnReload: onReload, Messages: policies.Messages{MaxBytes: 5}}
			})
			w.server.ForgetAtOnce()
			client, upstream := w.open()
			done := w.reload(func(c *config.Config) {
				c.Policies = []policies.Policy{{Name: "new"}}
			})
			if !slices.Equal(done.Policies.Removed, []string{"old"}) || !slices.Equal(done.Policies.Added, []string{"new"}) {
				t.Errorf("%+v", done)
			}
			if onReload == policies.OnReloadEnforce {
				upstream.wantClose(1001, "drain")
				upstream.answerClose(1001)
				client.wantClose(1012, "service restart")
				client.end()
				w.wantEnd(policies.Drain, 1012)
			} else {
				w.wantMetrics(map[string]float64{`wswarden_sessions_live{policy="old"}`: 1})
				client.send(client.frame(text, "6 long"))
				upstream.wantClose(1001, "message_too_big")
				upstream.answerClose(1001)
				client.wantClose(1009, "message too big")
				client.end()
				w.wantEnd(policies.MessageTooBig, 1009)
			}
			other, itsUpstream := w.open()
			other.send(other.frame(text, "much longer"))
			itsUpstream.want(text, "much longer")
			w.reload(func(*config.Config) {})
			for name := range w.metrics() {
				if strings.Contains(name, `policy="old"`) {
					t.Errorf("%s is still there", name)
				}
			}
			w.bye(other, itsUpstream)
		})
	}
}

// Listeners come and go, and what came by them stays.
func TestReloadedListeners(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()
	free := listenOn(t, "127.0.0.1")
	address := free.Addr().String()
	w.next.Listeners[0].Address = "127.0.0.1:0" // as it was configured
	taken := listenOn(t, "127.0.0.1")
	last := *w.next
	w.next = &config.Config{}
	*w.next = last
	w.next.Listeners = []config.Listener{{Address: "127.0.0.1:0"}, {Address: taken.Addr().String()}}
	if _, err := w.server.Reload(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "listeners[1].address") {
		t.Errorf("an address that is taken: %v", err)
	}
	w.next = &last
	_ = free.Close()
	done := w.reload(func(c *config.Config) { c.Listeners = append(c.Listeners, config.Listener{Address: address}) })
	if !slices.Equal(done.Listeners.Added, []string{address}) || len(done.Listeners.Removed) > 0 {
		t.Errorf("%+v", done)
	}
	first := w.address
	w.address = address
	other, itsUpstream := w.open()
	done = w.reload(func(c *config.Config) { c.Listeners = c.Listeners[1:] })
	if !slices.Equal(done.Listeners.Removed, []string{"127.0.0.1:0"}) {
		t.Errorf("%+v", done)
	}
	if conn, err := net.Dial("tcp", first); err == nil {
		_ = conn.Close()
		t.Error("the listener that was removed is there")
	}
	w.wantAlive(client, upstream)
	w.wantAlive(other, itsUpstream)
	w.bye(client, upstream)
	w.bye(other, itsUpstream)
}

// New sessions, and requests that are none, go to the upstream that is configured now.
func TestReloadedUpstream(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()
	before := w.upstream
	w.upstream = listenOn(t, "127.0.0.1")
	w.reload(func(c *config.Config) { c.Upstream.URL = "http://" + w.upstream.Addr().String() })
	other, itsUpstream := w.open()
	w.wantAlive(client, upstream)
	w.bye(other, itsUpstream)
	w.bye(client, upstream)
	_ = before.SetDeadline(time.Now())
	if _, err := before.Accept(); err == nil {
		t.Error("the upstream that was is asked still")
	}
}

// An invalid configuration changes nothing, and operators can see that it was refused.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	client, upstream := w.open()
	valid := *w.next
	invalid := valid
	invalid.Policies = slices.Clone(valid.Policies)
	invalid.Policies[0].Messages.MaxBytes = -1
	w.next = &invalid
	if status := w.call("POST", "/v1/reload", nil); status != http.StatusUnprocessableEntity {
		t.Errorf("status %d", status)
	}
	w.wantAlive(client, upstream)
	w.wantMetrics(map[string]float64{
		`wswarden_config_reloads_total{outcome="refused"}`: 1,
		`wswarden_config_reloads_total{outcome="applied"}`: 0,
		`wswarden_config_last_reload_successful`:           0,
	})
	// Probing upstream is a connection to it.
	var ready api.Readiness
	w.call("GET", "/readyz?verbose", &ready)
	if check := ready.Checks["configuration"]; !ready.Ready || !strings.Contains(check, "policies[0].messages.max_bytes") {
		t.Errorf("%+v", ready)
	}
	w.accept().end()
	w.next = &valid
	var done api.Reloaded
	if status := w.call("POST", "/v1/reload", &done); status != http.StatusOK || done.Changed {
		t.Errorf("status %d, %+v", status, done)
	}
	w.wantMetrics(map[string]float64{
		`wswarden_config_reloads_total{outcome="applied"}`: 1,
		`wswarden_config_last_reload_successful`:           1,
	})
	w.call("GET", "/readyz?verbose", &ready)
	if ready.Checks["configuration"] != "ok" {
		t.Errorf("%+v", ready)
	}
	w.bye(client, upstream)
}
