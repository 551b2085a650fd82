//go:build race

package proxy_test

// The race detector makes each session and message costly.
var (
	leakSessions       = 1000   // end for each cause
	interopHandshakes  = 1000   // must lose no message
	greedyMessagesSeen = 10_000 // by upstream, at least
	renewedSessions    = 6      // live while their listener's certificate changes
)

// reloadSessions is how many sessions live through reloads.
const reloadSessions = 100
