package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	coder "github.com/coder/websocket"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
	"wswarden/proxy/admin/api"
)

const (
	reloadEchoes = 1      // in each session, for each reload, but in slow ones
	reloadTopics = 4      // of each session that subscribes
	slowBytes    = 15_000 // of messages in slow ones
)

// reloadPaths are those of the policies that sessions live under, by their number.
var reloadPaths = []string{"plain", "plain", "turning", "turning", "reading", "reading", "evicting", "going"}

// reloadPolicies are what there is to begin with.
func reloadPolicies() (list []policies.Policy) {
	for _, name := range []string{"plain", "turning", "reading", "evicting", "going"} {
		p := policies.Default()
		p.Name, p.Match.Path = name, "/"+name+"/*"
		if name == "reading" || name == "evicting" {
			p.Dialect = "rac"
			p.Subscriptions.Max = 2 * reloadTopics
		}
		if name == "evicting" {
			p.OnReload = policies.OnReloadEnforce
		}
		list = append(list, p)
	}
	return append(list, policies.Default())
}

// reloadStep changes a configuration whose policies are its own.
type reloadStep struct {
	name   string
	change func(c *config.Config)
	wrong  bool
}

func onPolicy(name string, change func(*policies.Policy)) func(*config.Config) {
	return func(c *config.Config) {
		for i := range c.Policies {
			if c.Policies[i].Name == name {
				change(&c.Policies[i])
			}
		}
	}
}

// reloadSteps come twice, and then all is as at first.
var reloadSteps = []reloadStep{
	{"messages are read", onPolicy("turning", func(p *policies.Policy) { p.Dialect, p.Messages.ValidateUTF8 = "rac", true }), false},
	{"a policy observes", onPolicy("turning", func(p *policies.Policy) { p.Mode = policies.ModeObserve }), false},
	{"a limit is lowered", func(c *config.Config) {
		onPolicy("reading", func(p *policies.Policy) { p.Subscriptions.Max = 1 })(c)
		onPolicy("evicting", func(p *policies.Policy) { p.Subscriptions.Max = reloadTopics / 2 })(c)
	}, false},
	{"a value that is wrong", onPolicy("plain", func(p *policies.Policy) { p.Idle.Timeout = -1 }), true},
	{"a policy is removed", func(c *config.Config) {
		c.Policies = slices.DeleteFunc(c.Policies, func(p policies.Policy) bool { return p.Name == "going" })
	}, false},
	{"a policy and a listener are added", func(c *config.Config) {
		added := policies.Default()
		added.Name, added.Match.Path = "added", "/added"
		c.Policies = slices.Insert(c.Policies, 0, added)
		c.Listeners = append(slices.Clone(c.Listeners), config.Listener{Address: "127.0.0.2:0"})
	}, false},
	{"it enforces, another one observes", func(c *config.Config) {
		onPolicy("turning", func(p *policies.Policy) { p.Mode = policies.ModeEnforce })(c)
		onPolicy("reading", func(p *policies.Policy) { p.Mode = policies.ModeObserve })(c)
	}, false},
	{"timers, seats and rates", onPolicy("plain", func(p *policies.Policy) {
		p.Idle.Timeout, p.Heartbeat.Interval = longest, longest
		p.Connections.PerIP = 1
		p.Messages.Rate, p.Messages.OnExcess = 1e6, policies.ExcessDelay
	}), false},
	{"messages are not read any more", onPolicy("turning", func(p *policies.Policy) { p.Dialect, p.Messages.ValidateUTF8 = "", false }), false},
	{"all is as before", func(c *config.Config) {
		c.Policies, c.Listeners = reloadPolicies(), c.Listeners[:1]
	}, false},
}

// Sessions live on while one configuration follows the other. What their peers say
// arrives as they said it, all of it and in order: plain and compressed, whole and in
// fragments, of which some are under way at any moment.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(c *config.Config) { c.Policies = reloadPolicies() })
	load := newReloadLoad(t, w)
	for i := range reloadSessions {
		load.open(w.address, i)
	}
	load.wait(func() bool { return load.subscribed == reloadSessions })
	for i, step := range slices.Concat(reloadSteps, reloadSteps) {
		last := w.next
		next := *last
		next.Policies = slices.Clone(last.Policies)
		step.change(&next)
		w.next = &next
		var changes api.Reloaded
		var err error
		load.during(func() { changes, err = w.server.Reload(t.Context(), step.name) })
		if step.wrong != (err != nil) {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.wrong {
			w.next = last
		}
		if len(changes.Listeners.Added) > 0 {
			load.open(w.server.Addrs()[1].String(), (reloadSessions+i)*len(reloadPaths))
		}
	}
	load.stop()
	for range reloadSessions + 2 {
		w.wantEnd(policies.ClientClose, uint16(coder.StatusNormalClosure))
	}
}

// reloadLoad is upstream and clients that say what both know.
type reloadLoad struct {
	t       *testing.T
	clients sync.WaitGroup
	others  sync.WaitGroup // upstreams

	mu      sync.Mutex
	changed *sync.Cond // anything but the echoes
	// Sessions that have subscribed to all that they want to, reloads that have begun, and
	// those that are over.
	subscribed, reloads, done int

	stopped bool
	echoes  atomic.Int64
	enough  atomic.Int64 // of them
}

func newReloadLoad(t *testing.T, w *warden) *reloadLoad {
	l := &reloadLoad{t: t}
	l.changed = sync.NewCond(&l.mu)
	server := &http.Server{Handler: http.HandlerFunc(l.serve)}
	l.others.Go(func() { _ = server.Serve(w.upstream) })
	t.Cleanup(func() {
		l.stop()
		_ = server.Close()
		l.others.Wait()
	})
	return l
}

// set changes what others wait for.
func (l *reloadLoad) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// wait waits until something is so, or all comes to an end.
func (l *reloadLoad) wait(is func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !is() && !l.stopped && !l.t.Failed() {
		l.changed.Wait()
	}
}

// stop has each client end its session, and waits for that.
func (l *reloadLoad) stop() {
	l.set(func() { l.stopped = true })
	l.clients.Wait()
}

// during has messages echoed while there is a reload, and until all that was to be
// said meanwhile is echoed.
func (l *reloadLoad) during(reload func()) {
	l.enough.Store(l.echoes.Load() + reloadSessions/2)
	l.set(func() { l.reloads++ })
	reload()
	l.set(func() { l.done++ })
	l.wait(func() bool { return l.echoes.Load() >= l.enough.Load() })
}

// echo counts one, and reports whether there are to be more.
func (l *reloadLoad) echo() bool {
	if l.echoes.Add(1) == l.enough.Load() {
		l.set(func() {})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.stopped
}

func (l *reloadLoad) fail(err error) { l.set(func() { l.t.Error(err) }) }

// talker is a client, or upstream, in one session.
type talker struct {
	*reloadLoad
	*coder.Conn
	number int
	topics []string // that upstream knows of
}

// text returns a message of a session: short ones of one frame, and long ones.
func (p *talker) text(message int) string {
	noise := make([]byte, 1+(p.number*31+message*17)%200)
	if p.slow() {
		noise = make([]byte, slowBytes)
	}
	state := uint32(p.number<<16 + message)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = 'A' + byte(state>>24)%50
	}
	return fmt.Sprintf(`{"type":"NEWS","session":%d,"message":%d,"payload":%q}`, p.number, message, noise)
}

// slow reports whether a reload comes in the middle of each message.
func (p *talker) slow() bool { return p.number/len(reloadPaths)%8 == 0 }

// say sends a message, of which it has said half when a reload comes if it is slow.
func (p *talker) say(ctx context.Context, message string) error {
	if len(message) < slowBytes {
		return p.Write(ctx, coder.MessageText, []byte(message))
	}
	w, err := p.Writer(ctx, coder.MessageText)
	if err != nil {
		return err
	}
	half := len(message)/3 + p.number // after which there is something on the wire, and something is not
	_, err = io.WriteString(w, message[:half])
	p.pause()
	if err == nil {
		_, err = io.WriteString(w, message[half:])
	}
	return errors.Join(err, w.Close())
}

// pause waits for the end of the next reload.
func (p *talker) pause() {
	done := -1
	p.wait(func() bool {
		if done < 0 {
			done = p.done
		}
		return p.done > done
	})
}

func (p *talker) hear(ctx context.Context, want string) error {
	_, got, err := p.Read(ctx)
	if err == nil && string(got) != want {
		err = fmt.Errorf("%.100q instead of %.100q", got, want)
	}
	return err
}

const askTopics = `{"type":"TOPICS"}`

func (p *talker) topic(i int) string { return fmt.Sprintf("%d-%d", p.number, i) }

func confirmed(topic string) string {
	return fmt.Sprintf(`{"type":"subscribed","payload":{"pnr":%q}}`, topic)
}

// open begins a session and has messages echoed there until it is stopped.
func (l *reloadLoad) open(address string, number int) {
	path := reloadPaths[number%len(reloadPaths)]
	options := &coder.DialOptions{CompressionMode: coder.CompressionDisabled}
	if number < 2*len(reloadPaths) { // of which the first are slow
		options.CompressionMode, options.CompressionThreshold = coder.CompressionContextTakeover, 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	conn, _, err := coder.Dial(ctx, fmt.Sprintf("ws://%s/%s/%d", address, path, number), options)
	if err != nil {
		l.t.Fatalf("session %d: %v", number, err)
	}
	conn.SetReadLimit(-1)
	p := &talker{reloadLoad: l, Conn: conn, number: number}
	l.clients.Go(func() {
		defer cancel()
		defer func() { _ = conn.CloseNow() }()
		if err := p.beClient(ctx, path); err != nil {
			l.fail(fmt.Errorf("session %d (%s): %w", number, path, err))
		}
	})
}

func (p *talker) beClient(ctx context.Context, path string) error {
	var topics []string
	for i := 0; path != "plain" && i < reloadTopics; i++ {
		topics = append(topics, p.topic(i))
		err := p.Write(ctx, coder.MessageText, fmt.Appendf(nil, `{"type":"subscribe:offers","payload":{"pnr":%q}}`, p.topic(i)))
		if err := errors.Join(err, p.hear(ctx, confirmed(p.topic(i)))); err != nil {
			return err
		}
	}
	p.set(func() { p.subscribed++ })
	for more, message := true, 0; more; message++ {
		p.wait(func() bool { return p.reloads*reloadEchoes > message || p.slow() })
		said := make(chan error, 1)
		text := p.text(message)
		go func() { said <- p.say(ctx, text) }()
		err := p.hear(ctx, text)
		if err = errors.Join(err, <-said); err != nil {
			return fmt.Errorf("message %d: %w", message, err)
		}
		more = p.echo()
	}
	if path == "evicting" {
		topics = topics[reloadTopics/2:] // the oldest were undone
	}
	if err := errors.Join(p.Write(ctx, coder.MessageText, []byte(askTopics)), p.hear(ctx, strings.Join(topics, " "))); err != nil {
		return fmt.Errorf("topics: %w", err)
	}
	return p.Close(coder.StatusNormalClosure, "")
}

// serve is upstream: what it hears must be what is due.
func (l *reloadLoad) serve(w http.ResponseWriter, r *http.Request) {
	l.others.Add(1)
	defer l.others.Done()
	number, err := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil {
		l.fail(err)
		return
	}
	conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover, CompressionThreshold: 1})
	if err != nil {
		l.fail(err)
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	p := &talker{reloadLoad: l, Conn: conn, number: number}
	if err := p.beUpstream(ctx); coder.CloseStatus(err) != coder.StatusNormalClosure {
		l.fail(fmt.Errorf("upstream, in session %d: %w", number, err))
		_ = conn.Close(coder.StatusInternalError, "")
	}
}

func (p *talker) beUpstream(ctx context.Context) error {
	for message := 0; ; {
		_, text, err := p.Read(ctx)
		if err != nil {
			return err
		}
		var m struct {
			Type    string
			Payload struct{ PNR string }
		}
		answer := string(text)
		switch _ = json.Unmarshal(text, &m); m.Type {
		case "subscribe:offers":
			p.topics = append(p.topics, m.Payload.PNR)
			answer = confirmed(m.Payload.PNR)
		case "unsubscribe:offers":
			if !slices.Contains(p.topics, m.Payload.PNR) {
				return fmt.Errorf("it is to be unsubscribed from %q", m.Payload.PNR)
			}
			p.topics = slices.DeleteFunc(p.topics, func(t string) bool { return t == m.Payload.PNR })
			continue
		case "TOPICS":
			answer = strings.Join(p.topics, " ")
		default:
			if want := p.text(message); answer != want {
				return fmt.Errorf("message %d is due, %.100q came", message, text)
			}
			message++
		}
		if err := p.say(ctx, answer); err != nil {
			return err
		}
	}
}
