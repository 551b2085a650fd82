//go:build race

package proxy_test

// interopHandshakes is how many handshakes must lose no message. The race
// detector makes each one several times as dear.
const interopHandshakes = 1_000
