//go:build !race

package proxy_test

import "os"

// full has tests that count do so at length: they are quick otherwise.
var full = os.Getenv("WSWARDEN_TEST_FULL") != ""

func atLength(quick, long int) int {
	if full {
		return long
	}
	return quick
}

var (
	// leakSessions is how many sessions end for each cause.
	leakSessions = atLength(2000, 10_000)
	// interopHandshakes is how many handshakes must lose no message.
	interopHandshakes = atLength(4000, 20_000)
	// greedyMessagesSeen is how many messages of greedy clients upstream sees, at least.
	greedyMessagesSeen = atLength(25_000, 100_000)
	// renewedSessions is how many live while their listener's certificate changes.
	renewedSessions = atLength(6, 500)
)

// reloadSessions is how many sessions live through reloads.
const reloadSessions = 200
