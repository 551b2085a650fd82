package quota

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// RedisOptions say which Redis keeps the leases of several replicas, and how.
type RedisOptions struct {
	// URL is redis://host:port/db, or rediss:// for TLS, perhaps with a user and a
	// password. With Cluster, ?addr=host:port names further nodes.
	URL     string
	Cluster bool
	// Lease is how long the leases of a replica that has died still count. They are
	// renewed three times in it. It is above three times Timeout.
	Lease time.Duration
	// Timeout of one request to Redis, and of the last ones in Close. It is above
	// zero.
	Timeout time.Duration
	// ConnectTimeout bounds how long NewRedis waits for Redis, and a connection for
	// being made. It is above zero.
	ConnectTimeout time.Duration
	// Takeover bounds how long Admit waits for those whose seat was taken over. It
	// is above zero.
	Takeover time.Duration
	// Deny refuses with ErrUnavailable while Redis cannot be asked. Otherwise this
	// replica then counts its own leases only.
	Deny bool
	// Log is told when Redis fails, and when it is back.
	Log *slog.Logger
	// Registerer of the metrics. Nil: they are not registered.
	Registerer prometheus.Registerer
}

// Redis is the Store of several replicas. Its leases expire by themselves when
// their replica dies. What this replica holds is mirrored in its memory, by which
// it goes on counting while Redis cannot be asked.
type Redis struct {
	options RedisOptions
	address string // for the log, without a password
	client  redis.UniversalClient
	cut     context.CancelFunc // connects no more
	inbox   *redis.PubSub
	replica string // 16 random characters
	local   *Memory
	metrics *redisMetrics
	now     func() time.Time

	skew atomic.Int64 // of Redis' clock against this one's, in µs

	hello chan struct{}      // the inbox has got a greeting of its own
	wake  chan struct{}      // there is something in the queue or the outbox
	stop  context.CancelFunc // of the writer
	ended chan struct{}      // the writer has ended
	heard chan struct{}      // the inbox is closed, and read to its end

	close sync.Once

	// Guarded by local.mu, which is held for a few steps only.
	leases   map[string]*Lease // by name
	live     []*Lease          // the same, as a list
	queue    []*Lease          // those of which Redis does not know the newest
	outbox   []message
	absent   map[string]*absence // leases of other replicas that are waited for
	early    map[string]time.Time
	up       bool
	failures int // how often Redis has been up no longer
	closed   bool
}

// shared is what a lease has that other replicas know of.
type shared struct {
	name    string   // the replica's, a colon, and 16 random characters
	index   int      // in live
	age     int64    // when it was admitted, in µs by Redis' clock
	asked   bool     // Redis may have seated it
	seated  bool     // it was admitted
	queued  bool     // it is in the queue
	waiting []string // the replicas that wait for it to be given back
}

// NewRedis returns a store that is in use until Close. An error is about the URL,
// or, with Deny, says that Redis did not answer in time.
func NewRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	r, err := openRedis(options)
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		if options.Deny {
			r.disconnect()
			if isAnswer(err) {
				return nil, fmt.Errorf("%w: %s says %w", ErrRefused, r.address, err)
			}
			return nil, fmt.Errorf("%s: %w", r.address, err)
		}
		r.sayDown(err)
	}
	ctx, r.stop = context.WithCancel(context.Background())
	go r.write(ctx)
	return r, nil
}

// openRedis returns a store that counts alone as yet, and has no writer.
func openRedis(options RedisOptions) (*Redis, error) {
	alive, cut := context.WithCancel(context.Background())
	client, address, err := newClient(alive, &options)
	if err != nil {
		cut()
		return nil, err
	}
	r := &Redis{
		options: options,
		address: address,
		client:  client,
		cut:     cut,
		replica: random(),
		local:   NewMemory(options.Takeover),
		metrics: newRedisMetrics(options.Registerer),
		now:     time.Now,
		hello:   make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		heard:   make(chan struct{}),
		leases:  make(map[string]*Lease),
		absent:  make(map[string]*absence),
		early:   make(map[string]time.Time),
	}
	r.local.changed = r.changed
	r.inbox = client.Subscribe(context.Background()) // to nothing as yet, so that this does not wait
	go r.listen()
	return r, nil
}

// connect makes the first attempts: until one succeeds, or ConnectTimeout has
// passed. Who can do without Redis makes one only.
func (r *Redis) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.options.ConnectTimeout)
	defer cancel()
	for {
		err := r.restore(ctx)
		if err == nil || !r.options.Deny || isAnswer(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(retryEvery, r.options.Timeout)):
		}
	}
}

// register makes l known, before anybody can take its seat over, and returns what
// state does.
func (r *Redis) register(l *Lease) (up bool, failures int) {
	name := r.replica + ":" + random()
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	l.shared = &shared{name: name, index: len(r.live), asked: r.up}
	r.live = append(r.live, l)
	r.leases[name] = l
	return r.up, r.failures
}

// forget is register undone. local.mu is held.
func (r *Redis) forget(l *Lease) {
	if r.leases[l.shared.name] != l {
		return
	}
	delete(r.leases, l.shared.name)
	last := len(r.live) - 1
	r.live[l.shared.index] = r.live[last]
	r.live[l.shared.index].shared.index = l.shared.index
	r.live[last] = nil
	r.live = r.live[:last]
}

// End is Store's.
func (r *Redis) End(l *Lease) { r.local.End(l) }

// Give is Store's.
func (r *Redis) Give(l *Lease) { r.local.Give(l) }

// Close is Store's. It gives all leases back, for which it waits at most Timeout.
func (r *Redis) Close() error {
	r.close.Do(func() {
		r.stop()
		<-r.ended
		r.giveAll()
		r.disconnect()
	})
	return nil
}

// disconnect frees what connects to Redis.
func (r *Redis) disconnect() {
	r.cut()
	_ = r.inbox.Close()
	_ = r.client.Close()
	<-r.heard
	r.metrics.up.Set(0)
}

// giveAll gives back what there still is. The writer has ended.
func (r *Redis) giveAll() {
	r.local.mu.Lock()
	for _, l := range slices.Clone(r.live) {
		r.local.give(l)
	}
	r.closed = true
	r.local.mu.Unlock()
	if up, _ := r.state(); up {
		ctx, cancel := context.WithTimeout(context.Background(), r.options.Timeout)
		defer cancel()
		_ = r.flush(ctx) // what stays expires
	}
}

// fail makes do without Redis, unless the failure is one of those before it has
// come back.
func (r *Redis) fail(failures int, err error) {
	if errors.Is(err, errAgain) || errors.Is(err, errLate) {
		return // Redis works
	}
	r.local.mu.Lock()
	first := r.up && r.failures == failures && !r.closed
	if first {
		r.up = false
		r.failures++
		r.metrics.up.Set(0)
	}
	r.local.mu.Unlock()
	if first {
		r.sayDown(err)
	}
}

func (r *Redis) sayDown(err error) {
	what, until := "store cannot be reached", "connections are counted by this replica alone"
	if isAnswer(err) {
		what = "store refuses, see store.url"
	}
	if r.options.Deny {
		until = "limited connections are refused"
	}
	r.options.Log.Warn(what+"; "+until, "address", r.address, "error", err)
}

// state returns whether Redis can be asked, and how often it could not.
func (r *Redis) state() (up bool, failures int) {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	return r.up, r.failures
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
