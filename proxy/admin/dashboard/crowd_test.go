package dashboard_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"wswarden/proxy/admin/api"
)

// crowd is an admin.Source of sessions that are only told of.
type crowd struct {
	mu       sync.Mutex
	random   *rand.Rand
	sessions []api.Session
	topics   map[api.ID]int // how many each subscribes to
	ended    []api.Event
	readers  map[chan api.Event]bool
	told     []string // what sessions were ended with
	ready    api.Readiness
	refused  []string // problems of the latest configuration; empty: it is in use
	gone     []string // policies that no configuration has any more
}

func newCrowd(n int) *crowd {
	c := &crowd{
		random:  rand.New(rand.NewPCG(5, 7)),
		topics:  map[api.ID]int{},
		readers: map[chan api.Event]bool{},
		ready:   api.Readiness{Ready: true, Checks: map[string]string{"upstream": "ok", "draining": "ok"}},
	}
	now := time.Now()
	for i := range n {
		// From a second to 14 hours ago, each by another moment.
		c.sessions = append(c.sessions, c.session(now.Add(-time.Second-time.Duration(i)*time.Second*50_000/time.Duration(max(n, 1)))))
	}
	return c
}

var policies = []string{"passengers", "passengers", "passengers", "staff", "everybody-else"}

// observing is the policy that only observes.
const observing = "staff"

func modeOf(policy string) string {
	if policy == observing {
		return "observe"
	}
	return "enforce"
}

// session makes one that was opened at a moment.
func (c *crowd) session(opened time.Time) api.Session {
	id := api.ID(c.random.Uint64())
	user := c.random.IntN(20_000)
	quiet := time.Duration(c.random.ExpFloat64() * float64(40*time.Second))
	received := uint64(c.random.IntN(4000))
	s := api.Session{
		ID:               id,
		Policy:           policies[user%len(policies)],
		Address:          netip.AddrFrom4([4]byte{10, byte(user >> 12), byte(user >> 4), byte(1 + user%250)}),
		State:            api.StateOpen,
		Opened:           opened,
		Active:           time.Now().Add(-min(quiet, time.Since(opened))),
		ClientToUpstream: api.Flow{Messages: received / 20, Bytes: received * 11},
		UpstreamToClient: api.Flow{Messages: received, Bytes: received * 310},
		Subscriptions:    c.random.IntN(12),
	}
	if user%7 == 0 {
		s.Address = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", user, user%251))
	}
	if user%4 != 0 {
		s.Identity = api.HashIdentity(fmt.Sprint("user-", user))
	}
	if time.Since(opened) > 30*time.Second {
		s.Ping = api.Seconds(0.008 + 0.02*c.random.ExpFloat64())
	}
	switch c.random.IntN(400) {
	case 0:
		s.State, s.Cause = api.StateClosing, "idle"
	case 1:
		s.State = api.StateWaiting
	}
	return s
}

func (c *crowd) index(id api.ID) int {
	return slices.IndexFunc(c.sessions, func(s api.Session) bool { return s.ID == id })
}

func aged(s api.Session, now time.Time) api.Session {
	s.Age, s.Idle = api.InSeconds(now.Sub(s.Opened)), api.InSeconds(now.Sub(s.Active))
	return s
}

// on reports whether a session subscribes to a topic: its first so many.
func on(s *api.Session, topic string) bool {
	return slices.ContainsFunc(subscriptions(s), func(sub api.Subscription) bool { return sub.Topic == topic })
}

func subscriptions(s *api.Session) []api.Subscription {
	list := make([]api.Subscription, s.Subscriptions)
	for i := range list {
		list[i] = api.Subscription{Topic: fmt.Sprintf("PNR-%06X", (uint64(s.ID)>>i)%5000), State: "live"}
		if i == 11 {
			list[i].State = "pending"
		}
	}
	return list
}

func (c *crowd) Sessions(ctx context.Context, f api.Filter) iter.Seq[[]api.Session] {
	c.mu.Lock()
	all, now := slices.Clone(c.sessions), time.Now()
	c.mu.Unlock()
	return func(yield func([]api.Session) bool) {
		for part := range slices.Chunk(all, 500) {
			batch := part[:0]
			for _, s := range part {
				if s = aged(s, now); f.Fits(&s) && (f.Topic == "" || on(&s, f.Topic)) {
					batch = append(batch, s)
				}
			}
			if ctx.Err() != nil || len(batch) > 0 && !yield(batch) {
				return
			}
		}
	}
}

func (c *crowd) Session(_ context.Context, id api.ID) (api.Detail, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.index(id)
	if i < 0 {
		return api.Detail{}, false
	}
	now := time.Now()
	s := aged(c.sessions[i], now)
	ago := func(d time.Duration) *time.Time {
		at := now.Add(-min(d, now.Sub(s.Opened)))
		return &at
	}
	ping := func(last api.Seconds) api.RoundTrips {
		return api.RoundTrips{Count: 214, Last: last, Least: last / 2, Most: last * 5, Mean: last * 1.2}
	}
	next := func(rule, action, cause string, code uint16, in time.Duration) api.Forecast {
		return api.Forecast{Rule: rule, Action: action, Mode: modeOf(s.Policy), Cause: cause, CloseCode: code, At: now.Add(in), In: api.InSeconds(in)}
	}
	var wouldHave []string
	if s.Policy == observing {
		wouldHave = []string{"idle", "messages.rate"}
	}
	return api.Detail{
		Session:   s,
		WouldHave: wouldHave,
		Times: api.Times{
			FirstMessage: ago(now.Sub(s.Opened) - 300*time.Millisecond), Message: &s.Active,
			ClientFrame: ago(9 * time.Second), UpstreamFrame: ago(4 * time.Second),
			ClientPing: ago(9100 * time.Millisecond), ClientPong: ago(9 * time.Second),
		},
		ClientPings:  ping(s.Ping),
		SubscribedTo: subscriptions(&s),
		Next: []api.Forecast{
			next("heartbeat", "ping_client", "", 0, 21*time.Second),
			next("idle", "end", "idle", 1001, 10*time.Minute-s.Idle.Duration()%(9*time.Minute)),
			next("lifetime", "end", "max_age", 1012, 14*time.Hour-s.Age.Duration()),
		},
	}, true
}

func (c *crowd) EndOne(_ context.Context, id api.ID, code uint16, reason string) (ended int, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.index(id)
	if i < 0 {
		return 0, false
	}
	c.told = append(c.told, fmt.Sprintf("%s: %d %s", id, code, reason))
	c.end(i, "killed", "wswarden", max(code, 1008))
	return 1, true
}

func (c *crowd) End(ctx context.Context, f api.Filter, code uint16, reason string) (n int) {
	for batch := range c.Sessions(ctx, f) {
		for _, s := range batch {
			c.mu.Lock()
			if i := c.index(s.ID); i >= 0 {
				c.end(i, "killed", "wswarden", max(code, 1008))
				n++
			}
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf("%s: %d %s", f.Query().Encode(), code, reason))
	return n
}

// end takes a session away and tells of it; c.mu is held.
func (c *crowd) end(i int, cause, side string, code uint16) {
	s := aged(c.sessions[i], time.Now())
	c.sessions[i] = c.sessions[len(c.sessions)-1]
	c.sessions = c.sessions[:len(c.sessions)-1]
	c.tell(api.Event{Kind: api.EventEnded, Ending: &api.Ending{
		Cause: cause, Side: side, ClientCode: code, UpstreamCode: 1001, Duration: s.Age,
		ClientToUpstream: s.ClientToUpstream, UpstreamToClient: s.UpstreamToClient,
		Subscriptions: s.Subscriptions, Unsubscribed: s.Subscriptions, Release: 0.004, ReleaseOutcome: "closed",
	}}, s)
}

// tell sends an event of a session to all readers; c.mu is held.
func (c *crowd) tell(e api.Event, s api.Session) {
	e.Time, e.Session, e.Policy, e.Address, e.Identity = time.Now(), s.ID, s.Policy, s.Address, s.Identity
	if e.Kind == api.EventEnded {
		c.ended = append(c.ended, e)
	}
	for reader := range c.readers {
		select {
		case reader <- e:
		default:
		}
	}
}

func (c *crowd) Events(ctx context.Context, replay int) <-chan api.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := make(chan api.Event, 4096)
	for _, e := range c.ended[max(0, len(c.ended)-replay):] {
		events <- e
	}
	c.readers[events] = true
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.readers, events)
	})
	return events
}

func (c *crowd) Topics(context.Context, api.Filter) ([]api.Topic, bool)   { return nil, false }
func (c *crowd) Drain() api.Draining                                      { return api.Draining{} }
func (c *crowd) Reload(context.Context) (api.Reloaded, error)             { return api.Reloaded{}, nil }
func (c *crowd) Report(context.Context, string, time.Duration) api.Report { return api.Report{} }

func (c *crowd) Configuration() api.Configuration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) == 0 {
		return api.Configuration{}
	}
	return api.Configuration{Failed: new(time.Now()), Problems: c.refused, First: c.refused[0]}
}

func (c *crowd) Policies() (all []api.Policy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Compact(slices.Clone(policies)) {
		all = append(all, api.Policy{Name: name, Mode: modeOf(name), Gone: slices.Contains(c.gone, name)})
	}
	return all
}

func (c *crowd) Ready(context.Context) api.Readiness {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

// count is how many sessions there are, and what they were ended with.
func (c *crowd) count() (n int, told []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions), slices.Clone(c.told)
}
