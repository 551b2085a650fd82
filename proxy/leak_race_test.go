//go:build race

package proxy_test

// leakSessions is how many sessions end for each cause: the race detector makes
// each of them costly.
const leakSessions = 1000
