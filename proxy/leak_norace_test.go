//go:build !race

package proxy_test

// leakSessions is how many sessions end for each cause.
const leakSessions = 10_000
