//go:build !race

package proxy_test

// interopHandshakes is how many handshakes must lose no message.
const interopHandshakes = 20_000
