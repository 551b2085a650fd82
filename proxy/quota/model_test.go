package quota

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// What Admit and Seat do, one thing after another, is what a list of guests says
// that knows no store: who is refused, who goes for whom, who waits, and how many
// there were. The limits change all the time, as with reloads.
func TestModel(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		newModel(t, newHouse(t, nil, NewMemory(2*patience))).steps(2000)
	})
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		url := "redis://" + miniredis.RunT(t).Addr()
		newModel(t, redisHouse(t, url, false, 2)(t, 2*patience)).steps(120)
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		newModel(t, redisHouse(t, startRedis(t).url(), false, 2)(t, 2*patience)).steps(150)
	})
}

// model is a list of guests, the oldest first.
type model struct {
	*house
	rng    *rand.Rand
	guests []*guest
	n      int
	met    [4]int // refused, evicted, waited, too many
}

// guest is one that has a seat.
type guest struct {
	*visit
	waitsFor     []*guest
	told, ending bool
	among        []int
	exceeds      int // none: -1
}

func newModel(t *testing.T, h *house) *model {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return &model{house: h, rng: rand.New(rand.NewPCG(seed, 0))}
}

func (m *model) steps(n int) {
	for range n {
		m.step()
		m.agrees()
		if m.t.Failed() {
			return
		}
	}
	if slices.Min(m.met[:]) == 0 {
		m.t.Errorf("this tests too little: %v", m.met)
	}
	for len(m.guests) > 0 {
		m.leaves(m.one(func(*guest) bool { return true }))
		m.agrees()
	}
	m.ends()
}

func (m *model) step() {
	switch i := m.rng.IntN(100); {
	case i < 40 && len(m.guests) < 12:
		m.comes(m.rng.IntN(3) > 0)
	case i < 55 && len(m.guests) < 12:
		m.sits()
	case i < 65:
		if g := m.one(func(g *guest) bool { return !g.ending }); g != nil {
			g.ending = true
			g.store.End(g.lease)
		}
	case i < 85:
		if g := m.one(func(g *guest) bool { return g.told }); g != nil {
			m.leaves(g)
		}
	default:
		if g := m.one(func(*guest) bool { return true }); g != nil {
			m.leaves(g)
		}
	}
}

// one returns one of those that are in.
func (m *model) one(fits func(*guest) bool) *guest {
	var those []*guest
	for _, g := range m.guests {
		if len(g.waitsFor) == 0 && fits(g) {
			those = append(those, g)
		}
	}
	if len(those) == 0 {
		return nil
	}
	return those[m.rng.IntN(len(those))]
}

func (m *model) limits() []Limit {
	tag := "{" + m.t.Name() + "}"
	limits := []Limit{{tag + "all", 1 + m.rng.IntN(5)}, {tag + "a", 1 + m.rng.IntN(3)}, {tag + "b", 1 + m.rng.IntN(3)}}
	m.rng.Shuffle(len(limits), func(i, j int) { limits[i], limits[j] = limits[j], limits[i] })
	m.n++
	return limits[:1+m.rng.IntN(len(limits))]
}

func (m *model) sits() {
	limits := m.limits()
	v := m.house.sits(m.n, fmt.Sprint(m.n), limits...)
	m.seat(&guest{visit: v})
}

// comes has a guest ask for admission.
func (m *model) comes(evict bool) {
	limits := m.limits()
	goes, full, clear := m.decide(limits, evict)
	if !clear {
		return
	}
	v := m.house.comes(m.t.Context(), m.n, fmt.Sprint(m.n), evict, limits...)
	if full >= 0 {
		m.met[0]++
		v.out(fullAt(full))
		return
	}
	g := &guest{visit: v, waitsFor: goes}
	var waiting []*guest
	for _, other := range goes {
		if !other.ending {
			m.met[1]++
		}
		other.told, other.ending = true, true
		if len(other.waitsFor) > 0 {
			waiting = append(waiting, other)
		}
	}
	if len(goes) > 0 {
		m.met[2]++
	}
	m.seat(g)
	for _, other := range waiting { // they never were there
		m.gone(other)
		other.isTold().out(ErrSuperseded)
	}
}

// decide says who has to go for a newcomer, or which limit is full. It is not clear
// where some of those that are ending have to be waited for, and it does not matter
// which.
func (m *model) decide(limits []Limit, evict bool) (goes []*guest, full int, clear bool) {
	for i, limit := range limits {
		var ending, kept []*guest
		going := 0
		for _, g := range m.under(limit.Key) {
			switch {
			case slices.Contains(goes, g):
				going++
			case g.ending:
				ending = append(ending, g)
			}
			if !g.ending {
				kept = append(kept, g)
			}
		}
		// There may be as many as the limit says, or as there are already.
		excess := len(m.under(limit.Key)) + 1 - max(limit.Max, len(kept)) - going
		switch {
		case excess <= 0:
		case excess < len(ending):
			return nil, 0, false
		case excess == len(ending):
			goes = append(goes, ending...)
		default: // one more, the oldest
			goes = append(goes, ending...)
			if !evict {
				return nil, i, true
			}
			for _, g := range kept {
				if !slices.Contains(goes, g) {
					goes = append(goes, g)
					break
				}
			}
		}
	}
	return goes, -1, true
}

func (m *model) under(key string) (those []*guest) {
	for _, g := range m.guests {
		if slices.ContainsFunc(g.limits, func(l Limit) bool { return l.Key == key }) {
			those = append(those, g)
		}
	}
	return those
}

// seat adds a guest, whose predecessors are marked.
func (m *model) seat(g *guest) {
	m.guests = append(m.guests, g)
	g.exceeds = -1
	for i, limit := range g.limits {
		n := 0
		for _, other := range m.under(limit.Key) {
			if !other.ending {
				n++
			}
		}
		if g.among = append(g.among, n); n > limit.Max && g.exceeds < 0 {
			g.exceeds = i
			m.met[3]++
		}
	}
}

func (m *model) leaves(g *guest) {
	m.gone(g)
	g.visit.leaves()
}

// gone has nobody wait for a guest any more.
func (m *model) gone(g *guest) {
	is := func(other *guest) bool { return other == g }
	m.guests = slices.DeleteFunc(m.guests, is)
	for _, other := range m.guests {
		other.waitsFor = slices.DeleteFunc(other.waitsFor, is)
	}
}

// agrees waits until the house is as the list says.
func (m *model) agrees() {
	m.t.Helper()
	for _, limit := range []string{"all", "a", "b"} {
		key := "{" + m.t.Name() + "}" + limit
		eventually(m.t, "the seats to be those of the model", func() bool { return m.len(key) == len(m.under(key)) })
	}
	for _, g := range m.guests {
		if len(g.waitsFor) == 0 {
			g.in().isAmong(g.among...)
			if i := firstExceeded(g.lease); i != g.exceeds {
				m.t.Errorf("%s exceeds limit %d, want %d", g.name, i, g.exceeds)
			}
		}
		if g.told {
			g.isTold()
		}
	}
	m.settles()
	for _, g := range m.guests {
		if len(g.waitsFor) > 0 {
			g.waits()
		}
		if !g.told {
			g.stays()
		}
	}
}
