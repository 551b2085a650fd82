package proxy_test

import "testing"

// TestOnPoll runs some of the tests once more, with wswarden on poll(2) instead
// of the system's best poller: start goes by the test's name.
func TestOnPoll(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"client close":      TestClientClose,
		"upstream close":    TestUpstreamClose,
		"unanswered close":  TestCloseUnansweredByUpstream,
		"client lost":       TestClientLost,
		"upstream lost":     TestUpstreamLost,
		"heartbeat":         TestHeartbeatTimeout,
		"max age":           TestMessageUnderWayIsCompleted,
		"message too big":   TestMessageTooBig,
		"stalled client":    TestStalledClient,
		"stalled upstream":  TestStalledUpstream,
		"client reads on":   TestStalledClientReadsOn,
		"client goes on":    TestClientGoesOnBehindItsClose,
		"client violates":   TestClientViolates,
		"upstream violates": TestUpstreamViolates,
	} {
		t.Run(name, test)
	}
}
