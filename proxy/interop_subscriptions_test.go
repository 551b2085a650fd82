package proxy_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

const (
	greedyLimit   = 20      // subscriptions
	greedyMost    = 4 << 10 // bytes of a message
	greedyClients = 2       // at a time, of each policy
)

// greedyPolicies are ways to limit subscriptions, each at the path that is its name.
var greedyPolicies = map[string]func(*policies.Policy){
	"/reject":        func(p *policies.Policy) { p.Subscriptions.OnExcess = policies.ExcessReject },
	"/close":         func(p *policies.Policy) { p.Subscriptions.OnExcess = policies.ExcessClose },
	"/evict":         func(p *policies.Policy) { p.Subscriptions.OnExcess = policies.ExcessEvictOldest },
	"/reject-strict": func(p *policies.Policy) { p.Messages.ValidateUTF8 = true },
	"/delay": func(p *policies.Policy) {
		p.Messages.Rate, p.Messages.Burst, p.Messages.OnExcess = 5000, 20, policies.ExcessDelay
	},
	"/drop": func(p *policies.Policy) {
		p.Messages.Rate, p.Messages.Burst, p.Messages.OnExcess = 5000, 20, policies.ExcessDrop
	},
}

// Clients ask for subscriptions in every way that the protocol and JSON allow, do
// what they forbid, and go in every way there is. Whatever they do, Node's ws and
// JSON.parse find at most so many subscriptions in it, and none is left: wswarden
// undoes those that are held, the oldest first, and no others. Nothing that is wrong
// reaches ws, and nobody else notices.
func TestInteropSubscriptions(t *testing.T) {
	b, w := startGreedy(t)
	began, over := time.Now(), make(chan struct{})
	causes := w.log.count(over)
	var clients, witnesses sync.WaitGroup
	ended := make(chan struct{})
	for path := range greedyPolicies {
		steps := make(chan struct{}, 1)
		if path != "/drop" {
			witnesses.Go(func() { b.witness(path, steps, ended) })
		}
		for first := range greedyClients {
			clients.Go(func() {
				deflater := new(greedyDeflater)
				for turn := first; b.seen.Load() < int64(greedyMessagesSeen) && !t.Failed(); turn += greedyClients {
					b.session(path, turn, deflater)
					select {
					case steps <- struct{}{}:
					default:
					}
				}
			})
		}
	}
	clients.Wait()
	close(ended)
	witnesses.Wait()
	close(over)
	b.conclude(time.Since(began), <-causes)
}

// startGreedy starts Node's server and wswarden before it.
func startGreedy(t *testing.T) (*greedyTest, *warden) {
	t.Helper()
	b := &greedyTest{t: t, node: startRACNode(t), endings: map[string]int{}}
	address := interopWait(t, b.node.address, "node's address")
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Upstream.URL = "http://" + address
		c.Policies = nil
		for path, adjust := range greedyPolicies {
			p := atMost(greedyLimit, policies.ExcessReject)
			p.Name, p.Match.Path, p.Inspect.MaxBytes = path[1:], path, greedyMost
			adjust(&p)
			c.Policies = append(c.Policies, p)
		}
	})
	b.address = w.address
	return b, w
}

// count counts the causes of sessions' ends until over is closed.
func (l sessionLog) count(over <-chan struct{}) <-chan map[string]int {
	counted := make(chan map[string]int, 1)
	go func() {
		causes := map[string]int{}
		for {
			select {
			case e := <-l:
				causes[e.cause]++
			case <-over:
				counted <- causes
				return
			}
		}
	}()
	return counted
}

// greedyTest is what the clients of a test share.
type greedyTest struct {
	t       *testing.T
	node    *racNode
	address string

	sessions, seen atomic.Int64
	mu             sync.Mutex
	total          racSeen
	refused        int
	full           int // sessions that had as many subscriptions as may be
	endings        map[string]int
	rounds         int // of witnesses
}

// session is one client's. Nothing but its path and turn, and chance in the network,
// decides what happens in it.
func (b *greedyTest) session(path string, turn int, deflater *greedyDeflater) {
	b.sessions.Add(1)
	r := rand.New(rand.NewPCG(uint64(turn), uint64(len(path))))
	ending := greedyEndingFor(path, turn)
	g := greedyMessages{r, pickOne(r, 5, 18, 18, 30, 60, 1000)}
	if path == "/close" && r.IntN(4) > 0 {
		g.topics = 12
	}
	if r.IntN(3) == 0 && !ending.deflated {
		deflater = nil
	}
	strict := strings.HasSuffix(path, "strict")
	var early [][]byte
	for r.IntN(3) == 0 {
		if message := []byte(g.subscribe()); greedyFate(false, strict, message, message) == 0 {
			early = append(early, message)
		}
	}
	name := fmt.Sprint(path[1:], "-", turn)
	c, err := greedyDial(b.address, path+"?name="+name, r, deflater, early...)
	if c != nil {
		defer c.conn.Close()
	}
	if err != nil {
		b.t.Errorf("%s: %v", name, err)
		return
	}
	c.strict, c.lossy, c.drips = strict, path == "/drop", r.IntN(5) == 0

	end, err := c.talk(g, path == "/close", ending)
	if err != nil {
		b.t.Errorf("%s, %s: %v", name, end, err)
	}
	record, ok := b.node.ended(name)
	if !ok {
		b.t.Errorf("%s, %s: upstream's connection does not end", name, end)
		return
	}
	if fault := record.fault(); fault != "" {
		b.t.Errorf("%s, %s: %s; messages: %q", name, end, fault, c.sent)
	}
	b.seen.Add(int64(record.Seen.Messages))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total.add(record.Seen)
	b.refused += c.refused
	if record.Most == greedyLimit {
		b.full++
	}
	b.endings[end]++
}

// fault says what is wrong with what upstream has seen of a session.
func (r racRecord) fault() string {
	switch {
	case r.Most > greedyLimit:
		return fmt.Sprintf("upstream held %d subscriptions", r.Most)
	case len(r.Wrong) > 0:
		return strings.Join(r.Wrong, ", ")
	case r.Code == 1006:
		return "upstream's connection was cut"
	case len(r.Held) > 0:
		return fmt.Sprintf("upstream still holds %v", r.Held)
	default:
		return ""
	}
}

// talk has the client say what it wants and then go as e has it, and returns how it
// went.
func (c *greedyClient) talk(g greedyMessages, closes bool, e greedyEnding) (end string, err error) {
	for range 40 + c.IntN(60) {
		if fate := c.say(g.next()); fate != 0 {
			return fmt.Sprint("message that ends with ", fate), c.wantClose(g, fate, closes)
		}
		switch {
		case c.in(12) && !c.lossy:
			err = c.ask()
		case c.in(4):
			if err = c.flush(); err != nil {
				err = c.readToClose()
			}
		}
		if err == errGreedyClosed && closes && c.code == policies.CodePolicy {
			return "limit", c.leave()
		}
		if err != nil {
			return "talk", fmt.Errorf("%w (%d)", err, c.code)
		}
		if c.held > greedyLimit {
			return "talk", fmt.Errorf("upstream holds %d subscriptions", c.held)
		}
	}
	wanted := e.do(c, g)
	switch wanted {
	case gone:
		return e.name, nil
	case anyCode:
		return e.name, c.leave()
	default:
		return e.name, c.wantClose(g, wanted, closes)
	}
}

// wantClose sends what was added, and more that must not matter any more, and reads
// up to a close frame, which must have this code.
func (c *greedyClient) wantClose(g greedyMessages, code uint16, closes bool) error {
	for range 30 {
		c.message(0x1, []byte(g.subscribe()), false)
	}
	_ = c.flush() // the other end need not take all of it
	if err := c.readToClose(); err != errGreedyClosed {
		return err
	}
	if c.code != code && (!closes || c.code != policies.CodePolicy) {
		return fmt.Errorf("closed with %d, want %d", c.code, code)
	}
	return c.leave()
}

// leave sends what was added and reads up to the end of the connection.
func (c *greedyClient) leave() error {
	_ = c.flush()
	_ = c.conn.CloseWrite()
	_, err := io.Copy(io.Discard, c.br)
	return ignoreReset(err)
}

// witness is a client who does nothing wrong: others' doings are not to reach it.
func (b *greedyTest) witness(path string, steps, ended <-chan struct{}) {
	name := "witness-" + path[1:]
	c, err := greedyDial(b.address, path+"?name="+name, rand.New(rand.NewPCG(0, 0)), new(greedyDeflater))
	if err != nil {
		b.t.Errorf("%s: %v", name, err)
		return
	}
	defer c.conn.Close()
	const topics = 3
	for i := range topics {
		c.message(0x1, fmt.Appendf(nil, ` {"type":"subscribe:offers","payload":{"pnr":%d}}`, i), false)
	}
	rounds := 0
	for going := true; going; rounds++ {
		select {
		case <-steps:
		case <-ended:
			going = false
		}
		_ = c.conn.SetDeadline(time.Now().Add(interopPatience))
		if err := c.ask(); err != nil || c.held != topics {
			b.t.Errorf("%s: round %d: %v, %d subscriptions are held", name, rounds, err, c.held)
			return
		}
	}
	c.frame(closing, []byte("\x03\xe8"))
	if err := c.flush(); err != nil || c.readToClose() != errGreedyClosed || c.code != 1000 {
		b.t.Errorf("%s: %v, closed with %d", name, err, c.code)
	}
	record, ok := b.node.ended(name)
	if fault := record.fault(); !ok || fault != "" || record.Most != topics || record.Seen.Undone != topics {
		b.t.Errorf("%s: %+v %s", name, record, fault)
	}
	b.mu.Lock()
	b.rounds += rounds
	b.mu.Unlock()
}

// conclude checks that enough has happened for this to be a test.
func (b *greedyTest) conclude(took time.Duration, causes map[string]int) {
	b.t.Logf("%d sessions, %d of them full, in %v: %+v, %d refused; witnesses asked %d times", b.sessions.Load(), b.full, took.Round(time.Millisecond), b.total, b.refused, b.rounds)
	b.t.Logf("ends: %v; causes: %v", b.endings, causes)
	if b.t.Failed() {
		return
	}
	n := b.total.Messages
	for what, row := range map[string]struct{ got, want int }{
		"messages":   {n, greedyMessagesSeen},
		"binary":     {b.total.Binary, n / 8},
		"subscribed": {b.total.Subscribed, n / 8},
		"undone":     {b.total.Undone, n / 20},
		"heartbeats": {b.total.Heartbeats, n / 50},
		"no JSON":    {b.total.Junk, n / 50},
		"refused":    {b.refused, n / 50},
		"full":       {b.full, int(b.sessions.Load()) / 8},
		"rounds":     {b.rounds, 10},
	} {
		if row.got < row.want {
			b.t.Errorf("%s: %d, want %d at least", what, row.got, row.want)
		}
	}
	for _, e := range greedyEndings {
		if b.endings[e.name] == 0 && e.only == "" { // of the others, the causes tell
			b.t.Errorf("no session ended with: %s", e.name)
		}
	}
	for _, cause := range []policies.Cause{
		policies.ClientClose, policies.ClientLost, policies.MessageTooBig, policies.InvalidUTF8, policies.ProtocolError, policies.SubscriptionLimit,
	} {
		if causes[cause.String()] == 0 {
			b.t.Errorf("no session ended for %s", cause)
		}
	}
}
