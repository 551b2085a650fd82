package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Sort is an order of sessions: the name of what they are sorted by, behind a minus
// sign if the greatest come first. The zero Sort is by id.
type Sort string

var orders = map[Sort]func(a, b *Session) int{
	"id":            func(a, b *Session) int { return 0 },
	"policy":        func(a, b *Session) int { return cmp.Compare(a.Policy, b.Policy) },
	"address":       func(a, b *Session) int { return a.Address.Compare(b.Address) },
	"identity":      func(a, b *Session) int { return cmp.Compare(a.Identity, b.Identity) },
	"state":         func(a, b *Session) int { return cmp.Compare(a.State, b.State) },
	"age":           func(a, b *Session) int { return b.Opened.Compare(a.Opened) },
	"idle":          func(a, b *Session) int { return b.Active.Compare(a.Active) },
	"messages":      func(a, b *Session) int { return cmp.Compare(messages(a), messages(b)) },
	"bytes":         func(a, b *Session) int { return cmp.Compare(bytes(a), bytes(b)) },
	"ping":          func(a, b *Session) int { return cmp.Compare(a.Ping, b.Ping) },
	"subscriptions": func(a, b *Session) int { return cmp.Compare(a.Subscriptions, b.Subscriptions) },
}

func messages(s *Session) uint64 { return s.ClientToUpstream.Messages + s.UpstreamToClient.Messages }
func bytes(s *Session) uint64    { return s.ClientToUpstream.Bytes + s.UpstreamToClient.Bytes }

// Sorts returns what sessions can be sorted by.
func Sorts() []Sort { return slices.Sorted(maps.Keys(orders)) }

// ParseSort reads the parameter sort; empty is by id. The error is a *FieldError.
func ParseSort(text string) (Sort, error) {
	s := Sort(text)
	if _, known := orders[s.by()]; !known {
		return "", &FieldError{"sort", "\"" + text + "\" is not known; use one of " + join(Sorts()) + ", with a minus in front for the greatest first"}
	}
	return s, nil
}

func (s Sort) by() Sort {
	if s == "" {
		return "id"
	}
	return Sort(strings.TrimPrefix(string(s), "-"))
}

// Compare orders two sessions: it is zero for the same one only. The order of those
// that are alike otherwise is by id.
func (s Sort) Compare(a, b *Session) int {
	order := orders[s.by()](a, b)
	if order == 0 {
		order = cmp.Compare(a.ID, b.ID)
	}
	if strings.HasPrefix(string(s), "-") {
		return -order
	}
	return order
}
