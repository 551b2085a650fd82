package proxy_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// racNode is a running testdata/interop/rac.js.
type racNode struct {
	address  chan string
	stalled  chan string // the name of a connection
	commands io.Writer

	mu      sync.Mutex
	records map[string]chan racRecord
}

// racRecord is what a connection has done in the server.
type racRecord struct {
	Event   string `json:"event"`
	Address string `json:"address"`

	Name  string   `json:"name"`
	Code  int      `json:"code"`  // with which it was closed; 1006: by no close frame
	Most  int      `json:"most"`  // subscriptions that it had at a time
	Held  []any    `json:"held"`  // those it had at the end
	Wrong []string `json:"wrong"` // what should not have happened
	Seen  racSeen  `json:"seen"`
}

// racSeen counts messages of some kinds.
type racSeen struct{ Messages, Binary, Subscribed, Undone, Heartbeats, Junk int }

func (s *racSeen) add(other racSeen) {
	s.Messages += other.Messages
	s.Binary += other.Binary
	s.Subscribed += other.Subscribed
	s.Undone += other.Undone
	s.Heartbeats += other.Heartbeats
	s.Junk += other.Junk
}

func startRACNode(t *testing.T) *racNode {
	t.Helper()
	cmd := exec.Command(interopNodePath(t), "rac.js")
	cmd.Dir = interopNodeFolder
	cmd.Stderr = os.Stderr
	commands, errIn := cmd.StdinPipe()
	events, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatalf("start node: %v", err)
	}
	n := &racNode{
		address:  make(chan string, 1),
		stalled:  make(chan string, 1),
		commands: commands,
		records:  map[string]chan racRecord{},
	}
	ended := make(chan error, 1)
	go func() {
		decoder := json.NewDecoder(events)
		for {
			var r racRecord
			if decoder.Decode(&r) != nil {
				break
			}
			switch r.Event {
			case "listening":
				n.address <- r.Address
			case "stalled":
				n.stalled <- r.Name
			default:
				n.record(r.Name) <- r
			}
		}
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = commands.Close()
		if err := interopWait(t, ended, "the end of node"); err != nil {
			t.Errorf("node ended with: %v", err)
		}
	})
	return n
}

// record returns what takes the record of a connection.
func (n *racNode) record(name string) chan racRecord {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.records[name]
	if c == nil {
		c = make(chan racRecord, 1)
		n.records[name] = c
	}
	return c
}

// ended waits for the end of a connection.
func (n *racNode) ended(name string) (racRecord, bool) {
	select {
	case r := <-n.record(name):
		return r, true
	case <-time.After(interopPatience):
		return racRecord{}, false
	}
}
