//go:build linux

package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A container's health check: one line, and an exit code, soon. Nothing but the binary is
// needed.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	upstream := echoing(t)
	admin := freeAddress(t)
	l := generations(t, "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: "+upstream+" }\nadmin: { address: "+admin+" }\n")
	silent := listen(t)
	go func() {
		for { // it takes connections, and says nothing
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	check := func(code int, stdout string, args ...string) {
		t.Helper()
		cmd := command(t, append([]string{"healthcheck"}, args...)...)
		cmd.Env = []string{"WSWARDEN_ADMIN_ADDRESS=" + admin}
		out, _ := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != code || string(out) != stdout {
			t.Errorf("healthcheck %s: exit code %d, %q, want %d, %q", strings.Join(args, " "), got, out, code, stdout)
		}
	}
	check(0, "ready\n")
	check(0, "live\n", "--live")
	check(0, "ready\n", "--config", l.file)
	check(1, "", "--admin", silent.Addr().String(), "--timeout", "50ms")
	check(2, "", "--timeout", "0s")
	l.end()
	check(1, "")
	check(1, "", "--live")
}

// Who does not say how long it may take waits for two seconds: less than the interval of
// any health check.
func TestHealthcheckTimeout(t *testing.T) {
	t.Parallel()
	var code int
	for _, cmd := range operateCommands(&code) {
		want := 10 * time.Second
		if cmd.Name() == "healthcheck" {
			want = healthTimeout
		}
		if flag := cmd.Flags().Lookup("timeout"); flag.DefValue != want.String() {
			t.Errorf("%s: %s, want %s", cmd.Name(), flag.DefValue, want)
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// The backlog takes the connection.
	if code, _, stderr := operate("healthcheck", "--admin", silent.Addr().String()); code != 1 || !strings.Contains(stderr, "2s") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
