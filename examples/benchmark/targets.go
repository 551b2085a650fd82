//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// target is something that sessions can be opened through. Every proxy adds
// the same forwarding headers, uses both cores and writes no access log.
type target struct {
	name   string
	config string                     // a template over place; empty for direct
	args   func(config string) string // separated by blanks
}

// place is what a proxy's configuration depends on.
type place struct {
	Dir             string
	Port, AdminPort int
	Upstream        string // host:port
	Sessions, Cores int
	Files           int
	TLS             *certificate // nil: clients come without TLS
}

const (
	wswarden = "wswarden"
	before   = "before"  // wswarden as another program has it
	watched  = "watched" // wswarden, where somebody looks at it all the time
	rac      = "rac"     // wswarden, where it reads messages
	full     = "full"    // wswarden, where it has all the sessions that it may have
	plain    = "plain"   // wswarden without TLS, where the others have it
	direct   = "direct"
)

const wswardenConfig = `
listeners: [{ address: "127.0.0.1:{{.Port}}"{{with .TLS}}, tls: { cert: "{{.File}}", key: "{{.File}}" }{{end}} }]
upstream: { url: "http://{{.Upstream}}" }
admin: { address: "127.0.0.1:{{.AdminPort}}" }
drain: { timeout: 2s, spread: 1s } # a Ctrl-C finds sessions open
log: { level: warn }
`

func wswardenArgs(config string) string { return "serve --config " + config }

var targets = []target{
	{name: wswarden, config: wswardenConfig, args: wswardenArgs},
	{name: before, config: wswardenConfig, args: wswardenArgs},
	{name: watched, config: wswardenConfig, args: wswardenArgs},
	{name: rac, config: wswardenConfig + `
policies: [{ dialect: rac, subscriptions: { max: 20 } }]
`, args: wswardenArgs},
	{name: full, config: wswardenConfig + `
policies: [{ connections: { max: 1 } }]
`, args: wswardenArgs},
	{name: crowd, config: wswardenConfig + `
policies: [{ heartbeat: { interval: 0s } }] # the idle ones answer no ping
`, args: wswardenArgs},
	{name: reloaded, config: wswardenConfig, args: wswardenArgs}, // the case writes its own
	{name: plain, config: wswardenConfig, args: wswardenArgs},

	{name: "nginx", config: `
daemon off;
pid {{.Dir}}/nginx.pid;
error_log stderr warn;
worker_processes {{.Cores}};
worker_rlimit_nofile {{.Files}};
events { worker_connections {{.Files}}; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/nginx-body;
	proxy_temp_path {{.Dir}}/nginx-proxy;
	fastcgi_temp_path {{.Dir}}/nginx-fastcgi;
	uwsgi_temp_path {{.Dir}}/nginx-uwsgi;
	scgi_temp_path {{.Dir}}/nginx-scgi;
	server {
		listen 127.0.0.1:{{.Port}}{{if .TLS}} ssl{{end}} backlog=4096;
		{{- with .TLS}}
		ssl_certificate {{.File}};
		ssl_certificate_key {{.File}};
		ssl_protocols TLSv1.3;
		ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;{{end}}
		location / {
			proxy_pass http://{{.Upstream}};
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Forwarded-Host $http_host;
			proxy_read_timeout 1h;
			proxy_send_timeout 1h;
		}
	}
}
`, args: func(config string) string { return "-e stderr -c " + config }},

	{name: "haproxy", config: `
global
	nbthread {{.Cores}}
	maxconn {{.Sessions}}
defaults
	mode http
	maxconn {{.Sessions}}
	option forwardfor
	timeout connect 5s
	timeout client 1m
	timeout server 1m
	timeout tunnel 1h
frontend clients
	bind 127.0.0.1:{{.Port}}{{with .TLS}} ssl crt {{.File}} ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256{{end}}
	http-request set-header X-Forwarded-Proto http{{if .TLS}}s{{end}}
	http-request set-header X-Forwarded-Host %[req.hdr(Host)]
	default_backend upstream
backend upstream
	server echo {{.Upstream}}
`, args: func(config string) string { return "-db -f " + config }},

	{name: direct},
}

func (t target) isWswarden() bool {
	return slices.Contains([]string{wswarden, before, watched, rac, full, crowd, reloaded, plain}, t.name)
}

// takes reports whether the target takes part in a case. Direct has no proxy whose
// cost could be told: only its latency is. To read messages is wswarden's own, and so
// is to refuse handshakes, to list sessions, and to be reloaded.
func (t target) takes(kind string) bool {
	switch t.name {
	case wswarden:
		return kind != caseListing && kind != caseReload
	case watched:
		return kind == caseEcho || kind == caseHandshake
	case rac:
		return kind == caseInspect
	case full:
		return kind == caseRefuse
	case crowd:
		return kind == caseListing
	case reloaded:
		return kind == caseReload
	case plain:
		return kind == caseTLS
	case direct:
		return kind == caseEcho
	default:
		return !withItself(kind)
	}
}

// find returns the proxy's program; wswarden is built from this tree.
func (t target) find(ctx context.Context, dir string) (string, error) {
	if t.isWswarden() {
		program := filepath.Join(dir, wswarden)
		if _, err := os.Stat(program); err == nil {
			return program, nil
		}
		if output, err := exec.CommandContext(ctx, "go", "build", "-o", program, "wswarden").CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, output)
		}
		return program, nil
	}
	// Debian keeps them where only root's PATH leads.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	return exec.LookPath(t.name)
}

// start runs the program on a free port and waits until sessions can be opened
// through it. p names everything but the ports.
func (t target) start(ctx context.Context, program string, extra []string, p place) (*process, error) {
	var err error
	if p.Port, err = freePort(); err != nil {
		return nil, err
	}
	if p.AdminPort, err = freePort(); err != nil {
		return nil, err
	}
	config := filepath.Join(p.Dir, t.name+".yaml")
	file, err := os.Create(config)
	if err != nil {
		return nil, err
	}
	err = template.Must(template.New(t.name).Parse(t.config)).Execute(file, p)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, append(strings.Fields(t.args(config)), extra...)...)
	proc, err := startProcess(t.name, cmd, p.Dir, fmt.Sprintf("127.0.0.1:%d", p.Port))
	if err != nil {
		return nil, err
	}
	proc.admin = fmt.Sprintf("127.0.0.1:%d", p.AdminPort)
	if p.TLS != nil {
		proc.tls = p.TLS.client(strangers{})
	}
	if err := proc.ready(ctx); err != nil {
		return nil, errors.Join(err, proc.stop())
	}
	return proc, nil
}

// freePort finds a port below those that the kernel takes for outgoing
// connections, which could otherwise come between.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 10000 + rand.IntN(20000)
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, listener.Close()
		}
	}
	return 0, err
}

// process is a running child.
type process struct {
	name    string
	address string      // where sessions are opened
	admin   string      // where wswarden's operators ask
	token   string      // theirs; empty: they need none
	tls     *tls.Config // of its clients; nil: they come without TLS
	known   bool        // they have been there before, and TLS remembers them
	*os.Process
	done chan struct{} // closed when it has ended
	log  string        // file with what it wrote
}

func startProcess(name string, cmd *exec.Cmd, dir, address string) (*process, error) {
	log, err := os.CreateTemp(dir, "*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C is not for the child, which is ended in its turn; but should
	// this process be killed, no child stays behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, address: address, Process: cmd.Process, done: make(chan struct{}), log: log.Name()}
	go func() {
		defer close(p.done)
		cmd.Wait() // how it ended matters to nobody; what it wrote does
	}()
	return p, nil
}

// ready waits until a session can be opened and closed.
func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := p.open(ctx, 0)
		if err == nil {
			return closeSession(conn)
		}
		select {
		case <-p.done:
			return p.explain(errors.New("ended at once"))
		case <-ctx.Done():
			return p.explain(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// explain adds the process's name and last words to an error.
func (p *process) explain(err error) error {
	words, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", p.name, err, words[max(0, len(words)-2000):])
}

// stop ends the process. One that does not end on SIGTERM is killed.
func (p *process) stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
	}
	family, err := processFamily(p.Pid)
	for _, pid := range family {
		err = errors.Join(err, syscall.Kill(pid, syscall.SIGKILL))
	}
	<-p.done
	return errors.Join(err, fmt.Errorf("%s did not end on SIGTERM", p.name))
}
