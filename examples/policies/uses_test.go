package policies_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"wswarden/policies"
)

var uses = []string{"strict-public.yaml", "internal-service.yaml", "mobile-clients.yaml", "dashboard-broadcast.yaml", "iot-devices.yaml"}

// A client whose network is gone: nobody tells the server but wswarden, and its neighbour,
// who answers, stays.
func TestZombie(t *testing.T) {
	t.Parallel()
	for _, file := range uses {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) {
				cut(t, &p.Heartbeat.Interval)
				cut(t, &p.Heartbeat.Timeout)
				p.FirstMessage.Timeout = 0 // the neighbour says nothing
			}, nil)
			beside, besideUpstream := s.open(somebody(&s.policy, 0)...)
			client, upstream := s.openMute(somebody(&s.policy, 1)...)
			upstream.wantClose(1001)
			client.vanish()
			s.wantEnd(policies.HeartbeatTimeout)
			s.wantRelay(beside, besideUpstream)
			s.wantNoEnd()
		})
	}
}

// Under the file as it is, a client that does what it should is not touched, up to its own
// close.
func TestWellBehaved(t *testing.T) {
	t.Parallel()
	for _, file := range uses {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, func(m string) []string { return []string{"echo " + m} })
			client, upstream := s.open()
			for n := range 5 {
				client.say(fmt.Sprint(n))
				upstream.want(fmt.Sprint(n))
				client.want(fmt.Sprint("echo ", n))
			}
			s.wantNoEnd()
			client.leave(1000)
			upstream.wantClose(1000)
			client.wantClose(1000)
			s.wantEnd(policies.ClientClose)
		})
	}
}

// One address that connects too often, or keeps too much, is refused, and no other is.
func TestStrictPublicOneAddress(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "203.0.113.1", "203.0.113.2"
	t.Run("connects again and again", func(t *testing.T) {
		t.Parallel()
		s := start(t, "strict-public.yaml", func(p *policies.Policy) { slow(t, &p.Handshakes.PerIPRate) }, nil)
		for range s.policy.Handshakes.Burst {
			client, upstream := s.open("X-Forwarded-For", here)
			client.leave(1000)
			upstream.wantClose(1000)
		}
		s.wantRefused(http.StatusTooManyRequests, "X-Forwarded-For", here)
		s.wantRelay(s.open("X-Forwarded-For", elsewhere))
	})
	t.Run("keeps too many", func(t *testing.T) {
		t.Parallel()
		s := start(t, "strict-public.yaml", func(p *policies.Policy) { p.Handshakes = policies.Handshakes{} }, nil)
		var client, upstream *end
		for range s.policy.Connections.PerIP {
			client, upstream = s.open("X-Forwarded-For", here)
		}
		s.wantRefused(http.StatusTooManyRequests, "X-Forwarded-For", here)
		s.wantRelay(s.open("X-Forwarded-For", elsewhere))
		s.wantRelay(client, upstream)
		client.leave(1000)
		upstream.wantClose(1000)
		s.wantEnd(policies.ClientClose)
		s.wantRelay(s.open("X-Forwarded-For", here))
	})
}

// Few messages, but long ones.
func TestStrictPublicBytes(t *testing.T) {
	t.Parallel()
	s := start(t, "strict-public.yaml", nil, nil)
	client, upstream := s.open()
	message := strings.Repeat("x", int(s.policy.Messages.MaxBytes))
	for range s.policy.Messages.Burst { // of which the bytes alone take 20s
		client.say(message)
	}
	s.wantEnd(policies.MessageRate)
	if got := len(upstream.got); got >= s.policy.Messages.Burst {
		t.Errorf("upstream has got all %d messages", got)
	}
}

func TestStrictPublicPressure(t *testing.T) {
	t.Parallel()
	if load(t, "strict-public.yaml").Pressure.Heap == 0 {
		t.Error("memory is not watched")
	}
}

func TestStrictPublicText(t *testing.T) {
	t.Parallel()
	s := start(t, "strict-public.yaml", nil, nil)
	client, upstream := s.open()
	client.say("not UTF-8: \xff")
	client.wantClose(1007)
	upstream.wantClose(1001)
	s.wantEnd(policies.InvalidUTF8)
}

// One client in a crash loop takes its own connections, and nobody else's.
func TestConnectionsOfOneIdentity(t *testing.T) {
	t.Parallel()
	for file, other := range map[string][2]string{
		"internal-service.yaml": {"X-Service-Name", "orders"},
		"json-rpc.yaml":         {}, // the identity is in the query
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, nil)
			client, upstream := s.open()
			for range s.policy.Connections.PerIdentity - 1 {
				s.open()
			}
			s.wantRefused(http.StatusTooManyRequests)
			if other[0] != "" {
				s.wantRelay(s.open(other[0], other[1]))
				s.wantRefused(http.StatusForbidden, other[0], "") // without a name
			}
			s.wantRelay(client, upstream)
			s.wantNoEnd()
		})
	}
}

// A server that hangs with its sockets open: clients are told, and can go elsewhere.
func TestInternalServiceUpstreamHangs(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	s := start(t, "internal-service.yaml", func(p *policies.Policy) {
		cut(t, &p.UpstreamHeartbeat.Interval)
		cut(t, &p.UpstreamHeartbeat.Timeout)
	}, func(m string) []string {
		if m == "hang" {
			<-hang
		}
		return nil
	})
	beside, besideUpstream := s.open()
	client, upstream := s.open()
	client.say("hang")
	upstream.want("hang")
	client.wantClose(1013)
	close(hang)
	s.wantEnd(policies.UpstreamTimeout)
	s.wantRelay(beside, besideUpstream)
	s.wantNoEnd()
}

// A client that reads nothing more, of what is sent to all. Whoever reads gets all of it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"dashboard-broadcast.yaml", "internal-service.yaml", "centrifugo.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) { cut(t, &p.Stall.Timeout) }, nil)
			beside, besideUpstream := s.open()
			_, upstream := s.openMute()
			news := strings.Repeat("news ", 100_000)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for range 100 { // more than all buffers on the way
					upstream.say(news)
				}
			}()
			besideUpstream.say(news)
			beside.want(news)
			s.wantEnd(policies.Stalled)
			<-sent
			s.wantRelay(beside, besideUpstream)
			s.wantNoEnd()
		})
	}
}

// A server that reads nothing more. Its clients are closed with what tells their library
// to come back, which the cause's own 1008 does not.
func TestServerReadsNothing(t *testing.T) {
	t.Parallel()
	for file, code := range map[string]int{"graphql-transport-ws.yaml": 1013, "pusher.yaml": 4100} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			hang := make(chan struct{})
			defer close(hang)
			s := start(t, file, func(p *policies.Policy) {
				cut(t, &p.Stall.Timeout)
				p.Messages.Rate, p.Messages.Burst = 0, 0 // so that enough comes together
			}, func(string) []string {
				<-hang
				return nil
			})
			client, _ := s.open()
			message := talks(file) + strings.Repeat(" ", 8<<10)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for range 10_000 { // more than all buffers on the way
					client.say(message)
				}
			}()
			client.wantClose(code)
			s.wantEnd(policies.Stalled)
			<-ended
		})
	}
}

// A device that comes back gets its seat, whoever sits there: the old connection is a
// zombie. That of another device is not touched.
func TestNewestWins(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"mobile-clients.yaml", "iot-devices.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, nil)
			name := s.policy.Connections.Identity.Name
			beside, besideUpstream := s.open(name, "the neighbour's secret")
			zombie, old := s.openMute(name, "secret")
			client, upstream := s.open(name, "secret")
			old.wantClose(1001)
			zombie.listen()
			zombie.wantClose(1008)
			s.wantEnd(policies.Superseded)
			s.wantRelay(client, upstream)
			s.wantRelay(beside, besideUpstream)
			s.wantRefused(http.StatusForbidden, name, "") // without a secret
			s.wantNoEnd()
		})
	}
}

// What is forbidden does not reach the server, however few subscriptions there are.
func TestForbiddenTopics(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, subscribe, refused string }{
		{"json-rpc.yaml", `{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newPendingTransactions"]}`,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"topic not allowed"}}`},
		{"centrifugo.yaml", `{"id":2,"subscribe":{"channel":"admin:users"}}`, `{"id":2,"error":{"code":106,"message":"topic not allowed"}}`},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.file, nil, nil)
			client, upstream := s.open()
			client.say(tt.subscribe)
			client.want(tt.refused)
			s.wantRelay(client, upstream) // upstream has got nothing before
		})
	}
}
