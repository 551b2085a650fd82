package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// outage is how long Redis is away in the tests.
var outage = flag.Duration("outage", 3*time.Second, "how long Redis is away")

const (
	storeLease   = 1500 * time.Millisecond
	storeTimeout = 300 * time.Millisecond
	takeover     = 400 * time.Millisecond
)

// shared returns the keys of a store for several replicas, and of one policy.
func shared(redis, onFailure, policy string) string {
	return fmt.Sprintf("store: {kind: redis, url: %q, lease: %s, timeout: %s, connect_timeout: 1s, takeover_timeout: %s, on_failure: %s}\npolicies: [%s]\n",
		redis, storeLease, storeTimeout, takeover, onFailure, policy)
}

const (
	threeEach = "{connections: {per_identity: 3, identity: {from: query, name: id}}}"
	newestOne = "{dialect: rac, connections: {per_identity: 1, on_excess: evict_oldest, identity: {from: query, name: id}}}"
)

// startReplicas starts three.
func startReplicas(t *testing.T, upstream *upstreamServer, config string) []*replica {
	t.Helper()
	replicas := make([]*replica, 3)
	for i := range replicas {
		replicas[i] = startReplica(t, upstream, config)
	}
	return replicas
}

// A limit holds for all replicas together, and one that dies frees its seats
// within the lease.
func TestStoreIsShared(t *testing.T) {
	t.Parallel()
	const limit, clients = 3, 300
	redis, upstream := startRedis(t), startUpstream(t)
	replicas := startReplicas(t, upstream, shared("redis://"+redis.address, "deny", threeEach))

	visits := make([]*visit, clients)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range visits {
		all.Go(func() {
			<-start
			visits[i] = replicas[i%len(replicas)].visit("one", "client")
		})
	}
	began := time.Now()
	close(start)
	all.Wait()
	held := make(map[*replica]int)
	admitted := 0
	for _, v := range visits {
		if v.status == http.StatusSwitchingProtocols {
			held[v.at]++
			admitted++
			continue
		}
		v.want(http.StatusTooManyRequests)
	}
	handshakes, live, _ := upstream.counts()
	t.Logf("%d handshakes at once, answered within %s: %d admitted, upstream saw %d, %d live", clients, since(began), admitted, handshakes, live)
	if admitted != limit || handshakes != limit || live != limit {
		t.Fatalf("%d sessions, %d handshakes with upstream, %d connections there: want %d of each", admitted, handshakes, live, limit)
	}

	dies := slices.IndexFunc(replicas, func(r *replica) bool { return held[r] > 0 })
	free := held[replicas[dies]]
	others := slices.Delete(slices.Clone(replicas), dies, dies+1)
	replicas[dies].signal(syscall.SIGKILL)
	killed := time.Now()
	eventually(t, "upstream to have lost them", func() bool {
		_, live, _ := upstream.counts()
		return live == limit-free
	})
	back, asked := 0, 0
	eventually(t, "the seats of the replica that was killed", func() bool {
		v := others[asked%2].visit("one", "newcomer")
		asked++
		if v.status == http.StatusSwitchingProtocols {
			back++
		} else {
			v.want(http.StatusTooManyRequests)
		}
		return back == free
	})
	t.Logf("a replica killed with %d of the seats: free again after %s, with a lease of %s", free, since(killed), storeLease)
	for _, r := range others {
		r.visit("one", "newcomer").want(http.StatusTooManyRequests)
	}
	if _, live, most := upstream.counts(); live != limit || most != limit {
		t.Errorf("upstream has %d connections, had %d at most, want %d", live, most, limit)
	}
}

// While Redis is away each replica does as it is told, and sessions go on. Soon
// after it is back it knows of every session, even if it has forgotten all.
func TestStoreOutage(t *testing.T) {
	t.Parallel()
	outages := map[string]struct {
		begin func(*redisServer)
		end   func(*redisServer)
	}{
		"stopped": {
			begin: func(s *redisServer) { s.signal(syscall.SIGSTOP) },
			end:   func(s *redisServer) { s.signal(syscall.SIGCONT) },
		},
		"killed": {
			begin: func(s *redisServer) { s.signal(syscall.SIGKILL); _ = s.process.Wait() },
			end:   (*redisServer).start,
		},
	}
	for how, o := range outages {
		for _, onFailure := range []string{"allow", "deny"} {
			t.Run(how+", "+onFailure, func(t *testing.T) {
				t.Parallel()
				redis, upstream := startRedis(t), startUpstream(t)
				replicas := startReplicas(t, upstream, shared("redis://"+redis.address, onFailure, threeEach))
				var live []*visit
				for _, r := range replicas {
					live = append(live, r.visit("one", "client").want(http.StatusSwitchingProtocols))
				}
				o.begin(redis)
				over := time.After(*outage)
				for _, r := range replicas {
					if onFailure == "deny" {
						visitDenied(t, r)
					} else {
						live = append(live, visitAlone(t, r)...)
					}
				}
				for _, v := range live {
					v.wantAlive()
				}
				<-over
				for _, r := range replicas {
					if down := r.logged("store cannot be reached"); len(down) != 1 {
						t.Errorf("the log says %d times that the store cannot be reached: %q", len(down), down)
					}
					if up := r.metric("wswarden_store_up"); up != "0" {
						t.Errorf("wswarden_store_up is %s during the outage", up)
					}
				}
				o.end(redis)
				ended := time.Now()
				for _, r := range replicas {
					eventually(t, "the store to be in use", func() bool { return r.metric("wswarden_store_up") == "1" })
				}
				inUse := since(ended)
				// By now what Redis was asked in vain is done and undone.
				eventually(t, "Redis to know of every session", func() bool { return len(redis.seats()) == len(live) })
				t.Logf("after an outage of %s Redis is in use within %s, and counts all of %d sessions within %s; two leases are %s",
					*outage, inUse, len(live), since(ended), 2*storeLease)
				if seats, ages := redis.seats(), redis.ages(); !slices.Equal(seats, ages) {
					t.Errorf("Redis has the leases %q, and the ages of %q", seats, ages)
				}
				wantCounts(t, redis, replicas, live)
				for _, r := range replicas {
					if up := r.logged("store can be reached again"); len(up) != 1 {
						t.Errorf("the log says %d times that the store can be reached again", len(up))
					}
				}
			})
		}
	}
}

// visitAlone has a replica that counts alone fill up its limit: it has one session.
func visitAlone(t *testing.T, r *replica) []*visit {
	t.Helper()
	first := r.visit("one", "alone").want(http.StatusSwitchingProtocols)
	second := r.visit("one", "alone").want(http.StatusSwitchingProtocols)
	third := r.visit("one", "alone").want(http.StatusTooManyRequests)
	t.Logf("allow: admitted after %s, then %s, refused after %s", first.took, second.took, third.took)
	return []*visit{first, second}
}

func visitDenied(t *testing.T, r *replica) {
	t.Helper()
	first := r.visit("one", "denied").want(http.StatusServiceUnavailable)
	second := r.visit("one", "denied").want(http.StatusServiceUnavailable)
	t.Logf("deny: refused after %s, then %s", first.took, second.took)
}

// wantCounts has the sessions end one by one: newcomers are refused until there
// are fewer than three.
func wantCounts(t *testing.T, redis *redisServer, replicas []*replica, live []*visit) {
	t.Helper()
	for ; len(live) >= 3; live = live[1:] {
		for _, r := range replicas {
			r.visit("one", "early").want(http.StatusTooManyRequests)
		}
		_ = live[0].Close()
		eventually(t, "the end of a session to be known", func() bool { return len(redis.seats()) == len(live)-1 })
	}
	for _, v := range live {
		v.wantAlive()
	}
	replicas[0].visit("one", "late").want(http.StatusSwitchingProtocols)
	replicas[1].visit("one", "late").want(http.StatusTooManyRequests)
}

// The newest client of an identity gets the seat, wherever the one before has its
// session: upstream never has both.
func TestStoreTakeover(t *testing.T) {
	t.Parallel()
	redis, upstream := startRedis(t), startUpstream(t)
	replicas := startReplicas(t, upstream, shared("redis://"+redis.address, "deny", newestOne))
	first := replicas[0].visit("one", "first").want(http.StatusSwitchingProtocols)
	for _, pnr := range []string{"1", "2"} {
		_ = first.WriteMessage(1, []byte(`{"type":"subscribe:offers","payload":{"pnr":"`+pnr+`"}}`))
		_, _, _ = first.ReadMessage()
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		first.wantClose(1008, "superseded")
	}()
	second := replicas[1].visit("one", "second").want(http.StatusSwitchingProtocols)
	t.Logf("the second client waited for %s", second.took)
	<-told
	want := []string{
		`first: handshake`,
		`first: {"type":"subscribe:offers","payload":{"pnr":"1"}}`,
		`first: {"type":"subscribe:offers","payload":{"pnr":"2"}}`,
		`first: {"type":"unsubscribe:offers","payload":{"pnr":"1"}}`,
		`first: {"type":"unsubscribe:offers","payload":{"pnr":"2"}}`,
		`first: websocket: close 1001 (going away): superseded`,
		`second: handshake`,
	}
	if got := upstream.seen(); !slices.Equal(got, want) {
		t.Errorf("upstream saw\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	second.wantAlive()
	if seats := redis.seats(); len(seats) != 1 {
		t.Errorf("Redis counts %q, want one seat", seats)
	}
}

// A replica that stands still keeps its seat until it would have to renew it.
func TestStoreTakeoverOfOneThatStandsStill(t *testing.T) {
	t.Parallel()
	redis, upstream := startRedis(t), startUpstream(t)
	// Long enough for the second client to be refused before it is over, on a machine
	// that has others to serve.
	const lease = 2 * storeLease
	text := strings.Replace(shared("redis://"+redis.address, "deny", newestOne), "lease: "+storeLease.String(), "lease: "+lease.String(), 1)
	replicas := startReplicas(t, upstream, text)
	first := replicas[0].visit("one", "first").want(http.StatusSwitchingProtocols)
	replicas[0].stop()
	stopped := time.Now()
	second := replicas[1].visit("one", "second").want(http.StatusServiceUnavailable)
	t.Logf("the second client is refused after %s, with a takeover_timeout of %s", second.took, takeover)
	var third *visit
	tries := 0
	eventually(t, "the third client to be admitted", func() bool {
		tries++
		if third = replicas[2].visit("one", "third"); third.status != http.StatusSwitchingProtocols {
			third.want(http.StatusServiceUnavailable)
		}
		return third.Conn != nil
	})
	t.Logf("the third client is in after %s and %d tries, with a lease of %s", since(stopped), tries, lease)
	if got := upstream.seen(); !slices.Equal(got, []string{"first: handshake", "third: handshake"}) {
		t.Errorf("upstream saw %q", got)
	}
	replicas[0].signal(syscall.SIGCONT)
	first.wantClose(1008, "superseded")
	third.wantAlive()
	eventually(t, "Redis to count one session", func() bool { return len(redis.seats()) == 1 })
}

// Without Redis wswarden does not begin where limits must hold, and says so where
// it begins all the same.
func TestStoreAtStart(t *testing.T) {
	t.Parallel()
	t.Run("deny", func(t *testing.T) {
		t.Parallel()
		redis, upstream := newRedis(t), startUpstream(t)
		file := filepath.Join(t.TempDir(), "wswarden.yaml")
		text := shared("redis://warden:sesame@"+redis.address, "deny", threeEach) + fmt.Sprintf("upstream: {url: %q}\n", upstream.URL)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "serve", "--config", file)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		began := time.Now()
		_ = cmd.Run()
		message := stderr.String()
		t.Logf("after %s, with a connect_timeout of 1s: %s", since(began), message)
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if !strings.HasPrefix(message, "wswarden: store cannot be used: it cannot be reached") || strings.Count(message, "\n") != 1 ||
			!strings.Contains(message, redis.address) || strings.Contains(message, "sesame") {
			t.Errorf("stderr %q, want one line with the address and without the password", message)
		}
	})
	t.Run("allow", func(t *testing.T) {
		t.Parallel()
		redis, upstream := newRedis(t), startUpstream(t)
		began := time.Now()
		r := startReplica(t, upstream, shared("redis://:sesame@"+redis.address, "allow", threeEach))
		down := r.logged("store cannot be reached")
		t.Logf("serves after %s: %s", since(began), down)
		if len(down) != 1 || strings.Contains(down[0], "sesame") {
			t.Errorf("the log says %q, want one line without the password", down)
		}
		if up := r.metric("wswarden_store_up"); up != "0" {
			t.Errorf("wswarden_store_up is %s", up)
		}
		for range 3 {
			r.visit("one", "client").want(http.StatusSwitchingProtocols).wantAlive()
		}
		r.visit("one", "client").want(http.StatusTooManyRequests)
	})
	t.Run("allow, and Redis comes later", func(t *testing.T) {
		t.Parallel()
		redis, upstream := newRedis(t), startUpstream(t)
		r := startReplica(t, upstream, shared("redis://"+redis.address, "allow", threeEach))
		r.visit("one", "client").want(http.StatusSwitchingProtocols)
		redis.start()
		eventually(t, "the store to be in use", func() bool { return r.metric("wswarden_store_up") == "1" })
		if seats := redis.seats(); len(seats) != 1 {
			t.Errorf("Redis counts %q, want one session", seats)
		}
	})
}

// A drain leaves nothing of the replica in the store, not even of a client that
// does not go.
func TestStoreAfterDrain(t *testing.T) {
	t.Parallel()
	redis, upstream := startRedis(t), startUpstream(t)
	config := shared("redis://"+redis.address, "allow", threeEach)
	drains, stays := startReplica(t, upstream, config), startReplica(t, upstream, config)
	stays.visit("one", "stays").want(http.StatusSwitchingProtocols)
	others := redis.seats()
	polite := drains.visit("one", "polite").want(http.StatusSwitchingProtocols)
	drains.visit("one", "mute").want(http.StatusSwitchingProtocols) // nobody reads what it gets
	if n := len(redis.seats()); n != 3 {
		t.Fatalf("Redis counts %d sessions, want 3", n)
	}
	drains.signal(syscall.SIGTERM)
	began := time.Now()
	polite.wantClose(1012, "service restart")
	if code := drains.exitCode(); code != 0 {
		t.Errorf("exit code %d: %q", code, drains.logged(""))
	}
	if seats, ages := redis.seats(), redis.ages(); !slices.Equal(seats, others) || !slices.Equal(ages, others) {
		t.Errorf("Redis has the leases %q, and the ages of %q, want %q", seats, ages, others)
	}
	t.Logf("drained after %s", since(began))

	// Nor does a store that does not answer keep a replica from its end.
	redis.signal(syscall.SIGSTOP)
	stays.signal(syscall.SIGTERM)
	began = time.Now()
	if code := stays.exitCode(); code != 0 {
		t.Errorf("exit code %d without Redis", code)
	}
	t.Logf("drained without Redis after %s", since(began))
}
