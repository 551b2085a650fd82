package proxy_test

import (
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"wswarden/config"
)

// Where each port of wswarden's own is a session's, upstream is well: its breaker does not
// open, and who comes when there is a port again is let in.
func TestNoPortIsLeft(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		skip(t, "%v %s", err, out)
	}
	ln, server := edgeListen(t, "http", nil)
	listener, admin := "unix:"+edgeSocket(t), "127.0.0.1:5001"
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0); err != nil {
		skip(t, "%v", err)
	}
	e := startEdge(t, func(c *config.Config) {
		c.Listeners[0].Address, c.Admin.Address = listener, admin
		c.Upstream.URL = server
		c.Upstream.Breaker = config.Breaker{Failures: 3, RetryAfter: time.Hour}
	})
	var clients, upstreams []*edgePeer
	for range 4 {
		client, upstream := e.open(nil, ln)
		clients, upstreams = append(clients, client), append(upstreams, upstream)
	}
	for range 5 {
		if status, _ := e.ask(interopRequest()); status != http.StatusServiceUnavailable {
			t.Errorf("without a port: status %d", status)
		}
	}
	e.wantLog(1, "handshake failed", "ip_local_port_range")
	edgeReset(upstreams[0].conn) // so that its port is free at once
	clients[0].wantClose(1014, "upstream_lost")
	edgeClose(clients[0].conn)
	e.wantLog(1, "session ended")
	again, upstream := e.open(nil, ln)
	clients[0], upstreams[0] = again, upstream
	for i := range clients {
		edgeBye(clients[i], upstreams[i])
	}
	if opened := e.log.with("breaker opened"); len(opened) > 0 {
		t.Error(opened)
	}
}
