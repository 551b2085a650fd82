package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

const applicationsFolder = "testdata/dialects"

// application is a protocol's client and server, and how they differ from others.
// What they take and tell is in testdata/dialects/peer.js.
type application struct {
	dialect string
	// client and server are commands, in applicationsFolder.
	client, server []string
	// own are what wswarden counts beside, and leaves to the close to undo.
	own []string
	// topic is what wswarden takes for one that the client calls %s.
	topic string
	// confirms: the client is told that it is subscribed.
	confirms bool
	// concurrent: the server works on several messages at a time, in any order, and
	// gives up by itself what a client held that is gone. The others do not.
	concurrent bool
	// deflates: both can compress.
	deflates bool
	// givesUp: the client does not ask again for what was refused, until it has
	// connected anew.
	givesUp bool
	// fatal: upstream's refusal ends the session.
	fatal bool
	// refused is what the client tells of a refusal of wswarden's, and forbidden of
	// one of upstream's: the callback that has it, and %s for wswarden's reason.
	refused, forbidden string
}

// actor is the running client or server of an application.
type actor struct {
	t        *testing.T
	who      string
	process  *os.Process
	commands io.Writer
	lines    chan string
	ended    chan error
}

func startActor(t *testing.T, who string, command ...string) *actor {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = applicationsFolder
	cmd.Stderr = os.Stderr
	commands, errIn := cmd.StdinPipe()
	output, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatalf("start %s: %v", who, err)
	}
	a := &actor{t, who, cmd.Process, commands, make(chan string, 100), make(chan error, 1)}
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			a.lines <- lines.Text()
		}
		close(a.lines)
		a.ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = commands.Close()
		for line := range a.lines {
			t.Errorf("%s has more to tell: %s", who, line)
		}
		<-a.ended
	})
	return a
}

func (a *actor) do(command string, args ...any) {
	a.t.Helper()
	if _, err := fmt.Fprintf(a.commands, command+"\n", args...); err != nil {
		a.t.Fatalf("%s: %v", a.who, err)
	}
}

// want waits for the lines that come next.
func (a *actor) want(lines ...string) {
	a.t.Helper()
	for _, want := range lines {
		if got := a.next(); got != want {
			a.t.Fatalf("%s tells %q, want %q", a.who, got, want)
		}
	}
}

func (a *actor) wantAnyOrder(lines []string) {
	a.t.Helper()
	var got []string
	for range lines {
		got = append(got, a.next())
	}
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		a.t.Fatalf("%s tells %q, want %q", a.who, got, lines)
	}
}

func (a *actor) next() string {
	a.t.Helper()
	select {
	case line := <-a.lines:
		return line
	case <-time.After(longest):
		a.t.Fatalf("%s tells nothing more", a.who)
		return ""
	}
}

// stage is an application's server with wswarden before it.
type stage struct {
	t       *testing.T
	app     application
	server  *actor
	warden  *warden
	limit   int // of subscriptions, with the client's own
	reports *reports
	client  *actor // of the session that is open
}

// newStage limits subscriptions to three beside the client's own.
func (a application) newStage(t *testing.T, onExcess policies.Excess) *stage {
	s := &stage{t: t, app: a, limit: 3 + len(a.own), reports: listenForReports(t)}
	s.server = startActor(t, "server", a.server...)
	address, ok := strings.CutPrefix(s.server.next(), "listening ")
	if !ok {
		t.Fatal("server does not listen")
	}
	s.warden = startWith(t, proxy.New, func(c *config.Config) {
		c.Upstream.URL = "http://" + address
		policy := policies.Default()
		policy.Name = "test"
		policy.Dialect = a.dialect
		policy.Subscriptions = policies.Subscriptions{Max: s.limit, OnExcess: onExcess}
		policy.Release.Webhook.URL = s.reports.url
		c.Policies[0] = policy
	})
	return s
}

// connect opens a session.
func (s *stage) connect(compression string) {
	s.t.Helper()
	command := append(slices.Clone(s.app.client), "ws://"+s.warden.address)
	if compression == "deflate" {
		command = append(command, compression)
	}
	s.client = startActor(s.t, "client", command...)
	s.client.want("ready " + compression)
}

// subscribe has the client do so, and waits until it is.
func (s *stage) subscribe(topic string, evicted ...string) {
	s.t.Helper()
	s.client.do("subscribe %s", topic)
	var lines []string
	for _, old := range evicted {
		lines = append(lines, "unsubscribe "+old)
	}
	s.wantServed(append(lines, "subscribe "+topic))
	if s.app.confirms {
		s.client.want("subscribed " + topic)
	}
}

// wantServed waits for what the server has made of messages.
func (s *stage) wantServed(lines []string) {
	s.t.Helper()
	if s.app.concurrent {
		s.server.wantAnyOrder(lines)
	} else {
		s.server.want(lines...)
	}
}

func (s *stage) unsubscribe(topic string) {
	s.t.Helper()
	s.client.do("unsubscribe %s", topic)
	s.server.want("unsubscribe " + topic)
}

// wantData checks that what is published reaches the client, once.
func (s *stage) wantData(topic, value string) {
	s.t.Helper()
	s.server.do("publish %s %s", topic, value)
	s.client.want("data " + topic + " " + value)
}

// subscribeAtOnce has the client subscribe to topics without waiting, the last of which
// end at wswarden, which says why.
func (s *stage) subscribeAtOnce(topics, refused []string) {
	s.t.Helper()
	s.client.do("subscribe %s", strings.Join(slices.Concat(topics, refused), "\nsubscribe "))
	var served, told []string
	for _, topic := range topics {
		served = append(served, "subscribe "+topic)
		if s.app.confirms {
			told = append(told, "subscribed "+topic)
		}
	}
	reason := fmt.Sprintf("limit of %d subscriptions reached", s.limit)
	for _, topic := range refused {
		told = append(told, "refused "+topic+" by "+strings.ReplaceAll(s.app.refused, "%s", reason))
	}
	s.wantServed(served)
	s.client.wantAnyOrder(told)
}

// wantForbidden checks that upstream's own refusal reaches the client.
func (s *stage) wantForbidden() {
	s.t.Helper()
	s.client.do("subscribe forbidden")
	s.server.want("forbid forbidden")
	s.client.want("refused forbidden by " + s.app.forbidden)
}

// wantHeld checks what the server holds.
func (s *stage) wantHeld(topics ...string) {
	s.t.Helper()
	s.server.do("holds")
	s.server.want(strings.Join(append([]string{"holds"}, topics...), " "))
}

// kill ends the client, and checks that what it held is undone, in the order in which
// it was made, before the connection closes, and that wswarden has counted just that.
func (s *stage) kill(held ...string) {
	s.t.Helper()
	if err := s.client.process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.warden.wantEnd(policies.ClientLost, 1001)
	var lines []string
	for _, topic := range held {
		lines = append(lines, "unsubscribe "+topic)
	}
	s.wantServed(append(lines, "close"))
	s.wantHeld()

	var reports []reported
	for _, topic := range s.app.own {
		reports = append(reports, reported{topic, "live", false})
	}
	for _, topic := range held {
		reports = append(reports, reported{strings.ReplaceAll(s.app.topic, "%s", topic), "live", true})
	}
	if got := interopWait(s.t, s.reports.came, "the report"); !slices.Equal(got.Subscriptions, reports) {
		s.t.Errorf("reported: %+v, want %+v", got.Subscriptions, reports)
	}
}

// absentTool skips a test for want of a tool, but not in CI.
func absentTool(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// needNode skips a test where node or the packages of testdata/dialects are absent.
func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		absentTool(t, "Node is not installed: real clients of the dialects are not tested")
	}
	if _, err := os.Stat(filepath.Join(applicationsFolder, "node_modules", "ws")); err != nil {
		absentTool(t, "real clients of the dialects are not tested until you run: npm ci --prefix proxy/"+applicationsFolder)
	}
}

// findApplication returns one of the applications. Those that are not Node's are in the
// folder programs.
func findApplication(t *testing.T, name, programs string) application {
	t.Helper()
	for _, tt := range applications {
		if tt.name == name {
			a := tt.application
			a.client, a.server = inFolder(programs, a.client), inFolder(programs, a.server)
			return a
		}
	}
	t.Fatalf("there is no application %s", name)
	panic("not reached")
}

// inFolder returns a command whose program may be one of those in the folder.
func inFolder(programs string, command []string) []string {
	if command[0] == "node" {
		return command
	}
	return append([]string{filepath.Join(programs, command[0])}, command[1:]...)
}

// goPrograms builds what is in testdata/dialects/servers, a module of its own, and
// returns the folder of the programs.
func goPrograms(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", folder, "./...")
	build.Dir = filepath.Join(applicationsFolder, "servers")
	if out, err := build.CombinedOutput(); err != nil {
		absentTool(t, fmt.Sprintf("real servers in Go cannot be built: %v\n%s", err, out))
	}
	return folder
}
