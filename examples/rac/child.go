package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Roles of this program's processes besides the demonstration itself.
const (
	roleBackend  = "backend"
	roleWswarden = "wswarden"
)

// roleVar names the environment variable that tells a process of this program
// what it is. Where it is absent the process is the demonstration itself.
const roleVar = "RAC_ROLE"

// child is a process of this same program in another role.
type child struct {
	role   string
	addr   string         // that it serves on
	health string         // URL
	admin  string         // address of wswarden's admin API; empty in other roles
	stdin  io.WriteCloser // held open for as long as the child shall run
	gone   chan struct{}  // closed when it has ended
}

// start returns once the child serves.
func start(role string, args ...string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	c := &child{role: role, gone: make(chan struct{})}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, readErr := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		_ = cmd.Wait() // what went wrong the child has written to stderr
		close(c.gone)
	}()
	addrs := strings.Fields(line)
	if readErr != nil || len(addrs) < 2 {
		c.stop()
		return nil, fmt.Errorf("the %s process did not start", role)
	}
	c.addr, c.health = addrs[0], "http://"+addrs[1]+"/api/health"
	if len(addrs) > 2 {
		c.admin = addrs[2]
	}
	return c, nil
}

// stop ends the child and waits for that.
func (c *child) stop() {
	c.stdin.Close()
	<-c.gone
}

// measure asks the child for its figures.
func (c *child) measure() (h health, err error) {
	status, body, err := fasthttp.GetTimeout(nil, c.health, 10*time.Second)
	if err == nil && status != fasthttp.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	if err != nil {
		return h, fmt.Errorf("ask the %s process for its figures: %w", c.role, err)
	}
	return h, nil
}

// ready is the child's word that it serves on addr, its figures on health, and, if it
// is wswarden, the admin API on a third address.
func ready(addresses ...any) { fmt.Println(addresses...) }

// untilParentEnds returns when the parent has stopped this child or has died,
// however it died: the other end of standard input closes with it. Ctrl-C goes
// to every process of a terminal, and is the parent's to handle.
func untilParentEnds() {
	signal.Ignore(os.Interrupt)
	_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end as well
}
