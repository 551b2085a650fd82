package upstreams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"wswarden/config"
	"wswarden/policies"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = time.Second

var errRefused = errors.New("connection refused")

// house is a Pool with all that is around it.
type house struct {
	*Pool
	t        *testing.T
	options  Options
	registry *prometheus.Registry
	log      logged
	zone     zone
	failing  chan *Address // for who waits
	bubbled  bool

	mu    sync.Mutex
	moved policies.Moment // by the test
	began time.Time       // zero: its clock stands still but for that
}

// build makes a Pool that is closed when the test ends.
func build(t *testing.T, change func(*config.Upstream)) *house {
	h := &house{t: t, registry: prometheus.NewRegistry(), failing: make(chan *Address)}
	h.zone.found = make(map[string]answer)
	h.options = Options{
		Log:        slog.New(slog.NewJSONHandler(&h.log, nil)),
		Registerer: h.registry,
		Failing: func(a *Address) {
			select {
			case h.failing <- a:
			default:
			}
		},
		Lookup: h.zone.lookup,
		Now:    h.now,
	}
	h.Pool = New(settings(change), nil, h.options)
	t.Cleanup(func() { h.Close() })
	return h
}

// of makes one of these servers, with the defaults.
func of(t *testing.T, urls ...string) *house {
	return build(t, func(c *config.Upstream) { c.URLs = urls })
}

func settings(change func(*config.Upstream)) config.Upstream {
	c := config.Default().Upstream
	change(&c)
	return c
}

// reload puts another Pool in the place of the present one.
func (h *house) reload(change func(*config.Upstream)) {
	h.Pool = New(settings(change), h.Pool, h.options)
}

func (h *house) now() policies.Moment {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began.IsZero() {
		return 1 + h.moved
	}
	return 1 + h.moved + time.Since(h.began)
}

// advance moves the clock of breakers, losses and names.
func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moved += d
}

// pick returns what Pick does, as text.
func (h *house) pick(key string) string {
	h.t.Helper()
	order, err := h.Pick(key, 2*second)
	if err != nil {
		return err.Error()
	}
	return join(order)
}

func join(all []*Address) string {
	labels := make([]string, len(all))
	for i, a := range all {
		labels[i] = a.String()
	}
	return strings.Join(labels, " ")
}

// at returns the address with this label.
func (h *house) at(label string) *Address {
	h.t.Helper()
	for _, a := range h.Addresses() {
		if a.String() == label {
			return a
		}
	}
	h.t.Fatalf("%s is not among %s", label, join(h.Addresses()))
	return nil
}

// fail has so many dials fail.
func fail(a *Address, times int) {
	for range times {
		a.Failed(errRefused)
	}
}

// wantLog fails unless these lines, and no others, were written since the last time.
// Each is the message with the values of the attributes, in their order.
func (h *house) wantLog(lines ...string) {
	h.t.Helper()
	if h.bubbled {
		synctest.Wait() // what is told is known a moment before
	}
	got, want := h.log.take(h.t), strings.Join(lines, "\n")
	if got != want {
		h.t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
}

// awaitLog waits for wantLog: what is told is known a moment before.
func (h *house) awaitLog(lines ...string) {
	h.t.Helper()
	until(h.t, func() bool {
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		return bytes.Count(h.log.buf.Bytes(), []byte("\n")) >= len(lines)
	})
	h.wantLog(lines...)
}

// metrics returns each metric's value by its name, less what is common to all, and its
// address.
func (h *house) metrics() map[string]float64 {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			all[strings.TrimPrefix(family.GetName(), "wswarden_upstream_")+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return all
}

// until waits for a condition that is bound to come.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// zone answers lookups.
type zone struct {
	mu      sync.Mutex
	found   map[string]answer
	lookups int
}

type answer struct {
	addrs string // separated by spaces
	err   error
	wait  time.Duration // before it comes; it does not outlast the asker
}

func (z *zone) set(host string, a answer) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.found[host] = a
}

func (z *zone) asked() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.lookups
}

func (z *zone) lookup(ctx context.Context, host string) (addrs []netip.Addr, err error) {
	z.mu.Lock()
	z.lookups++
	a, ok := z.found[host]
	z.mu.Unlock()
	if !ok {
		return nil, errors.New("no such host")
	}
	if a.wait > 0 {
		select {
		case <-time.After(a.wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for _, text := range strings.Fields(a.addrs) {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, a.err
}

// logged keeps what is logged. It is written and read by different goroutines.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take returns the lines since the last time.
func (l *logged) take(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for decoder := json.NewDecoder(&l.buf); ; {
		var line map[string]any
		if err := decoder.Decode(&line); err == io.EOF {
			return strings.Join(lines, "\n")
		} else if err != nil {
			t.Fatal(err)
		}
		text := line["level"].(string) + " " + line["msg"].(string)
		for _, key := range []string{"address", "name", "failures", "retry_after", "last_answer_holds", "addresses", "others_since", "error"} {
			if value, ok := line[key]; ok {
				encoded, _ := json.Marshal(value)
				text += " " + key + "=" + strings.Trim(string(encoded), `"`)
			}
		}
		lines = append(lines, text)
	}
}

// Addresses returns those that are known at present, in no particular order.
func (p *Pool) Addresses() []*Address {
	members, _ := p.current()
	all := make([]*Address, len(members))
	for i, m := range members {
		all[i] = m.Address
	}
	return all
}
