//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// The rows of the reload case.
const (
	reloaded = "reloaded" // while one reload follows the other
	settled  = "settled"  // before the first
)

const (
	reloadEvery = 200 * time.Millisecond // if the one before has been carried out
	topicsEach  = 12                     // of the sessions that subscribe
	marks       = 3                      // policies of which each configuration has another
	// operatorsToken may ask for profiles, which collect the garbage first.
	operatorsToken = "0123456789abcdef0123456789abcdef"
)

// The policies that sessions live under, by the word in their path.
const (
	plainly  = "plainly"  // messages are not read
	reading  = "reading"  // they are; a limit that is lowered spares what there is
	evicting = "evicting" // as well; it does not
	going    = "going"    // it is removed, and comes back
)

// ofRAC reports whether sessions with that word in their path speak the dialect rac.
func ofRAC(word string) bool { return word == reading || word == evicting }

// reloadKind is what a session is like: of ten, five are plain.
func reloadKind(i int) (word string, topics int) {
	switch i % 10 {
	case 0, 1:
		return reading, topicsEach
	case 2:
		return evicting, topicsEach
	case 3, 4:
		return going, 0
	}
	return plainly, 0
}

// reloadPlan is what is in the configuration.
type reloadPlan struct {
	place
	Step    int
	Mark    int // names a policy that the configuration before has not
	Token   string
	Second  int // port of another listener; 0: there is none
	Mode    string
	Pings   time.Duration
	Idle    time.Duration
	Seats   int // per address, of sessions whose messages are not read
	Topics  int
	Evicted int // limit of the sessions that evict
	Going   bool
	Broken  bool

	spare int // a port for Second
}

var reloadConfig = template.Must(template.New("").Parse(`
listeners: [{ address: "127.0.0.1:{{.Port}}" }{{if .Second}}, { address: "127.0.0.1:{{.Second}}" }{{end}}]
upstream: { url: "http://{{.Upstream}}" }
admin: { address: "127.0.0.1:{{.AdminPort}}", token_file: "{{.Token}}" }
drain: { timeout: 2s, spread: 1s }
policies:
  - name: plainly
    match: { path: /numbered/plainly/* }
    mode: {{.Mode}}
    heartbeat: { interval: {{.Pings}}, timeout: 4s }
    upstream_heartbeat: { interval: {{.Pings}}, timeout: 4s }
    idle: { timeout: {{.Idle}} }
    {{- if .Seats}}
    connections: { per_ip: {{.Seats}} }{{end}}
  - name: reading
    match: { path: /numbered/reading/* }
    mode: {{.Mode}}
    dialect: rac
    subscriptions: { max: {{.Topics}} }
  - name: evicting
    match: { path: /numbered/evicting/* }
    on_reload: enforce
    dialect: rac
    subscriptions: { max: {{.Evicted}} }
  {{- if .Going}}
  - name: going
    match: { path: /numbered/going/* }
    idle: { timeout: {{.Idle}} }{{end}}
  - name: mark-{{.Mark}}
    match: { path: /mark-{{.Mark}} }
    {{- if .Broken}}
    idle: { timeout: {{.Step}} }{{end}}
  - name: others
`))

// The ways in which wswarden is told of another configuration.
const (
	byHangup = "SIGHUP"       // the file is written anew where it is
	bySwap   = "file changed" // as Kubernetes swaps a folder of files
	byAsking = "POST /v1/reload"
)

// reloadSteps follow one another again and again: what changes, and how it is told.
var reloadSteps = []struct {
	change func(p *reloadPlan)
	told   string
}{
	{func(p *reloadPlan) { p.Pings, p.Idle = 4*time.Second, 20*time.Second }, byHangup},
	{func(p *reloadPlan) { p.Broken = true }, bySwap},
	{func(p *reloadPlan) { p.Broken, p.Seats = false, 10 }, bySwap},
	{func(p *reloadPlan) { p.Topics, p.Evicted = topicsEach/2, max(1, topicsEach-1-p.Step/10) }, byAsking},
	{func(p *reloadPlan) { p.Going = false }, byAsking},
	{func(p *reloadPlan) { p.Broken = true }, byAsking},
	{func(p *reloadPlan) { p.Broken, p.Mode = false, "observe" }, byHangup},
	{func(p *reloadPlan) { p.Mode, p.Topics, p.Evicted = "enforce", 2*topicsEach, 2*topicsEach }, bySwap},
	{func(p *reloadPlan) { p.Second = p.spare }, byAsking},
	{func(p *reloadPlan) { p.Second, p.Going, p.Seats, p.Pings, p.Idle = 0, true, 0, time.Minute, time.Hour }, bySwap},
}

// reloading is wswarden with a configuration that changes.
type reloading struct {
	*process
	plan   reloadPlan
	folder string
	mounts int
	log    *os.File
	half   []byte // of its last line
	lines  []reloadLine
}

// reloadLine is one of the log's.
type reloadLine struct {
	Message  string   `json:"msg"`
	Why      string   `json:"why"`
	Took     string   `json:"took"`
	Problems []string `json:"problems"`
	Policies struct {
		Added []string `json:"added"`
	} `json:"policies"`
}

// startReloading starts wswarden with a folder for its configuration.
func (b *bench) startReloading(ctx context.Context, e *entrant) (r *reloading, err error) {
	r = &reloading{plan: reloadPlan{
		place: b.place, Mark: marks - 1, Mode: "enforce", Pings: time.Minute, Idle: time.Hour,
		Topics: 2 * topicsEach, Evicted: 2 * topicsEach, Going: true,
	}}
	for _, port := range []*int{&r.plan.Port, &r.plan.AdminPort, &r.plan.spare} {
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if r.folder, err = os.MkdirTemp(b.place.Dir, "configuration-"); err != nil {
		return nil, err
	}
	r.plan.Token = filepath.Join(b.place.Dir, "token")
	if err := errors.Join(
		os.WriteFile(r.plan.Token, []byte(operatorsToken), 0o600),
		os.Symlink("..data/wswarden.yaml", filepath.Join(r.folder, "wswarden.yaml")),
		r.swap(),
	); err != nil {
		return nil, err
	}
	cmd := exec.Command(e.program, append([]string{"serve", "--config", r.folder}, b.wswardenArgs...)...)
	if r.process, err = startProcess(e.name, cmd, b.place.Dir, fmt.Sprintf("127.0.0.1:%d", r.plan.Port)); err != nil {
		return nil, err
	}
	r.admin, r.token = fmt.Sprintf("127.0.0.1:%d", r.plan.AdminPort), operatorsToken
	if r.log, err = os.Open(r.process.log); err == nil {
		err = r.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *reloading) stop() error { return errors.Join(r.process.stop(), r.log.Close()) }

func (r *reloading) text() ([]byte, error) {
	var text bytes.Buffer
	err := reloadConfig.Execute(&text, r.plan)
	return text.Bytes(), err
}

// swap does what Kubernetes does when a ConfigMap is another: the link to the folder
// with the files leads to another folder, all at once.
func (r *reloading) swap() error {
	r.mounts++
	stamp := fmt.Sprintf("..mount-%d", r.mounts)
	at := func(name string) string { return filepath.Join(r.folder, name) }
	before, _ := os.Readlink(at("..data"))
	text, err := r.text()
	err = errors.Join(err,
		os.Mkdir(at(stamp), 0o700),
		os.WriteFile(filepath.Join(at(stamp), "wswarden.yaml"), text, 0o600),
		os.Symlink(stamp, at("..data_tmp")),
		os.Rename(at("..data_tmp"), at("..data")),
	)
	if before != "" {
		err = errors.Join(err, os.RemoveAll(at(before)))
	}
	return err
}

// step has wswarden read the plan, and returns when it is used, or refused.
func (r *reloading) step(ctx context.Context, told string) error {
	err := r.readLog()
	if err != nil {
		return err
	}
	seen := len(r.lines)
	switch told {
	case byHangup:
		var text []byte
		if text, err = r.text(); err == nil {
			err = errors.Join(os.WriteFile(filepath.Join(r.folder, "wswarden.yaml"), text, 0o600), r.Signal(syscall.SIGHUP))
		}
	case bySwap:
		err = r.swap()
	case byAsking:
		if err = r.swap(); err == nil {
			err = r.reload(ctx)
		}
	}
	if err != nil {
		return err
	}
	is := func(line reloadLine) bool {
		if r.plan.Broken {
			return line.Message == "configuration refused, nothing has changed" && strings.Contains(strings.Join(line.Problems, ""), fmt.Sprintf("%d has no unit", r.plan.Step))
		}
		return line.Message == "configuration reloaded" && slices.Contains(line.Policies.Added, fmt.Sprintf("mark-%d", r.plan.Mark))
	}
	hurry, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited in vain for the outcome of reload %d, by %s", r.plan.Step, told))
	defer cancel()
	for !slices.ContainsFunc(r.lines[seen:], is) {
		if err := errors.Join(pause(hurry, 2*time.Millisecond), r.readLog()); err != nil {
			return err
		}
	}
	return nil
}

// reload asks for a reload.
func (r *reloading) reload(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.admin+"/v1/reload", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	answer, err := operators.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode == http.StatusOK) == r.plan.Broken {
		err = fmt.Errorf("reload %d is answered with %s: %s", r.plan.Step, answer.Status, text)
	}
	return err
}

// readLog reads what has been added to the log.
func (r *reloading) readLog() error {
	text, err := io.ReadAll(r.log)
	r.half = append(r.half, text...)
	for {
		line, rest, whole := bytes.Cut(r.half, []byte("\n"))
		if !whole {
			return err
		}
		r.half = rest
		var parsed reloadLine
		if json.Unmarshal(line, &parsed) == nil {
			r.lines = append(r.lines, parsed)
		}
	}
}
