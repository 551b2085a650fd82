package proxy_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// What a client tries, and what upstream does.
func TestSmuggling(t *testing.T) {
	var c corpus
	c.add("framing", framingAttempts)
	c.add("chunks", chunkAttempts)
	c.add("lines", lineAttempts)
	c.add("upgrade", upgradeAttempts)
	c.add("answer", answerAttempts)
	c.run(t, inOneWrite)
}

func inOneWrite(w io.Writer, s string) { _, _ = io.WriteString(w, s) }

// A client may send its bytes one by one: what a parser waits for matters no more
// than what it has. Of a body that goes wrong later, something has gone upstream then.
func TestSmugglingByteByByte(t *testing.T) {
	var c corpus
	c.add("framing", framingAttempts)
	c.add("chunks", chunkAttempts)
	c.add("lines", lineAttempts)
	c.add("upgrade", upgradeAttempts)
	for i := range c.attempts {
		c.attempts[i].want.begun = true
	}
	c.run(t, func(w io.Writer, s string) {
		for i := range len(s) {
			if _, err := io.WriteString(w, s[i:i+1]); err != nil {
				return
			}
		}
	})
}

// Once a WebSocket is agreed upon, what follows is frames or nothing.
func TestRequestBehindAHandshake(t *testing.T) {
	t.Parallel()
	client, upstream := interopHandshake(t, interopRequest()+canary, interopAnswer())
	if r, _ := client.response(); r.StatusCode != 101 {
		t.Errorf("got %s", r.Status)
	}
	if rest, _ := io.ReadAll(upstream.r); bytes.Contains(rest, []byte("canary")) {
		t.Errorf("upstream got %q", rest)
	}
}

// What wswarden answers in upstream's stead leaves nothing of the request behind.
func TestRequestInTheBodyOfAFailedOne(t *testing.T) {
	t.Parallel()
	address := interopWarden(t, "127.0.0.1:1", nil)
	for _, request := range []string{
		post + "Content-Length: " + canaryLength + "\r\n\r\n" + canary,
		chunked + "25\r\n" + canary + "\r\n0\r\n\r\n",
	} {
		received := exchangeBytes(t, address, request+lastRequest, inOneWrite)
		if got := readResponses(received, nil); len(got.Seen) != 1 || !strings.HasPrefix(got.Seen[0], "502 ") {
			t.Errorf("%q: got %q", request, received)
		}
	}
}
