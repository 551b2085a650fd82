package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"wswarden/proxy"
)

// interopDeflate is a running testdata/interop/deflate.js.
type interopDeflate struct {
	t        *testing.T
	commands io.WriteCloser
	answers  *json.Decoder
}

type interopDeflateLine struct {
	Do      string         `json:"do"`
	Data    []byte         `json:"data"`
	Options map[string]int `json:"options,omitempty"`
	Final   bool           `json:"final"`
	Keep    bool           `json:"keep"`
}

type interopDeflateAnswer struct {
	Data  []byte `json:"data"`
	Error string `json:"error"`
}

func startInteropDeflate(t *testing.T) *interopDeflate {
	t.Helper()
	cmd := exec.Command(interopNodePath(t), "deflate.js")
	cmd.Dir = interopNodeFolder
	cmd.Stderr = os.Stderr
	commands, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start node: %v", err)
	}
	t.Cleanup(func() {
		_ = commands.Close()
		_, _ = io.Copy(io.Discard, answers)
		if err := cmd.Wait(); err != nil {
			t.Errorf("node ended with: %v", err)
		}
	})
	return &interopDeflate{t, commands, json.NewDecoder(bufio.NewReader(answers))}
}

// ask has all the commands carried out, and returns an answer to each.
func (d *interopDeflate) ask(commands []interopDeflateLine) []interopDeflateAnswer {
	d.t.Helper()
	wrote := make(chan error, 1)
	go func() {
		w := bufio.NewWriter(d.commands)
		e := json.NewEncoder(w)
		for _, c := range commands {
			if err := e.Encode(c); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- w.Flush()
	}()
	answers := make([]interopDeflateAnswer, len(commands))
	for i := range answers {
		if err := d.answers.Decode(&answers[i]); err != nil {
			d.t.Fatalf("answer %d of %d: %v", i, len(answers), err)
		}
	}
	if err := interopWait(d.t, wrote, "the commands to be taken"); err != nil {
		d.t.Fatal(err)
	}
	return answers
}

// Whatever Node's zlib can make of a message is inflated; and whatever is made of
// that by chance or malice is, if it is inflated, what Node's ws makes of it: a
// server that begins anew with each message, and one that does not.
func TestInteropInflate(t *testing.T) {
	const limit = 1 << 20
	node := startInteropDeflate(t)
	r := rand.New(rand.NewPCG(3, 4))
	messages, compressed := interopCompressed(node, r)
	inflate, ended := proxy.NewInflate()
	var sent []interopDeflateLine
	var want [][]byte
	var damaged, refused int
	try := func(wire []byte, must []byte) {
		got, err := inflate(nil, wire, limit)
		switch {
		case must != nil && (err != nil || !bytes.Equal(got, must)):
			t.Errorf("%.60x: %d bytes, %v, want %d", wire, len(got), err, len(must))
		case err != nil:
			refused++
			return
		}
		sent = append(sent, interopDeflateLine{Do: "inflate", Data: wire})
		want = append(want, got)
		if !ended() {
			sent = append(sent, interopDeflateLine{Do: "inflate", Data: wire, Keep: true})
			want = append(want, got)
		}
	}
	for i, wire := range compressed {
		try(wire, messages[i])
		for range 12 {
			damaged++
			try(interopDamaged(r, wire), nil)
		}
	}
	for i, answer := range node.ask(sent) {
		if answer.Error != "" || !bytes.Equal(answer.Data, want[i]) {
			t.Errorf("keep %v, %.60x: Node has %.60x, %s, here %.60x", sent[i].Keep, sent[i].Data, answer.Data, answer.Error, want[i])
		}
	}
	if refused < damaged/10 || refused > damaged*9/10 {
		t.Errorf("%d of %d damaged messages refused: that shows little", refused, damaged)
	}
	t.Logf("%d messages, %d damaged ones of which %d refused, %d inflated by Node", len(messages), damaged, refused, len(sent))
}

// interopCompressed returns messages, none nil, and what Node's zlib makes of them.
func interopCompressed(node *interopDeflate, r *rand.Rand) (messages, compressed [][]byte) {
	contents := []func(n int) []byte{
		func(n int) []byte { return make([]byte, n) },
		func(n int) []byte { return bytes.Repeat([]byte("wswarden passes frames. "), n/24+1)[:n] },
		func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		},
		func(n int) []byte {
			b := []byte("[")
			for len(b) < n {
				b = fmt.Appendf(b, `{"type":"subscribe:offers","pnr":"%06X"},`, r.IntN(1<<24))
			}
			return b
		},
	}
	var commands []interopDeflateLine
	for _, size := range []int{0, 1, 3, 40, 130, 1000, 20_000, 70_000} {
		for _, content := range contents {
			for level := range 10 {
				for strategy := range 5 {
					if size > 1000 && (level+strategy)%5 != 0 {
						continue
					}
					message := content(size)
					messages = append(messages, message)
					commands = append(commands, interopDeflateLine{
						Do: "deflate", Data: message, Final: r.IntN(8) == 0,
						Options: map[string]int{
							"level": level, "strategy": strategy,
							"windowBits": 9 + r.IntN(7), "memLevel": 1 + r.IntN(9),
						},
					})
				}
			}
		}
	}
	for i, answer := range node.ask(commands) {
		if answer.Error != "" {
			node.t.Fatalf("deflate %d: %s", i, answer.Error)
		}
		compressed = append(compressed, answer.Data)
	}
	return messages, compressed
}

// interopDamaged returns wire with some bits, bytes or parts changed. Most changes
// are near an end, where the blocks begin and where the tail follows.
func interopDamaged(r *rand.Rand, wire []byte) []byte {
	b := bytes.Clone(wire)
	place := func() int {
		switch n := len(b); r.IntN(3) {
		case 0:
			return r.IntN(min(n, 12))
		case 1:
			return n - 1 - r.IntN(min(n, 6))
		default:
			return r.IntN(n)
		}
	}
	for range 1 + r.IntN(2) {
		if len(b) == 0 {
			return []byte{byte(r.Uint32())}
		}
		switch at := place(); r.IntN(7) {
		case 0, 1, 2:
			b[at] ^= 1 << r.IntN(8)
		case 3:
			b[at] = byte(r.Uint32())
		case 4:
			b = b[:at]
		case 5:
			b = append(b[:at], append([]byte{[]byte{0, 1, 3, 0xff}[r.IntN(4)]}, b[at:]...)...)
		case 6:
			b = append(b, wire[r.IntN(len(wire)):]...)
		}
	}
	return b
}
