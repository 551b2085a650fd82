package policies_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

// A day in the life of a client that does what its library does by default. The rules are
// asked as a session asks them, but by a clock of the test's own.
func TestWellBehavedDay(t *testing.T) {
	const (
		s = time.Second
		m = time.Minute
	)
	for _, tt := range []struct {
		file string
		// own is how often the client sends a heartbeat of its own, or an answer to one of
		// the server's, and data how often a message passes. 0: never.
		own, data time.Duration
		// pinged: wswarden's pings are needed, and at most silence passes without a frame
		// of the client.
		pinged  bool
		silence time.Duration
	}{
		{"strict-public.yaml", 0, 9 * m, true, 60 * s},          // nginx, ALB
		{"internal-service.yaml", 0, 10 * m, true, 15 * s},      //
		{"mobile-clients.yaml", 0, 8 * time.Hour, true, 4 * m},  // Azure's load balancer
		{"dashboard-broadcast.yaml", 0, 10 * m, true, 60 * s},   // nginx, ALB
		{"iot-devices.yaml", 4 * m, 4 * m, false, 5 * m},        // carriers
		{"rac.yaml", 25 * s, 9 * m, false, 60 * s},              // the portals' ping
		{"graphql-transport-ws.yaml", 12 * s, 0, false, 60 * s}, // useServer's keepAlive
		{"graphql-ws.yaml", 0, 0, true, 60 * s},                 // "ka" asks for no answer
		{"pusher.yaml", 120 * s, 0, true, 60 * s},               // activityTimeout
		{"actioncable.yaml", 0, 0, true, 60 * s},                // the server's pings, every 3s, ask for no answer
		{"phoenix.yaml", 30 * s, 0, false, 60 * s},              // heartbeatIntervalMs
		{"phoenix.yaml", 60 * s, 0, true, 60 * s},               // a hidden tab in Chrome
		{"centrifugo.yaml", 25 * s, 0, false, 60 * s},           // the server's pings
		{"socket.io.yaml", 25 * s, 0, false, 60 * s},            // pingInterval
		{"stomp.yaml", 10 * s, 0, false, 60 * s},                // heartbeatOutgoing
		{"stomp.yaml", 0, 0, true, 60 * s},                      // 0,0
		{"json-rpc.yaml", 0, 12 * s, true, 60 * s},              // newHeads keep geth itself from pinging
		{"signalr.yaml", 15 * s, 0, false, 60 * s},              // KeepAliveInterval
	} {
		for _, spread := range []uint8{0, 255} {
			policy := load(t, tt.file).Policies[0]
			day := live(&policy, tt.own, tt.data, spread)
			if day.cause != policies.NoCause && day.cause != policies.MaxAge {
				t.Errorf("%s: ended after %v for %v", tt.file, day.age, day.cause)
			}
			if (day.pings > 0) != tt.pinged {
				t.Errorf("%s: the client has been pinged %d times", tt.file, day.pings)
			}
			if day.silence > tt.silence {
				t.Errorf("%s: nothing has come from the client for %v", tt.file, day.silence)
			}
		}
	}
}

// day is what has become of a session.
type day struct {
	age, silence time.Duration
	pings        int
	cause        policies.Cause
}

func live(p *policies.Policy, own, data time.Duration, spread uint8) (d day) {
	const (
		begin     = policies.Moment(time.Second)
		roundTrip = 2 * time.Second // a bad link
	)
	f := policies.Facts{Opened: begin, ClientFrame: begin, UpstreamFrame: begin, Message: begin, ClientMessage: begin, Spread: spread}
	nextOwn, nextData, pong, upstreamPong, check := begin+own, begin+data, policies.Never, policies.Never, begin
	for now := begin; now < begin+24*time.Hour; {
		frame := func() {
			d.silence = max(d.silence, now-f.ClientFrame)
			f.ClientFrame = now
		}
		if own > 0 && now == nextOwn {
			frame()
			nextOwn += own
		}
		if data > 0 && now == nextData {
			f.Message = now
			nextData += data
		}
		if now == pong {
			frame()
			f.ClientPong, pong = now, policies.Never
		}
		if now == upstreamPong {
			f.UpstreamFrame, upstreamPong = now, policies.Never
		}
		for asking := true; asking; {
			var v policies.Verdict
			v, check = p.Check(&f, now)
			asking = false
			switch v.Action {
			case policies.End:
				d.cause, d.age = v.Cause, now-begin
				return d
			case policies.PingClient:
				f.ClientPing, pong, asking = now, now+roundTrip, true
				d.pings++
			case policies.PingUpstream:
				f.UpstreamPing, upstreamPong, asking = now, now+roundTrip, true
			}
		}
		next := begin + 24*time.Hour
		for _, at := range []policies.Moment{check, pong, upstreamPong} {
			if at != policies.Never {
				next = min(next, at)
			}
		}
		if own > 0 {
			next = min(next, nextOwn)
		}
		if data > 0 {
			next = min(next, nextData)
		}
		now = next
	}
	return d
}
