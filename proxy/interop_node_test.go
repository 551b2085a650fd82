package proxy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

const interopNodeFolder = "testdata/interop"

// interopNodePath returns the path of node. A test that needs it is skipped
// where node or its packages are absent, but not in CI.
func interopNodePath(t *testing.T) string {
	t.Helper()
	absent := t.Skip
	if os.Getenv("CI") == "true" {
		absent = t.Fatal
	}
	node, err := exec.LookPath("node")
	if err != nil {
		absent("Node is not installed: Node's ws is not tested")
	}
	if _, err := os.Stat(filepath.Join(interopNodeFolder, "node_modules", "ws")); err != nil {
		absent("Node's ws is not tested until you run: npm ci --prefix proxy/" + interopNodeFolder)
	}
	return node
}

// interopNodeLine is a command to testdata/interop/peer.js, or an event from it.
type interopNodeLine struct {
	Do    string `json:"do,omitempty"`
	Event string `json:"event,omitempty"`

	Binary bool   `json:"binary"`
	Data   []byte `json:"data"`
	Code   int    `json:"code"`
	Reason string `json:"reason"`

	Address     string `json:"address,omitempty"`
	Subprotocol string `json:"subprotocol,omitempty"`
	Extensions  string `json:"extensions,omitempty"`
}

// interopNode is a running peer.js.
type interopNode struct {
	address  chan string
	accepted chan *interopPeer
	failed   chan string // the handshake

	writing  sync.Mutex
	commands io.WriteCloser
}

func startInteropNode(t *testing.T, args ...string) *interopNode {
	t.Helper()
	cmd := exec.Command(interopNodePath(t), append([]string{"peer.js"}, args...)...)
	cmd.Dir = interopNodeFolder
	cmd.Stderr = os.Stderr
	commands, errIn := cmd.StdinPipe()
	events, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatalf("start node: %v", err)
	}
	n := &interopNode{
		address:  make(chan string, 1),
		accepted: make(chan *interopPeer, 1),
		failed:   make(chan string, 1),
		commands: commands,
	}
	ended := make(chan error, 1)
	go func() {
		n.read(events)
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

// read takes the events. They are those of the connection opened last.
func (n *interopNode) read(events io.Reader) {
	var p *interopPeer
	decoder := json.NewDecoder(bufio.NewReader(events))
	for {
		var line interopNodeLine
		if err := decoder.Decode(&line); err != nil {
			return
		}
		switch {
		case line.Event == "listening":
			n.address <- line.Address
		case line.Event == "open":
			p = n.peer(line)
			n.accepted <- p
		case p == nil:
			n.failed <- line.Reason
		case line.Event == "message":
			p.messages <- interopMessage{line.Binary, line.Data}
		case line.Event == "ping":
			p.pings <- string(line.Data)
		case line.Event == "pong":
			p.pongs <- string(line.Data)
		case line.Event == "close":
			p.closed <- interopClose{line.Code, line.Reason}
		case line.Event == "error":
			p.closed <- interopClose{reason: line.Reason}
			p = newInteropPeer() // a close follows that says less
		}
	}
}

func (n *interopNode) peer(opened interopNodeLine) *interopPeer {
	p := newInteropPeer()
	p.subprotocol, p.extensions = opened.Subprotocol, opened.Extensions
	p.write = func(m interopMessage) error {
		return n.command(interopNodeLine{Do: "write", Binary: m.binary, Data: m.payload})
	}
	p.ping = func() error { return n.command(interopNodeLine{Do: "ping", Data: []byte("node pings")}) }
	p.close = func(code int, reason string) error {
		return n.command(interopNodeLine{Do: "close", Code: code, Reason: reason})
	}
	return p
}

func (n *interopNode) command(line interopNodeLine) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	return json.NewEncoder(n.commands).Encode(line)
}

func interopNodeDial(t *testing.T, address string, compress bool) *interopPeer {
	t.Helper()
	n := startInteropNode(t, "client", "ws://"+address, strconv.FormatBool(compress))
	select {
	case reason := <-n.failed:
		t.Fatalf("dial with node: %s", reason)
		return nil
	case p := <-n.accepted:
		return p
	}
}

func interopNodeListen(t *testing.T, compress bool) (string, <-chan *interopPeer) {
	t.Helper()
	n := startInteropNode(t, "upstream", strconv.FormatBool(compress))
	return interopWait(t, n.address, "node's address"), n.accepted
}
