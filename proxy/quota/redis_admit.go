package quota

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed admit.lua
var admitSource string

var admitScript = redis.NewScript(admitSource)

var (
	// errAgain: the answer to the first of two equal requests was lost, and with it
	// whom to wait for.
	errAgain = errors.New("admitted twice")
	// errLate: the request came when its answer was no longer waited for, or a clock
	// was set, and was not done.
	errLate = errors.New("admitted too late")
)

// answer is what Redis says to an admission.
type answer struct {
	full   bool
	index  int // of the limit that is full
	age    int64
	among  []int32 // by limit
	before []predecessor
}

// whenFull says what the script does where a limit is full.
type whenFull string

const (
	rejects   whenFull = "reject"
	evicts    whenFull = "evict" // the oldest one gives way
	overfills whenFull = "overfill"
)

// predecessor is a lease that has to go.
type predecessor struct {
	name string
	left time.Duration // until it expires, unless it is renewed
}

// Admit is Store's. It asks Redis once.
func (r *Redis) Admit(ctx context.Context, holder Holder, limits []Limit, evict bool) (*Lease, error) {
	l := newLease(holder, limits)
	if len(limits) == 0 {
		return l, nil
	}
	up, failures := r.register(l)
	if !up {
		return r.admitAlone(ctx, l, limits, evict)
	}
	full := rejects
	if evict {
		full = evicts
	}
	answer, err := r.ask(l, limits, full)
	if err != nil {
		r.fail(failures, err)
		return r.admitAlone(ctx, l, limits, evict)
	}
	if answer.full {
		r.metrics.refused.Inc()
		r.local.mu.Lock()
		r.forget(l)
		r.local.mu.Unlock()
		return nil, &FullError{Index: answer.index, Limit: limits[answer.index]}
	}
	r.metrics.admitted.Inc()
	if err := r.local.await(ctx, l, r.mirror(l, &answer)); err != nil {
		return nil, err
	}
	return l, nil
}

// Seat is Store's. It asks Redis once.
func (r *Redis) Seat(holder Holder, limits []Limit) *Lease {
	l := newLease(holder, limits)
	if len(limits) == 0 {
		return l
	}
	up, failures := r.register(l)
	if up {
		answer, err := r.ask(l, limits, overfills)
		if err == nil {
			r.metrics.admitted.Inc()
			r.mirror(l, &answer)
			return l
		}
		r.fail(failures, err)
	}
	r.metrics.alone.Inc()
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	r.local.add(l)
	r.seatedAlone(l)
	return l
}

// Reseat is Store's.
func (r *Redis) Reseat(instead *Lease, holder Holder, limits []Limit) *Lease {
	l := r.Seat(holder, limits)
	r.Give(instead)
	return l
}

// admitAlone does without Redis.
func (r *Redis) admitAlone(ctx context.Context, l *Lease, limits []Limit, evict bool) (*Lease, error) {
	if r.options.Deny {
		r.metrics.unavailable.Inc()
		r.Give(l)
		return nil, ErrUnavailable
	}
	r.metrics.alone.Inc()
	before, err := r.local.admit(l, limits, evict)
	if err != nil {
		r.Give(l)
		return nil, err
	}
	r.local.mu.Lock()
	r.seatedAlone(l)
	r.local.mu.Unlock()
	if err := r.local.await(ctx, l, before); err != nil {
		return nil, err
	}
	return l, nil
}

// seatedAlone has Redis hear of l, which was seated without it. local.mu is held.
func (r *Redis) seatedAlone(l *Lease) {
	l.shared.age = r.time()
	l.shared.seated = true
	r.changed(l)
}

// mirror seats l as Redis has, and returns those that are to be waited for.
func (r *Redis) mirror(l *Lease, a *answer) (before []*Lease) {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	for _, p := range a.before {
		goes := r.leases[p.name]
		switch {
		case goes != nil:
			r.local.supersede(goes)
		case replicaOf(p.name) != r.replica:
			goes = r.miss(p)
		}
		if goes != nil { // otherwise it went just now
			before = append(before, goes)
		}
	}
	l.shared.age = a.age
	l.shared.seated = true
	r.local.add(l)
	for i, among := range a.among {
		l.seats[i].among = among
	}
	if l.ending {
		r.changed(l)
	}
	return before
}

// ask asks Redis to seat l.
func (r *Redis) ask(l *Lease, limits []Limit, full whenFull) (a answer, err error) {
	keys := make([]string, 0, 2*len(limits))
	args := make([]any, 0, 4+len(limits))
	args = append(args, l.shared.name, r.options.Lease.Milliseconds(), string(full), nil)
	for _, limit := range limits {
		keys = append(keys, rowOf(limit.Key), agesOf(limit.Key))
		args = append(args, limit.Max)
	}
	for range 3 { // the second time, it knows what time it is there
		args[3] = r.time() + r.options.Timeout.Microseconds()
		if a, err = r.askOnce(keys, args); !errors.Is(err, errLate) {
			break
		}
	}
	return a, err
}

func (r *Redis) askOnce(keys []string, args []any) (a answer, err error) {
	// Not the caller's context: whether there is a seat must not be left open.
	ctx, cancel := context.WithTimeout(context.Background(), r.options.Timeout)
	defer cancel()
	reply, err := admitScript.Run(ctx, r.client, keys, args...).Slice()
	if err != nil {
		return a, err
	}
	a, err = parseAnswer(reply, len(keys)/2)
	if a.age > 0 {
		r.skew.Store(a.age - r.now().UnixMicro())
	}
	return a, err
}

// time is about what Redis' clock says, in µs: not later than that, so that Redis
// does nothing that is no longer waited for.
func (r *Redis) time() int64 { return r.now().UnixMicro() + r.skew.Load() }

func parseAnswer(reply []any, limits int) (a answer, err error) {
	p := replyParser{rest: reply}
	switch p.int() {
	case 0:
		a.full = true
		a.index = p.int()
	case 1:
		a.age = int64(p.int())
		a.among = make([]int32, limits)
		for i := range a.among {
			a.among[i] = int32(p.int())
		}
		for p.err == nil && len(p.rest) > 0 {
			a.before = append(a.before, predecessor{p.text(), time.Duration(p.int()) * time.Millisecond})
		}
	case 2:
		return a, errAgain
	case 3:
		a.age = int64(p.int())
		return a, errLate
	}
	return a, p.err
}

func rowOf(key string) string      { return "wswarden:" + key + ":lease" }
func agesOf(key string) string     { return "wswarden:" + key + ":age" }
func replicaOf(name string) string { return name[:min(len(name), 16)] }

// replyParser reads what a script has returned.
type replyParser struct {
	rest []any
	err  error
}

func (p *replyParser) next() any {
	if len(p.rest) == 0 {
		p.err = errors.New("short answer")
		return nil
	}
	v := p.rest[0]
	p.rest = p.rest[1:]
	return v
}

func (p *replyParser) text() string {
	s, _ := p.next().(string)
	return s
}

func (p *replyParser) int() int {
	switch v := p.next().(type) {
	case int64:
		return int(v)
	case string:
		n, err := strconv.Atoi(v)
		if err != nil {
			p.err = err
		}
		return n
	}
	return -1
}
