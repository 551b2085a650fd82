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
	before []predecessor
}

// predecessor is a lease that has to go.
type predecessor struct {
	name string
	left time.Duration // until it expires, unless it is renewed
}

// ask asks Redis to seat l.
func (r *Redis) ask(l *Lease, limits []Limit, evict bool) (a answer, err error) {
	keys := make([]string, 0, 2*len(limits))
	args := make([]any, 0, 4+len(limits))
	args = append(args, l.shared.name, r.options.Lease.Milliseconds(), evict, nil)
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
	a, err = parseAnswer(reply)
	if a.age > 0 {
		r.skew.Store(a.age - r.now().UnixMicro())
	}
	return a, err
}

// time is about what Redis' clock says, in µs: not later than that, so that Redis
// does nothing that is no longer waited for.
func (r *Redis) time() int64 { return r.now().UnixMicro() + r.skew.Load() }

func parseAnswer(reply []any) (a answer, err error) {
	p := replyParser{rest: reply}
	switch p.int() {
	case 0:
		a.full = true
		a.index = p.int()
	case 1:
		a.age = int64(p.int())
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
