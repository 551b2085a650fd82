package proxy_test

import (
	"testing"

	"wswarden/policies"
)

func identify(id string) string { return `{"type":"IDENTIFY","irctcId":"` + id + `"}` }

func byMessage(perIdentity int, onExcess policies.Excess) policies.Policy {
	return policies.Policy{
		Dialect: "rac",
		Connections: policies.Connections{
			PerIdentity: perIdentity,
			Identity:    policies.Identity{From: policies.FromMessage},
			OnExcess:    onExcess,
		},
		Release: policies.Release{Unsubscribe: true},
	}
}

// Where the identity comes with a message the limit applies from then on: upstream
// does not see the message of one who is over it.
func TestClaimRejected(t *testing.T) {
	t.Parallel()
	w := start(t, byMessage(1, policies.ExcessReject))
	first, firstUp := w.open()
	first.send(first.frame(text, identify("a")), first.frame(text, "behind"))
	firstUp.want(text, identify("a"))
	firstUp.want(text, "behind")
	first.send(first.frame(text, identify("a"))) // again: nothing new
	firstUp.want(text, identify("a"))

	second, secondUp := w.open()
	second.send(second.frame(text, "ahead"), second.frame(text, identify("a")), second.frame(text, "behind"))
	secondUp.want(text, "ahead")
	secondUp.wantClose(1001, "connection_limit")
	second.wantClose(1008, policies.RefusedPerIdentity.Reason())
	secondUp.answerClose(1001)
	second.answerClose(1008)
	w.wantEnd(policies.ConnectionLimit, 1008)

	third, thirdUp := w.open()
	third.send(third.frame(text, identify("b")))
	thirdUp.want(text, identify("b"))
	w.wantAlive(first, firstUp)
	w.bye(first, firstUp)
	third.send(third.frame(text, identify("a"))) // which leaves b to others
	thirdUp.want(text, identify("a"))
	fourth, fourthUp := w.open()
	fourth.send(fourth.frame(text, identify("b")))
	fourthUp.want(text, identify("b"))
	w.bye(third, thirdUp)
	w.bye(fourth, fourthUp)
	w.wantNoSeats()
}

// The newest wins: its message, and what is behind it, waits until upstream has let
// go of the oldest.
func TestClaimEvictsOldest(t *testing.T) {
	t.Parallel()
	w := start(t, byMessage(1, policies.ExcessEvictOldest))
	first, firstUp := w.open()
	first.send(first.frame(text, identify("a")), first.frame(text, subscribe("1")))
	firstUp.want(text, identify("a"))
	firstUp.want(text, subscribe("1"))

	second, secondUp := w.open()
	second.send(second.frame(text, "ahead"), second.frame(textBegins, identify("a")[:10]), second.frame(goesEnd, identify("a")[10:]),
		second.frame(text, subscribe("1")), second.frame(text, "behind"))
	secondUp.want(text, "ahead")
	firstUp.want(text, unsubscribe("1"))
	firstUp.wantClose(1001, "superseded")
	secondUp.send(secondUp.frame(text, "meanwhile"))
	second.want(text, "meanwhile")
	secondUp.wantNothing()
	firstUp.answerClose(1001)
	secondUp.want(text, identify("a"))
	secondUp.want(text, subscribe("1"))
	secondUp.want(text, "behind")
	first.wantClose(1008, "superseded")
	first.answerClose(1008)
	w.wantEnd(policies.Superseded, 1008)
	second.send(second.closeFrame(1000, ""))
	secondUp.want(text, unsubscribe("1"))
	secondUp.leave(1000, "")
	second.wantClose(1000, "")
	second.end()
	w.wantEnd(policies.ClientClose, 1000)
	w.wantNoSeats()
}

// A client that goes while it waits for a seat leaves none behind.
func TestClaimGivenUp(t *testing.T) {
	t.Parallel()
	w := start(t, byMessage(1, policies.ExcessEvictOldest))
	first, firstUp := w.open()
	first.send(first.frame(text, identify("a")))
	firstUp.want(text, identify("a"))
	second, secondUp := w.open()
	second.send(second.frame(text, identify("a")))
	firstUp.wantClose(1001, "superseded")
	second.reset()
	secondUp.wantClose(1001, "client_lost")
	secondUp.answerClose(1001)
	w.wantEnd(policies.ClientLost, 1001)
	w.until(func() bool { return w.server.Seats() == 1 }) // while its predecessor has not gone
	first.wantClose(1008, "superseded")
	first.answerClose(1008)
	firstUp.answerClose(1001)
	w.wantEnd(policies.Superseded, 1008)
	w.wantNoSeats()
}
