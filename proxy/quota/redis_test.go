package quota

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// An admission asks once, and what else happens to a lease asks at most once for
// many.
func TestRedisRequests(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	h := newHouse(t, server.client, newReplica(t, server.url(), nil))
	requests := func() (scripts, others int) {
		for line := range strings.Lines(server.client.Info(t.Context(), "commandstats").Val()) {
			m := commandStats.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			var n int
			_, _ = fmt.Sscan(m[2], &n)
			switch m[1] {
			case "evalsha":
				scripts += n
			case "eval", "script|load", "publish", "get", "set":
				others += n
			}
		}
		return scripts, others
	}
	must(t, server.client.ConfigResetStat(t.Context()).Err())
	const n = 100
	var all []*visit
	for i := range n {
		all = append(all, h.comes(t.Context(), 0, fmt.Sprint(i), false, Limit{"{a}all", n}, Limit{"{a}ip", n}, Limit{"{a}id", n}).in())
	}
	h.comes(t.Context(), 0, "too many", false, Limit{"{a}all", n}).out(fullAt(0))
	if scripts, others := requests(); scripts != n+1 || others != 0 {
		t.Errorf("%d scripts and %d other commands for %d admissions", scripts, others, n+1)
	}
	must(t, server.client.ConfigResetStat(t.Context()).Err())
	r := h.stores[0].(*Redis)
	r.local.mu.Lock() // so that the writer finds all at once
	for _, v := range all {
		r.local.end(v.lease)
		r.local.give(v.lease)
	}
	r.local.mu.Unlock()
	h.settles()
	if scripts, others := requests(); scripts != 1 || others != 0 {
		t.Errorf("%d scripts and %d other commands give %d leases back", scripts, others, n)
	}
}

var commandStats = regexp.MustCompile(`^cmdstat_([a-z|]+):calls=(\d+)`)

// Several replicas count together: of many that come at once, as many get in as
// may.
func TestRedisTogether(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	h := newHouse(t, server.client)
	for range 3 {
		h.stores = append(h.stores, newReplica(t, server.url(), nil))
	}
	const limit, n = 3, 300
	var all []*visit
	for i := range n {
		all = append(all, h.comes(t.Context(), i, fmt.Sprint(i), false, Limit{"{a}", limit}))
	}
	in := 0
	for _, v := range all {
		v.answered()
		if v.err == nil {
			in++
		} else {
			v.out(fullAt(0))
		}
	}
	if in != limit {
		t.Errorf("%d are in, want %d", in, limit)
	}
	h.ends()
}

// Close gives all leases back.
func TestRedisClose(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	r := newReplica(t, server.url(), nil)
	other := newReplica(t, server.url(), nil)
	h := newHouse(t, server.client, r, other)
	old := h.comes(t.Context(), 0, "old", true, Limit{"{a}", 1}, Limit{"{a}b", 1}).in()
	next := h.comes(t.Context(), 1, "next", true, Limit{"{a}", 1})
	old.isTold().quits()
	must(t, r.Close())
	must(t, r.Close())
	r.End(old.lease)
	r.Give(old.lease)
	next.in().leaves() // it is told at once
	h.stores = h.stores[1:]
	h.ends()
}

// A replica that has died has no seats after a lease, under every kind of limit.
func TestRedisDies(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	short := func(o *RedisOptions) { o.Lease, o.Timeout = 600*time.Millisecond, 150*time.Millisecond }
	dead, alive := newReplica(t, server.url(), short), newReplica(t, server.url(), short)
	h := newHouse(t, server.client, dead, alive)
	limit := Limit{"{a}", 2}
	gone := h.comes(t.Context(), 0, "gone", false, limit).in()
	stays := h.comes(t.Context(), 1, "stays", false, limit).in()
	dead.local.mu.Lock()
	dead.closed = true // so that it says nothing
	dead.local.mu.Unlock()
	died := time.Now()
	must(t, dead.Close())
	gone.quits()
	h.comes(t.Context(), 1, "too early", false, limit).out(fullAt(0))
	h.comes(t.Context(), 1, "evicts", true, limit).in() // when the lease is over: nobody answers
	if took := time.Since(died); took < alive.options.Lease/2 {
		t.Errorf("the seat was free after %v", took)
	}
	stays.stays()
	h.stores = h.stores[1:]
	h.visits = h.visits[1:]
	h.ends()
}

// While Redis does not answer, or is not there, this replica counts alone, or
// nobody gets in. When Redis is back, it knows all again.
func TestRedisFails(t *testing.T) {
	t.Parallel()
	for _, deny := range []bool{false, true} {
		for name, outage := range map[string]struct{ begin, end func(*redisServer) }{
			"stands still": {
				func(s *redisServer) { s.signal(syscall.SIGSTOP) },
				func(s *redisServer) { s.signal(syscall.SIGCONT) },
			},
			"is killed": {(*redisServer).kill, (*redisServer).restart},
		} {
			t.Run(fmt.Sprintf("%s, deny %v", name, deny), func(t *testing.T) {
				t.Parallel()
				server := startRedis(t)
				var journals []*journal
				h := newHouse(t, server.client)
				for range 2 {
					j := &journal{}
					journals = append(journals, j)
					h.stores = append(h.stores, newReplica(t, server.url(), func(o *RedisOptions) {
						o.Deny, o.Timeout, o.Log, o.Registerer = deny, 200*time.Millisecond, j.log(), j.registry()
					}))
				}
				limit := Limit{"{a}", 3}
				ctx := t.Context()
				a := h.comes(ctx, 0, "a", false, limit).in()
				b := h.comes(ctx, 1, "b", false, limit).in()
				c := h.comes(ctx, 0, "c", false, limit).in()
				h.comes(ctx, 1, "full", false, limit).out(fullAt(0))

				outage.begin(server)
				var alone *visit
				if deny {
					for i := range 50 {
						h.comes(ctx, i, "unavailable", true, limit).out(ErrUnavailable)
					}
				} else {
					h.visits = nil // the limit holds in each replica now, not in both
					h.there = make(map[string]int)
					alone = h.comes(ctx, 0, "alone", false, limit).in()
					for range 50 {
						h.comes(ctx, 0, "full alone", false, limit).out(fullAt(0))
					}
					h.comes(ctx, 1, "alone, too", false, limit).in()
				}
				b.leaves()

				outage.end(server)
				for i, s := range h.stores {
					eventually(t, fmt.Sprintf("replica %d to be up", i), func() bool {
						up, _ := s.(*Redis).state()
						return up
					})
				}
				h.settles()
				if deny {
					h.comes(ctx, 1, "d", false, limit).in()
				} else {
					h.comes(ctx, 1, "there are four", false, limit).out(fullAt(0))
					alone.leaves()
					a.leaves()
					h.settles()
					h.comes(ctx, 1, "e", false, limit).in()
				}
				h.comes(ctx, 0, "full again", false, limit).out(fullAt(0))
				c.leaves()
				a.leaves()
				h.ends()
				for i, j := range journals {
					if down, up := j.count("WARN"), j.count("INFO"); down != 1 || up != 1 {
						t.Errorf("replica %d has said %d times that Redis fails, and %d times that it is back:\n%s", i, down, up, j)
					}
				}
				outcome := "local"
				if deny {
					outcome = "unavailable"
				}
				if n := journals[0].outcomes(t, outcome); n < 25 {
					t.Errorf("%v %s admissions", n, outcome)
				}
			})
		}
	}
}

// Where there is no Redis at the start, a replica that may do without starts.
func TestRedisAbsentAtStart(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--requirepass", "secret")
	server.kill()
	url := "redis://user:secret@" + server.address()

	options := replicaOptions(t, url)
	options.Deny, options.ConnectTimeout = true, 50*time.Millisecond
	_, err := NewRedis(t.Context(), options)
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), server.address()) {
		t.Errorf("error: %v", err)
	}

	j := &journal{}
	r := newReplica(t, url, func(o *RedisOptions) {
		o.URL = "redis://:secret@" + server.address()
		o.Log, o.Timeout, o.Registerer = j.log(), 200*time.Millisecond, j.registry()
	})
	h := newHouse(t, server.client, r)
	h.comes(t.Context(), 0, "a", false, Limit{"{a}", 1}).in()
	if down, up := j.count("WARN"), j.count("INFO"); down != 1 || up != 0 || strings.Contains(j.String(), "secret") {
		t.Errorf("log:\n%s", j)
	}
	server.restart()
	h.redis = server.client
	eventually(t, "Redis to be used", func() bool { return j.count("INFO") == 1 })
	h.settles() // it knows of a
	h.comes(t.Context(), 0, "b", false, Limit{"{a}", 1}).out(fullAt(0))
	h.ends()
}

// Nothing of a URL that is wrong is shown.
func TestRedisURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "127.0.0.1:6379", "http://:secret@127.0.0.1", "redis://:secret@127.0.0.1:port", "redis://:sec/secret@127.0.0.1:6379",
		"redis://u:secret%zz@127.0.0.1", "redis://:secret@127.0.0.1/x/secret", "redis://:secret@127.0.0.1/0?secret=1", "redis://",
	} {
		for _, deny := range []bool{true, false} {
			options := replicaOptions(t, url)
			options.Deny = deny
			r, err := NewRedis(t.Context(), options)
			if err == nil {
				_ = r.Close()
				t.Errorf("%q is a URL", url)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", url, err)
			}
		}
	}
}

// What Redis refuses is not waited for: the remedy is in the URL.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	server.RequireAuth("secret")
	for _, password := range []string{"", ":wrong@"} {
		options := replicaOptions(t, "redis://"+password+server.Addr())
		options.Deny, options.ConnectTimeout = true, 2*patience
		r, err := NewRedis(t.Context(), options)
		if err == nil {
			_ = r.Close()
		}
		if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "wrong@") {
			t.Errorf("password %q: %v", password, err)
		}
	}
}

// A peer that accepts and never answers is given up in time.
func TestRedisSilent(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	j := &journal{}
	r := newReplica(t, "redis://"+ln.Addr().String(), func(o *RedisOptions) {
		o.Log, o.Timeout = j.log(), 50*time.Millisecond
	})
	h := newHouse(t, nil, r)
	h.comes(t.Context(), 0, "a", false, Limit{"{a}", 1}).in()
	h.comes(t.Context(), 0, "b", false, Limit{"{a}", 1}).out(fullAt(0))
	if n := j.count("WARN"); n != 1 {
		t.Errorf("log:\n%s", j)
	}
}

// Equal requests are answered once: the first one's answer, and with it whom to
// wait for, was lost.
func TestRedisAskedTwice(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	r := newReplica(t, server.url(), nil)
	l := newLease(nil, []Limit{{"{a}", 1}})
	r.register(l)
	_, err := r.ask(l, []Limit{{"{a}", 1}}, rejects)
	must(t, err)
	if _, err := r.ask(l, []Limit{{"{a}", 1}}, rejects); !errors.Is(err, errAgain) {
		t.Errorf("error: %v", err)
	}
	r.Give(l)
	eventually(t, "the seat to be free", func() bool { return server.client.DBSize(context.Background()).Val() == 0 })
}

// A message that was lost is said again.
func TestRedisMessageLost(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	deaf, other := newReplica(t, server.url(), nil), newReplica(t, server.url(), nil)
	h := newHouse(t, server.client, deaf, other)
	old := h.comes(t.Context(), 0, "old", true, Limit{"{a}", 1}).in()
	deafen(t, server, deaf)
	next := h.comes(t.Context(), 1, "next", true, Limit{"{a}", 1})
	eventually(t, "next to wait", func() bool {
		other.local.mu.Lock()
		defer other.local.mu.Unlock()
		return len(other.absent) == 1
	})
	old.stays()
	must(t, deaf.inbox.Subscribe(t.Context(), channelOf(deaf.replica)))
	old.isTold().leaves()
	next.in()
	h.ends()
}

// Whether another replica's lease is gone is what that replica says, or its silence
// for a lease; but not silence that this replica has slept through.
func TestRedisAbsence(t *testing.T) {
	t.Parallel()
	const lease, timeout = 30 * time.Second, time.Second
	now := time.Now()
	r := &Redis{
		options: RedisOptions{Lease: lease, Timeout: timeout}, local: NewMemory(time.Second), replica: "me",
		now: func() time.Time { return now }, wake: make(chan struct{}, 1),
		absent: make(map[string]*absence), early: make(map[string]time.Time),
	}
	left := func(name string, left time.Duration) *Lease { return r.miss(predecessor{name, left}) }
	wantGone := func(l *Lease, want bool) {
		t.Helper()
		select {
		case <-l.gone:
			if !want {
				t.Error("it is gone")
			}
		default:
			if want {
				t.Error("it is not gone")
			}
		}
	}

	a := left("a", 10*time.Second)
	if left("a", 10*time.Second) != a {
		t.Error("one lease is waited for as two")
	}
	now = now.Add(10*time.Second + 1)
	r.remind()
	wantGone(a, false) // "here" may be in the inbox
	r.receive("here a")
	now = now.Add(lease)
	r.remind()
	wantGone(a, false)
	now = now.Add(1)
	r.remind()
	now = now.Add(timeout)
	r.remind()
	wantGone(a, false)
	now = now.Add(1)
	r.remind()
	wantGone(a, true)

	b := left("b", lease)
	r.remind()
	if last := r.outbox[len(r.outbox)-1]; last != (message{"b", "over b me"}) {
		t.Errorf("sent: %v", last)
	}
	wantGone(b, false)
	r.receive("gone b")
	wantGone(b, true)

	r.receive("gone c") // ahead of Redis' answer
	if left("c", lease) != nil {
		t.Error("what is gone is waited for")
	}
	now = now.Add(timeout + time.Second + 1)
	r.remind()
	if len(r.early) != 0 || len(r.absent) != 0 {
		t.Error("something is kept for ever")
	}

	r.receive("over d other") // it does not know d
	if last := r.outbox[len(r.outbox)-1]; last != (message{"other", "gone d"}) {
		t.Errorf("sent: %v", last)
	}
	r.receive("")
	r.receive("over")
	r.receive("here e")
}

// journal is what a replica logs and counts.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	reg  *prometheus.Registry
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) log() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *journal) registry() prometheus.Registerer {
	j.reg = prometheus.NewRegistry()
	return j.reg
}

func (j *journal) count(level string) int { return strings.Count(j.String(), "level="+level) }

func (j *journal) outcomes(t *testing.T, outcome string) float64 {
	t.Helper()
	families, err := j.reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "wswarden_store_admissions_total" && l.GetValue() == outcome {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return -1
}
