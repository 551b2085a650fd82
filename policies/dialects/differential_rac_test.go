package dialects_test

import (
	"encoding/binary"
	"testing"

	"wswarden/config"
	"wswarden/policies/dialects"
)

const (
	racSessions = 3_000
	racMessages = 40 // of a session
)

// After every sequence of messages, the subscriptions that are counted are those
// that the server has, and what is sent at the end leaves it none.
func TestDifferentialRAC(t *testing.T) {
	t.Parallel()
	spec, ok := config.Builtin("rac")
	if !ok {
		t.Fatal("there is no dialect rac")
	}
	rac, problems := dialects.Compile(spec)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g := racGenerator{dialects.NewGenerator(1,
		[]string{"type", "type", "payload", "payload", "pnr", "pnr", "__proto__", "Type", "role"},
		[]string{"subscribe:offers", "subscribe:offers", "unsubscribe:offers", "SUBSCRIBE", "UNSUBSCRIBE", "ping", "1", "broadcasts"})}

	var batch []byte
	var reader dialects.Reader
	refused := 0
	sessions := dialects.Fewer(racSessions)
	for range sessions {
		counted := racSession{dialect: rac, reader: &reader}
		var passed, kept [][]byte
		for range racMessages {
			message := g.message()
			if counted.receive(g.In(2), message) {
				passed = append(passed, message)
			} else {
				kept = append(kept, message)
			}
		}
		refused += len(kept)
		batch = appendTexts(appendTexts(batch, kept), passed)
		batch = counted.append(t, batch)
	}

	var seen struct {
		Sessions, Messages, Subscribed, Unsubscribed, Live, Broadcasts int
		Disagreements                                                  []string
	}
	dialects.AskNode(t, "rac.js", batch, &seen)
	for _, d := range seen.Disagreements {
		t.Error(d)
	}
	messages := sessions * racMessages
	if seen.Sessions != sessions || seen.Messages+refused != messages {
		t.Errorf("%d messages of %d sessions were compared, and %d refused", seen.Messages, seen.Sessions, refused)
	}
	// Enough of each happened for this to be a test.
	for what, row := range map[string]struct{ got, want int }{
		"messages":     {seen.Messages, messages * 9 / 10},
		"refused":      {refused, messages / 100},
		"subscribed":   {seen.Subscribed, messages / 6},
		"unsubscribed": {seen.Unsubscribed, messages / 60},
		"live":         {seen.Live, messages / 10},
		"broadcasts":   {seen.Broadcasts, sessions / 3},
	} {
		if row.got < row.want {
			t.Errorf("%s: %d, want %d at least", what, row.got, row.want)
		}
	}
	seen.Disagreements = nil
	t.Logf("%+v, refused %d", seen, refused)
}

// racSession counts as a session does, but simply.
type racSession struct {
	dialect *dialects.Dialect
	reader  *dialects.Reader
	live    map[uint64]racSubscription
}

type racSubscription struct {
	kind            *dialects.SubscribeKind
	topic, captured []byte
}

// receive reads a client's message. It returns false if the message must not pass.
func (s *racSession) receive(binary bool, message []byte) bool {
	s.reader.Begin(s.dialect, dialects.ClientToUpstream, binary, message)
	for r := s.reader.Next(); r != nil; r = s.reader.Next() {
		switch r.Kind {
		case dialects.Subscribe:
			if !r.Rule.Usable(r) {
				return false
			}
			if s.live == nil {
				s.live = map[uint64]racSubscription{}
			}
			topic := append([]byte(nil), r.Topic.Raw...)
			s.live[r.Rule.Identity(r).Hash()] = racSubscription{r.Rule, topic, r.Rule.AppendCaptured(nil, r)}
		case dialects.Unsubscribe:
			delete(s.live, r.Topic.Hash())
		}
	}
	return s.reader.Err() == nil
}

// append appends what is live, and what would be sent to end it.
func (s *racSession) append(t *testing.T, batch []byte) []byte {
	t.Helper()
	var topics, unsubscribes [][]byte
	broadcasts := byte(0)
	for _, sub := range s.live {
		if string(sub.topic) == "broadcasts" { // a topic in a message has quotes
			broadcasts = 1
		} else {
			topics = append(topics, sub.topic)
		}
		unsubscribe, ok := sub.kind.AppendUnsubscribe(nil, sub.captured, nil)
		if !ok {
			t.Errorf("%s cannot be undone", sub.topic)
		}
		unsubscribes = append(unsubscribes, unsubscribe)
	}
	return appendTexts(appendTexts(append(batch, broadcasts), topics), unsubscribes)
}

func appendTexts(batch []byte, texts [][]byte) []byte {
	batch = binary.LittleEndian.AppendUint32(batch, uint32(len(texts)))
	for _, text := range texts {
		batch = dialects.AppendText(batch, text)
	}
	return batch
}

// racGenerator makes messages that subscribe and unsubscribe, and some that try to
// seem to do something else.
type racGenerator struct{ *dialects.Generator }

func (g racGenerator) message() []byte {
	if g.In(8) {
		return g.Message()
	}
	dst := []byte{'{'}
	for i, n := 0, 1+g.pick(1, 1, 1, 1, 2, 3); i < n; i++ {
		switch {
		case i > 0 && g.In(3):
			dst = g.member(dst, "type", g.kind)
		case i > 0 || g.In(2):
			dst = g.member(dst, "payload", g.payload)
			dst = g.member(dst, "type", g.kind)
		default:
			dst = g.member(dst, "type", g.kind)
			dst = g.member(dst, "payload", g.payload)
		}
	}
	return g.Spoil(append(dst, '}'))
}

func (g racGenerator) member(dst []byte, key string, value func([]byte) []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return g.Member(dst, key, value)
}

func (g racGenerator) pick(from ...int) int { return dialects.Pick(g.Generator, from) }

func (g racGenerator) kind(dst []byte) []byte {
	return g.String(dst, dialects.Pick(g.Generator, []string{
		"subscribe:offers", "subscribe:offers", "subscribe:offers", "subscribe:offers", "unsubscribe:offers", "unsubscribe:offers", "unsubscribe:offers",
		"SUBSCRIBE", "UNSUBSCRIBE", "ping", "Subscribe:offers",
	}))
}

func (g racGenerator) payload(dst []byte) []byte {
	if g.In(20) {
		return g.Value(dst)
	}
	dst = append(dst, '{')
	for range 1 + g.pick(0, 0, 0, 0, 0, 1) {
		dst = g.member(dst, "pnr", g.topic)
	}
	if g.In(10) {
		dst = g.member(dst, "note", g.Value)
	}
	return append(dst, '}')
}

// topic appends one of few topics, so that the same ones come again, spelled in
// another way.
func (g racGenerator) topic(dst []byte) []byte {
	switch g.pick(0, 0, 0, 0, 1, 1, 2, 3) {
	case 0:
		return g.String(dst, dialects.Pick(g.Generator, []string{"1", "1722500001", "broadcasts", "é", "😀", "�", "{{topic}}", `a"\`}))
	case 1:
		return append(dst, dialects.Pick(g.Generator, []string{"1", "1.0", "1e0", "10E-1", "0", "-0", "1e400", "2e999", "9007199254740993", "9007199254740992"})...)
	case 2:
		return g.Number(dst)
	default:
		return g.Value(dst)
	}
}
