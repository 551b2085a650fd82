package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// judge compares what went upstream, and what the clients have received, with what
// the attempts want.
func (c *corpus) judge(t *testing.T, received [][]byte) {
	byNode := askNode(t, c.recordings(received))
	for i, arrived := range c.upstream {
		want := readRequests(arrived)
		if want.Wrong != "" {
			t.Errorf("upstream got %q, in which is wrong for net/http: %s", arrived, want.Wrong)
		}
		if byNode != nil {
			byNode[i].compare(t, "upstream", arrived, want)
		}
	}
	seen := make([][]string, len(c.attempts))
	for _, r := range c.requests {
		if r.number < 0 || r.number >= len(seen) {
			t.Errorf("upstream got a request of nobody: %q", r.text)
			continue
		}
		seen[r.number] = append(seen[r.number], r.text)
	}
	for number, a := range c.attempts {
		t.Run(a.name, func(t *testing.T) {
			c.judgeOne(t, number, seen[number], received[number])
			if byNode != nil {
				byNode[len(c.upstream)+number].compare(t, "client", received[number], readResponses(received[number], a.methods()))
			}
		})
	}
	if byNode == nil {
		absentTool(t, "Node is not installed: only net/http has judged what passes")
	}
}

func (c *corpus) judgeOne(t *testing.T, number int, seen []string, received []byte) {
	a := c.attempts[number]
	want := func(texts []string) []string {
		wanted := make([]string, len(texts))
		for i, text := range texts {
			wanted[i] = numbered(text, number)
		}
		return wanted
	}
	if upstream := want(a.want.upstream); !slices.Equal(seen, upstream) {
		t.Errorf("%s: upstream saw\n%q\nwant\n%q", a.source, seen, upstream)
	}
	if mark := numbered("-NNN", number); len(a.want.upstream) == 0 && !a.want.begun {
		for _, arrived := range c.upstream {
			if at := bytes.Index(arrived, []byte(mark)); at >= 0 {
				t.Errorf("%s: upstream got %q", a.source, arrived[max(0, at-100):min(len(arrived), at+100)])
			}
		}
	}
	got := readResponses(received, a.methods()).Seen
	for i, text := range want(a.want.client) {
		if i < len(got) && !strings.Contains(text, " ") { // of wswarden's own
			got[i], _, _ = strings.Cut(got[i], " ")
		}
	}
	if client := want(a.want.client); !slices.Equal(got, client) {
		t.Errorf("%s: the client got\n%q\nwant\n%q\nin\n%q", a.source, got, client, received)
	}
}

// methods returns those of the requests that the client's responses belong to.
func (a attempt) methods() (methods []string) {
	for _, request := range a.want.upstream {
		method, _, _ := strings.Cut(request, " ")
		methods = append(methods, method)
	}
	return methods
}

// reading is what a parser has made of bytes.
type reading struct {
	Seen     []string
	Wrong    string // what it takes to be malformed
	Complete bool   // the last message ends where the bytes do
}

// readRequests is net/http's reading of a connection to upstream.
func readRequests(arrived []byte) (r reading) {
	br := bufio.NewReader(bytes.NewReader(arrived))
	for {
		request, err := http.ReadRequest(br)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(request.Body)
		}
		if err != nil {
			return r.ended(err)
		}
		r.Seen = append(r.Seen, fmt.Sprintf("%s %s %s", request.Method, request.RequestURI, body))
	}
}

// readResponses is net/http's reading of a client's connection.
func readResponses(received []byte, methods []string) (r reading) {
	br := bufio.NewReader(bytes.NewReader(received))
	for {
		request := &http.Request{Method: http.MethodGet}
		if len(methods) > 0 {
			request.Method = methods[0]
		}
		if _, err := br.Peek(1); err != nil {
			return r.ended(err)
		}
		response, err := http.ReadResponse(br, request)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(response.Body)
		}
		if err != nil {
			return r.ended(err)
		}
		r.Seen = append(r.Seen, fmt.Sprintf("%d %s", response.StatusCode, body))
		if response.StatusCode >= http.StatusOK && len(methods) > 0 {
			methods = methods[1:]
		}
	}
}

func (r reading) ended(err error) reading {
	switch err {
	case io.EOF:
		r.Complete = true
	case io.ErrUnexpectedEOF:
	default:
		r.Wrong = err.Error()
	}
	return r
}

// readings are Node's.
type readings struct{ Strict, Lenient reading }

// compare checks that Node reads the same as net/http.
func (n readings) compare(t *testing.T, where string, bytes []byte, want reading) {
	t.Helper()
	for kind, got := range map[string]reading{"Node": n.Strict, "lenient Node": n.Lenient} {
		if got.Wrong != want.Wrong || got.Complete != want.Complete || !slices.Equal(got.Seen, want.Seen) {
			t.Errorf("%s: of %q\n%s reads %q (wrong: %q, complete: %v),\nnet/http %q (wrong: %q, complete: %v)", where, bytes,
				kind, got.Seen, got.Wrong, got.Complete, want.Seen, want.Wrong, want.Complete)
		}
	}
}

// recording is what is sent to Node for its reading.
type recording struct {
	Requests bool     `json:"requests,omitempty"`
	Methods  []string `json:"methods"`
	Bytes    []byte   `json:"bytes"`
}

func (c *corpus) recordings(received [][]byte) (all []recording) {
	for _, arrived := range c.upstream {
		all = append(all, recording{Requests: true, Bytes: arrived})
	}
	for number, bytes := range received {
		all = append(all, recording{Methods: append([]string{}, c.attempts[number].methods()...), Bytes: bytes})
	}
	return all
}

// askNode returns Node's readings, nil if there is no Node.
func askNode(t *testing.T, recorded []recording) (all []readings) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		return nil
	}
	input, err := json.Marshal(recorded)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "testdata/smuggling/judge.js")
	node.Stdin = bytes.NewReader(input)
	output, err := node.Output()
	if err == nil {
		err = json.Unmarshal(output, &all)
	}
	if err != nil || len(all) != len(recorded) {
		t.Fatalf("Node: %v; %d readings of %d", err, len(all), len(recorded))
	}
	return all
}
