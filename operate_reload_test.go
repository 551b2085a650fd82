package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wswarden/proxy/admin"
)

// What is wrong with a configuration is told in a line for each problem; another one is
// for those who see whether the command has failed.
func TestOperateReloadRefused(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"table": "a.yaml:1:1: listeners: is missing\na.yaml:2:1: upstreem: is not known\n",
		"json":  `"problems":["a.yaml:1:1: listeners: is missing","a.yaml:2:1: upstreem: is not known"]}` + "\n",
	} {
		s, address, _ := operated(t, operatorToken)
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(operatorToken), 0o600); err != nil {
			t.Fatal(err)
		}
		s.refusal = errors.New("a.yaml:1:1: listeners: is missing\na.yaml:2:1: upstreem: is not known")
		code, stdout, stderr := operate("reload", "--admin", address, "--token-file", file, "--output", output)
		if code != 1 || !strings.HasSuffix(stdout, want) || stderr != "wswarden: the configuration is refused, and nothing has changed\n" {
			t.Errorf("%d, %q, %q", code, stdout, stderr)
		}
		if code, _, stderr := operate("reload", "--admin", address); code != 1 || !strings.Contains(stderr, "wants a token") || len(s.did) != 1 {
			t.Errorf("without a token: %d, %q, %q", code, stderr, s.did)
		}
		s.refusal = admin.ErrDraining
		if code, stdout, stderr := operate("reload", "--admin", address, "--token-file", file); code != 1 || stdout != "" || !strings.Contains(stderr, "drains") {
			t.Errorf("in a drain: %d, %q, %q", code, stdout, stderr)
		}
	}
}

// It is ready with the configuration that it has, and remarks that it was given another.
func TestOperateReadyThoughRefused(t *testing.T) {
	t.Parallel()
	s, address, _ := operated(t, "")
	s.configuration.Failed = &time.Time{}
	if code, stdout, stderr := operate("healthcheck", "--admin", address); code != 0 || stdout != "ready\n" || !strings.HasPrefix(stderr, "configuration: the latest was refused at ") {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
	s.Drain()
	if code, _, stderr := operate("healthcheck", "--admin", address); code != 1 || strings.Contains(stderr, "configuration") {
		t.Errorf("not ready: %d, %q", code, stderr)
	}
}
