package main

import (
	"bytes"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/gdamore/tcell/v3/vt"
	"golang.org/x/term"
)

// terminal is a real one with wswarden in front of it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File // kept, so that its state can be seen in the end
	before *term.State
	done   chan struct{} // everything was read
	screen vt.MockTerm   // on which it is shown

	mu     sync.Mutex
	output []byte
	more   chan struct{} // something was read
}

// onTerminal starts a command line on a terminal of so many columns.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &terminal{t: t, cmd: command(t, args...), master: master, slave: slave, done: make(chan struct{}), more: make(chan struct{}, 1),
		screen: vt.NewMockTerm(vt.MockOptSize{X: vt.Col(columns), Y: 24})}
	if err := p.screen.Start(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	if p.before, err = term.GetState(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	p.cmd.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR="), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		_ = slave.Close()
		_ = master.Close()
		<-p.done
		_ = p.screen.Stop()
	})
	return p
}

func (p *terminal) read() {
	defer close(p.done)
	buffer := make([]byte, 4096)
	for {
		n, err := p.master.Read(buffer)
		p.mu.Lock()
		p.output = append(p.output, buffer[:n]...)
		p.mu.Unlock()
		_, _ = p.screen.Write(buffer[:n])
		select {
		case p.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.output)
}

// shown is what is to be seen.
func (p *terminal) shown() string {
	size, _ := p.screen.WindowSize()
	var b strings.Builder
	for y := range size.Height {
		row := ""
		for x := range size.Width {
			cell := p.screen.GetCell(vt.Coord{X: vt.Col(x), Y: vt.Row(y)})
			if cell.C == "" {
				cell.C = " "
			}
			row += cell.C
		}
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	return b.String()
}

// want waits until the terminal shows all the parts.
func (p *terminal) want(parts ...string) {
	p.t.Helper()
	lacks := func(part string) bool { return !strings.Contains(p.shown(), part) }
	p.until(func() bool { return !slices.ContainsFunc(parts, lacks) }, parts...)
}

func (p *terminal) until(is func() bool, what ...string) {
	p.t.Helper()
	deadline := time.After(longest)
	for !is() {
		select {
		case <-p.more:
		case <-deadline:
			p.t.Fatalf("it shows\n%swant %q", p.shown(), what)
		}
	}
}

// resize changes the size of the terminal.
func (p *terminal) resize(columns, rows uint16) {
	p.t.Helper()
	p.screen.SetSize(vt.Coord{X: vt.Col(columns), Y: vt.Row(rows)})
	if err := pty.Setsize(p.master, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminal) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// wantExit waits for the end, after which the terminal is as it was.
func (p *terminal) wantExit(code int) {
	p.t.Helper()
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("%s, want exit code %d; it shows\n%s", p.cmd.ProcessState, code, p.shown())
	}
	after, err := term.GetState(int(p.slave.Fd()))
	if err != nil || !reflect.DeepEqual(after, p.before) {
		p.t.Errorf("the terminal is %+v (%v), was %+v", after, err, p.before)
	}
}

// wantNormalScreen waits until the alternate screen is left, and the cursor shown.
func (p *terminal) wantNormalScreen() {
	p.t.Helper()
	const enter, leave, cursor = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
	p.until(func() bool {
		text := p.text()
		return strings.Count(text, enter) == 1 && strings.Count(text, leave) == 1 &&
			strings.Index(text, enter) < strings.Index(text, leave) && strings.Contains(text, cursor)
	}, "the normal screen")
}

func TestWatchOnTerminal(t *testing.T) {
	t.Parallel()
	s, address, _ := operated(t, "")
	p := onTerminal(t, 80, nil, "sessions", "watch", "--admin", address, "--interval", "20ms", "--sort", "id")
	p.want("0000000000000003", "q quit")
	p.press("jK")
	p.want("End session 0000000000000002? y/n")
	p.press("y")
	p.want("session 0000000000000002 ends", "2 shown of 2")
	p.press("\r")
	p.want("session 0000000000000003", "Timeline")
	p.press("q")
	p.want("q quit")
	p.resize(40, 12)
	p.want("K end  s s…") // the last line is cut
	p.press("?")
	p.want("reverse the order")
	p.press("qq")
	p.wantExit(0)
	p.wantNormalScreen()
	s.mu.Lock()
	defer s.mu.Unlock()
	if did := strings.Join(s.did, ", "); did != "0000000000000002 0" {
		t.Errorf("%q was done", did)
	}
}

// Whatever ends it leaves the terminal as it was.
func TestWatchRestoresTerminal(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			_, address, _ := operated(t, "")
			p := onTerminal(t, 80, nil, "sessions", "watch", "--admin", address)
			p.want("q quit")
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			p.wantExit(0)
			p.wantNormalScreen()
		})
	}
}

// A terminal that is gone takes the command with it.
func TestWatchTerminalGone(t *testing.T) {
	t.Parallel()
	_, address, _ := operated(t, "")
	p := onTerminal(t, 80, nil, "sessions", "watch", "--admin", address, "--interval", "20ms")
	p.want("q quit")
	_ = p.master.Close()
	_ = p.cmd.Wait()
	if p.cmd.ProcessState.ExitCode() < 0 && !strings.Contains(p.cmd.ProcessState.String(), "hangup") {
		t.Error(p.cmd.ProcessState)
	}
}

// What is wrong at the start is told as by any command, on the screen as it is.
func TestWatchNeverBegins(t *testing.T) {
	t.Parallel()
	_, address, _ := operated(t, operatorToken)
	p := onTerminal(t, 80, nil, "sessions", "watch", "--admin", address)
	p.want("wants a token")
	p.wantExit(1)
	if strings.Contains(p.text(), "\x1b") {
		t.Errorf("it shows %q", p.text())
	}
}

// Tables have colours on a terminal only, unless NO_COLOR is set, and fit it.
func TestListOnTerminal(t *testing.T) {
	t.Parallel()
	_, address, _ := operated(t, "")
	for _, columns := range []uint16{20, 40, 80, 200} {
		for no, colours := range map[string]bool{"": true, "1": false} {
			p := onTerminal(t, columns, []string{"NO_COLOR=" + no}, "sessions", "list", "--sort", "id", "--admin", address)
			p.want("0000000000000003")
			p.wantExit(0)
			text := p.text()
			if strings.Contains(text, "\x1b") != colours {
				t.Errorf("NO_COLOR=%s: %q", no, text)
			}
			for l := range strings.Lines(text) {
				l = strings.NewReplacer("\x1b[1m", "", "\x1b[m", "", "\r\n", "").Replace(l)
				if utf8.RuneCountInString(l) > int(columns) {
					t.Errorf("%d columns: %q", columns, l)
				}
			}
		}
	}
}

// On a terminal, whoever ends all that fit a filter is asked.
func TestKillAsks(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct {
		code int
		did  string
		says string
	}{
		"y\r":   {0, "policy=passengers 0", "3 sessions ended"},
		"no\r":  {1, "", "nothing was ended"},
		"\r":    {1, "", "nothing was ended"},
		"\x04":  {1, "", "nothing was ended"}, // the end of the input
		"yes\r": {0, "policy=passengers 0", "3 sessions ended"},
	} {
		s, address, _ := operated(t, "")
		p := onTerminal(t, 80, nil, "sessions", "kill", "--policy", "passengers", "--admin", address)
		p.want("End 3 sessions? [y/N]")
		p.press(answer)
		p.want(want.says)
		p.wantExit(want.code)
		if did := strings.Join(s.did, ", "); did != want.did {
			t.Errorf("%q: %q was done", answer, did)
		}
	}
}

// A reader that has enough ends what is watched, without a word.
func TestWatchBrokenPipe(t *testing.T) {
	t.Parallel()
	_, address, _ := operated(t, "")
	cmd := command(t, "sessions", "watch", "--admin", address, "--interval", "1ms")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGPIPE || stderr.Len() > 0 {
		t.Errorf("%s, %q", cmd.ProcessState, stderr.String())
	}
}
