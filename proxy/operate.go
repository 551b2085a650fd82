package proxy

import (
	"context"
	"iter"
	"slices"
	"time"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
	"wswarden/proxy/report"
)

// operator is what the admin API tells of and acts upon: it is an admin.Source.
type operator struct{ *Server }

// Sessions implements admin.Source.
func (o operator) Sessions(ctx context.Context, f api.Filter) iter.Seq[[]api.Session] {
	return func(yield func([]api.Session) bool) {
		var batch []api.Session
		for _, w := range o.workers {
			more := true
			add := func(_ *session, row *api.Session) int {
				batch = append(batch, *row)
				return 0
			}
			o.scan(ctx, w, f, add, func() bool {
				if len(batch) > 0 {
					more = yield(batch)
				}
				batch = batch[:0]
				return more
			})
			if !more || ctx.Err() != nil {
				return
			}
		}
	}
}

// scan has visit called for each session of a worker that fits: see scanWorker. What
// visit returns is how much work it was.
func (o operator) scan(ctx context.Context, w *worker, f api.Filter, visit func(*session, *api.Session) int, pause func() bool) {
	var row api.Session
	scanWorker(ctx, w, func(s *session) int {
		if f.Policy != "" && f.Policy != s.policy.Name {
			return 0
		}
		s.describe(&row)
		if !f.Fits(&row) {
			return 0
		}
		work := 0
		if f.Topic != "" {
			var found bool
			if found, work = s.subscribedToTopic(f.Topic); !found {
				return work
			}
		}
		return work + visit(s, &row)
	}, pause)
}

// find has visit called on the loop of the session that has the id.
func (o operator) find(ctx context.Context, id api.ID, visit func(*session)) (found bool) {
	for _, w := range o.workers {
		scanWorker(ctx, w, func(s *session) int {
			if api.ID(s.admission.id) == id {
				found = true
				visit(s)
			}
			return 0
		}, func() bool { return !found })
		if found {
			return true
		}
	}
	return false
}

// Session implements admin.Source.
func (o operator) Session(ctx context.Context, id api.ID) (d api.Detail, found bool) {
	// The loop only copies: topics may be thousands, and rules may be asked as often.
	var topics topicTexts
	var outlook outlook
	found = o.find(ctx, id, func(s *session) {
		d, outlook = s.detail(), s.outlook()
		topics.add(s)
	})
	d.Next = outlook.next()
	d.SubscribedTo = make([]api.Subscription, len(topics.list))
	for i, topic := range topics.all() {
		d.SubscribedTo[i] = api.Subscription{Topic: string(topic), State: string(topics.list[i].state)}
	}
	return d, found
}

// EndOne implements admin.Source.
func (o operator) EndOne(ctx context.Context, id api.ID, code uint16, reason string) (ended int, found bool) {
	found = o.find(ctx, id, func(s *session) {
		if s.kill(code, reason) {
			ended = 1
		}
	})
	return ended, found
}

// End implements admin.Source.
func (o operator) End(ctx context.Context, f api.Filter, code uint16, reason string) (ended int) {
	for _, w := range o.workers {
		kill := func(s *session, _ *api.Session) int {
			if s.kill(code, reason) {
				ended++
			}
			return scanStep // close frames are written
		}
		o.scan(ctx, w, f, kill, func() bool { return true })
	}
	return ended
}

// kill has the session end as soon as no message is under way; false: it ends
// already.
func (s *session) kill(code uint16, reason string) bool {
	if s.ends() {
		return false
	}
	s.ending.reason = reason
	s.finish(policies.Verdict{Action: policies.End, Cause: policies.Killed, Code: code}, s.worker.loop.Now()+s.policy.Release.Grace)
	return true
}

// Events implements admin.Source.
func (o operator) Events(ctx context.Context, replay int) <-chan api.Event {
	return o.events.watch(ctx, replay)
}

// Drain implements admin.Source.
func (o operator) Drain() api.Draining {
	d := api.Draining{Timeout: api.InSeconds(o.setup().Drain.Timeout), Already: !o.ready()}
	o.askDrain()
	for _, k := range o.setup().all() {
		d.Sessions += int(k.sum().live)
	}
	return d
}

// Policies implements admin.Source.
func (o operator) Policies() []api.Policy {
	var list []api.Policy
	setup := o.setup()
	for i, k := range setup.all() {
		p := api.Policy{Name: k.policy.Name, Mode: string(k.policy.Mode), Gone: i >= len(setup.kinds), Sessions: int(k.sum().live), Settings: k.settings}
		if !p.Gone || p.Sessions > 0 {
			list = append(list, p)
		}
	}
	return list
}

// Report implements admin.Source.
func (o operator) Report(ctx context.Context, policy string, window time.Duration) api.Report {
	now := evloop.Now()
	from := max(0, now-window)
	r := api.Report{From: o.wall(from), To: o.wall(now), Policies: []api.PolicyReport{}}
	live := make(map[string][]report.Record)
	for _, w := range o.workers {
		note := func(s *session) int {
			if name := s.policy.Name; policy == "" || policy == name {
				live[name] = append(live[name], s.record())
			}
			return 0
		}
		scanWorker(ctx, w, note, func() bool { return true })
	}
	for _, k := range o.setup().all() {
		if name := k.policy.Name; policy == "" || policy == name {
			p := o.ledger.Report(k.policy, k.settings, k.since, from, now, live[name])
			p.Gone = k.gone != policies.Never
			if k.since > from {
				since := o.wall(k.since)
				p.Since = &since
			}
			r.Policies = append(r.Policies, p)
		}
	}
	return r
}

// describe fills in what a listing has of the session. It is called on the loop, by a
// scan.
func (s *session) describe(row *api.Session) {
	now, began := s.worker.present.now, s.worker.present.began
	active := max(s.facts.Opened, s.facts.Message)
	*row = api.Session{
		ID:               api.ID(s.admission.id),
		Policy:           s.policy.Name,
		Address:          s.admission.client,
		Identity:         s.admission.identityText(),
		State:            api.StateOpen,
		Opened:           began.Add(s.facts.Opened),
		Active:           began.Add(active),
		Age:              api.InSeconds(now - s.facts.Opened),
		Idle:             api.InSeconds(now - active),
		ClientToUpstream: s.client.flow.forAPI(),
		UpstreamToClient: s.upstream.flow.forAPI(),
		Ping:             api.InSeconds(s.client.trips.latest()),
	}
	if s.subscribed != nil {
		row.Subscriptions = s.subscribed.tracker.Len()
	}
	switch {
	case s.cause != policies.NoCause:
		row.State, row.Cause = api.StateClosing, s.cause.String()
	case s.finishing:
		row.State, row.Cause = api.StateFinishing, s.wish.Cause.String()
	case s.waiting:
		row.State = api.StateWaiting
	}
}

// detail is all that there is to say of the session, but for what it is subscribed to
// and what comes next. It is called on the loop, by a scan.
func (s *session) detail() (d api.Detail) {
	s.describe(&d.Session)
	d.Upstream = s.admission.address.String()
	at := func(m policies.Moment) *time.Time {
		if m == policies.Never {
			return nil
		}
		t := s.worker.present.began.Add(m)
		return &t
	}
	f := &s.facts
	d.Times = api.Times{
		FirstMessage:  at(f.ClientMessage),
		Message:       at(f.Message),
		ClientFrame:   at(f.ClientFrame),
		UpstreamFrame: at(f.UpstreamFrame),
		ClientPing:    at(f.ClientPing),
		ClientPong:    at(f.ClientPong),
		UpstreamPing:  at(f.UpstreamPing),
		ClientWaits:   at(policies.Earlier(f.ClientWaits, f.ClientQueued)),
		UpstreamWaits: at(policies.Earlier(f.UpstreamWaits, f.UpstreamQueued)),
		Resumes:       at(s.resumeAt),
	}
	d.ClientPings, d.UpstreamPings = s.client.trips.forAPI(), s.upstream.trips.forAPI()
	d.WouldHave = slices.Clone(s.admission.spared)
	if s.ends() {
		d.Times.Deadline = at(s.deadline)
	}
	return d
}

// ends reports whether the session ends already.
func (s *session) ends() bool { return s.cause != policies.NoCause || s.finishing }

// outlook is what is needed to tell what comes next for a session. The zero outlook is
// that of one that ends already.
type outlook struct {
	present present
	policy  *policies.Policy // nil: it ends
	facts   policies.Facts
	drain   policies.Forecast // the zero Forecast: none is under way
}

// outlook is called on the loop, by a scan.
func (s *session) outlook() outlook {
	if s.ends() {
		return outlook{}
	}
	o := outlook{present: s.worker.present, policy: s.policy, facts: s.facts}
	o.facts.Pressure = s.worker.pressure
	if s.drainAt != policies.Never {
		verdict, _ := s.whyLeaving()
		o.drain = policies.Forecast{Rule: "drain", Verdict: verdict, At: s.drainAt}
	}
	return o
}

// next is what each rule would say if nothing happened before. It may take a while.
func (o *outlook) next() []api.Forecast {
	next := []api.Forecast{}
	if o.policy == nil {
		return next
	}
	for _, forecast := range append(o.policy.Forecasts(&o.facts, o.present.now), o.drain) {
		if forecast.Verdict.Action != policies.Nothing {
			next = append(next, o.present.forecast(forecast))
		}
	}
	return next
}

func (p present) forecast(forecast policies.Forecast) api.Forecast {
	f := api.Forecast{
		Rule: forecast.Rule,
		At:   p.began.Add(forecast.At),
		In:   api.InSeconds(max(0, forecast.At-p.now)),
		Mode: string(policies.ModeEnforce),
	}
	if forecast.Verdict.Observe {
		f.Mode = string(policies.ModeObserve)
	}
	switch forecast.Verdict.Action {
	case policies.PingClient:
		f.Action = "ping_client"
	case policies.PingUpstream:
		f.Action = "ping_upstream"
	case policies.End:
		f.Action, f.Cause = "end", forecast.Verdict.Cause.String()
		if f.CloseCode = forecast.Verdict.Code; f.CloseCode == 0 {
			f.CloseCode, _ = forecast.Verdict.Cause.Codes()
		}
	}
	return f
}

func (f flow) forAPI() api.Flow { return api.Flow{Messages: f.messages, Bytes: f.bytes} }

func (r *roundTrips) forAPI() api.RoundTrips {
	seconds := func(micros uint32) api.Seconds { return api.InSeconds(time.Duration(micros) * time.Microsecond) }
	return api.RoundTrips{
		Count: r.count,
		Last:  seconds(r.last),
		Least: seconds(r.least),
		Most:  seconds(r.most),
		Mean:  api.InSeconds(r.mean()),
	}
}
