package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain lets this binary stand in for the program: as the demonstration's
// process, and as the children that it starts from its own executable.
func TestMain(m *testing.M) {
	if os.Getenv(roleVar) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns the demonstration as a process that is killed after a minute.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), roleVar+"=demonstration")
	cmd.WaitDelay = time.Minute
	return cmd
}

// The example's whole promise, in a short run.
func TestDemonstration(t *testing.T) {
	t.Parallel()
	out, err := program(t, "-duration", "3s", "-clients", "30").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{"\nVerdict: ", "Behind wswarden none is left, and no client held more than 20 PNRs.", "through wswarden"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 100+len("\n") || strings.ContainsFunc(line, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
			t.Errorf("not fit for a plain terminal of 100 columns: %q", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// However the demonstration ends, its children end with it: they share its
// standard error, which reads as ended only when the last of them is gone.
func TestChildrenEndWithTheDemonstration(t *testing.T) {
	for _, test := range []struct {
		name   string
		signal os.Signal
		says   string
		status int
	}{
		{"Ctrl-C", os.Interrupt, "interrupted, so there is no verdict", 1},
		{"kill", os.Kill, "", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := program(t, "-clients", "5")
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for lines.Scan() && !strings.HasPrefix(lines.Text(), "   1s") {
			}
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, stdout) // up to its end, whatever it is
			err = cmd.Wait()
			if errors.Is(err, exec.ErrWaitDelay) {
				t.Fatal("a child lives on")
			}
			if got := cmd.ProcessState.ExitCode(); got != test.status {
				t.Errorf("exit status %d, want %d", got, test.status)
			}
			if !strings.Contains(stderr.String(), test.says) {
				t.Errorf("it says %q, want %q", stderr.String(), test.says)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{"-clients", "0"}, {"-duration", "999ms"}, {"-backend-ping", "-1s"}, {"-colour"}, {"now"},
	} {
		cmd := program(t, args...)
		out, _ := cmd.CombinedOutput() // the status tells
		if status := cmd.ProcessState.ExitCode(); status != 2 {
			t.Errorf("%q: exit status %d, want 2\n%s", args, status, out)
		}
	}
}

func TestVerdict(t *testing.T) {
	empty := health{}
	leaked := health{Clients: 3, Subscriptions: 5, Timers: 4, MostPNRs: 1000}
	const limit = 20
	for _, test := range []struct {
		name           string
		direct, warded health
		want           string // the error; empty: success
	}{
		{"the leak is real and wswarden stops it", leaked, health{MostPNRs: limit, Unsubscribes: 9}, ""},
		{"nothing has leaked", empty, empty, "proves nothing"},
		{"only entries and timers have leaked", health{Subscriptions: 5, Timers: 4}, empty, "proves nothing"},
		{"a zombie is left", leaked, health{Clients: 1}, "1 zombies"},
		{"a subscription is left", leaked, health{Subscriptions: 1}, "1 subscriptions"},
		{"a timer is left", leaked, health{Timers: 1}, "1 timers"},
		{"a client held too much", leaked, health{MostPNRs: limit + 1}, "a client held 21 PNRs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			side := func(h health) outcome { return outcome{left: h, grown: 3e6, fleet: newFleet("", options{})} }
			var out strings.Builder
			err := verdict(&out, side(test.direct), side(test.warded), limit)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "" && !strings.Contains(out.String(), "3 zombies and 5 stale subscriptions cost the direct backend 3.0 MB"):
				t.Errorf("it says %q", out.String())
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	if !bytes.HasPrefix(configuration, []byte("# ")) {
		t.Error("wswarden.yaml does not open with the problem that it solves")
	}
	policy, err := readPolicy()
	if err != nil {
		t.Fatal(err)
	}
	// The stall of 3s once the buffers are full, and the grace of 1s.
	if got, want := supervisionTime(policy), fillTime+4*time.Second; got != want {
		t.Errorf("supervision takes up to %v, want %v", got, want)
	}
	if policy.Dialect != "rac" || policy.Subscriptions.Max != 20 || !policy.Messages.ValidateUTF8 || !policy.Release.Unsubscribe {
		t.Errorf("policy: %+v", policy)
	}
}

func TestVerdictOnRefusedClients(t *testing.T) {
	direct := outcome{left: health{Clients: 3}, fleet: newFleet("", options{})}
	warded := outcome{fleet: newFleet("", options{})}
	warded.fleet.refused.add(errors.New("bad gateway"))
	err := verdict(io.Discard, direct, warded, 20)
	if err == nil || !strings.Contains(err.Error(), "1 times a client could not connect through wswarden: bad gateway") {
		t.Errorf("error %v", err)
	}
}
