//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"wswarden/config"
	"wswarden/policies"
)

// limited has a command be run under a limit of descriptors, a soft and a hard one.
func limited(cmd *exec.Cmd, soft, hard int) {
	cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -Sn %d && ulimit -Hn %d && exec "$0" "$@"`, soft, hard), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// The hard limit of descriptors counts, and who has configured more sessions than that is
// told: at the start, and when a reload changes it. GOMEMLIMIT wins over the cgroup.
func TestLimits(t *testing.T) {
	t.Parallel()
	base := "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: http://127.0.0.1:5000 }\nadmin: { address: \"\" }\n"
	tooMany := base + "policies: [{ name: a, match: { path: /a }, connections: { max: 40 } }, { name: b, connections: { max: 60 } }]\n"
	l := generations(t, tooMany, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Environ(), "GOMEMLIMIT=123MiB", "GOMAXPROCS=3")
		limited(cmd, 256, 600)
	})
	var told struct{ Descriptors, Sessions, Loops, Memory int }
	if err := json.Unmarshal([]byte(l.before(`"msg":"limits"`)), &told); err != nil {
		t.Fatal(err)
	}
	if told.Descriptors < 599 || told.Descriptors > 600 || told.Sessions < 49 || told.Sessions > 50 || told.Loops != 3 || told.Memory != 123<<20 {
		t.Errorf("%+v", told)
	}
	if line := l.before("connections.max"); !strings.Contains(line, `"allowed":100`) {
		t.Errorf("the log tells %q of too few descriptors", line)
	}
	writeFile(t, l.file, base+"policies: [{ connections: { max: 70 } }]\n")
	l.signal(syscall.SIGHUP)
	l.want("connections.max", `"allowed":70`)
	l.end()
}

// Sessions that there are no descriptors for are warned of, and no others.
func TestRoom(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		store       string
		max         []int
		descriptors uint64
		warns       string // a part of it; empty: it does not
	}{
		{"memory", []int{0}, 1024, ""},
		{"memory", []int{250}, 1000, ""},
		{"memory", []int{251}, 1000, "allowed=251 fit=250 descriptors=1000 wanted=1002"},
		{"memory", []int{200, 0, 51}, 1000, "allowed=251 fit=250"},
		{"memory", []int{1}, 100, "allowed=1 fit=0"},
		{"memory", []int{1}, 0, ""}, // it is not known
		{"redis", []int{10_000}, 1000, ""},
	} {
		var log bytes.Buffer
		cfg := config.Default()
		cfg.Store.Kind, cfg.Policies = row.store, nil
		for _, most := range row.max {
			p := policies.Default()
			p.Connections.Max = most
			cfg.Policies = append(cfg.Policies, p)
		}
		checkRoom(slog.New(slog.NewTextHandler(&log, nil)), cfg, row.descriptors)
		if row.warns == "" && log.Len() > 0 || !strings.Contains(log.String(), row.warns) {
			t.Errorf("%+v: %s", row, log.String())
		}
	}
}
