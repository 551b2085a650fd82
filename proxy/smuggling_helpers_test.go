package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/config"
)

// The corpus of what has been used to smuggle a request past a proxy, or a response
// to another client. Of every attempt, wswarden either lets nothing through, or what
// it lets through has one meaning: net/http, Node's parser, and Node's parser at its
// most lenient see the same messages in it, and those are the ones intended.

// attempt is what one client sends on a connection, or what upstream answers it.
// In all of its texts NNN stands for its number, so that it is known wherever it
// turns up, and always comes in a target, or a body.
type attempt struct {
	name   string // what is tried
	source string // the rule it breaks or bends, or the class of attack it is known as

	// request is sent as it is, with another one behind it, for /last-NNN. Empty: a
	// GET for /case-NNN.
	request string
	// answer is what upstream answers to the request for /case-NNN. Empty: a 200.
	answer string

	want outcome // none: it is turned down with 400
}

// outcome is what becomes of an attempt.
type outcome struct {
	upstream []string // requests, each as "method target body"
	client   []string // responses, each as "status body"; of wswarden's own the status alone
	begun    bool     // part of a request may reach upstream, but not its end
}

const (
	lastRequest = "GET /last-NNN HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	lastSeen    = "GET /last-NNN "
	ok          = "200 case-NNN"
	lastOK      = "200 last-NNN"

	// canary is what nobody may take for a request where it is hidden.
	canary       = "GET /canary-NNN HTTP/1.1\r\nHost: h\r\n\r\n"
	canaryLength = "37" // 25 in hex
)

// turnedDown: nothing gets through, and the connection ends behind the refusal.
func turnedDown(status string) outcome { return outcome{client: []string{status}} }

// brokenOff is turned down with 400 when a part of the request may have got through.
var brokenOff = outcome{client: []string{"400"}, begun: true}

// forwarded: these requests get through and are answered, as is the one behind.
func forwarded(requests ...string) outcome {
	o := forwardedAndClosed(requests...)
	o.upstream = append(o.upstream, lastSeen)
	o.client = append(o.client, lastOK)
	return o
}

// forwardedAndClosed is forwarded, where the connection ends before the request
// behind.
func forwardedAndClosed(requests ...string) outcome {
	o := outcome{upstream: requests}
	for _, request := range requests {
		_, target, _ := strings.Cut(request, " ")
		target, _, _ = strings.Cut(target, " ")
		o.client = append(o.client, "200 "+target[strings.LastIndex(target, "/")+1:])
	}
	return o
}

// corpus runs attempts at once against one wswarden.
type corpus struct {
	attempts []attempt

	mu       sync.Mutex
	upstream [][]byte      // what arrived, by connection
	requests []requestSeen // in the order of arrival
}

type requestSeen struct {
	number int
	text   string
}

// add adds attempts. A want that is none is set.
func (c *corpus) add(about string, attempts []attempt) {
	for _, a := range attempts {
		a.name = about + "/" + a.name
		if a.want.client == nil {
			a.want = turnedDown("400")
		}
		c.attempts = append(c.attempts, a)
	}
}

// run runs the attempts. write sends a client's bytes.
func (c *corpus) run(t *testing.T, write func(io.Writer, string)) {
	received := make([][]byte, len(c.attempts))
	t.Run("exchange", func(t *testing.T) { // with its end, all connections have ended
		address := interopWarden(t, c.listen(t), func(cfg *config.Config) { cfg.Upstream.HandshakeTimeout = 3 * time.Second })
		var clients sync.WaitGroup
		for number, a := range c.attempts {
			clients.Go(func() {
				request := a.request
				if request == "" {
					request = "GET /case-NNN HTTP/1.1\r\nHost: h\r\n\r\n"
				}
				received[number] = exchangeBytes(t, address, numbered(request+lastRequest, number), write)
			})
		}
		clients.Wait()
	})
	c.judge(t, received)
}

// numbered puts an attempt's number into a text.
func numbered(text string, number int) string {
	return strings.ReplaceAll(text, "NNN", fmt.Sprintf("%03d", number))
}

// exchangeBytes returns all that a client gets for its bytes, up to the end of the
// connection, or its reset.
func exchangeBytes(t *testing.T, address, request string, write func(io.Writer, string)) []byte {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(interopPatience))
	write(conn, request)
	received, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("%.60q… and then %q: the connection stays open", request, received)
	}
	return received
}

// listen serves as upstream for the time of the test.
func (c *corpus) listen(t *testing.T) string {
	ln := interopListen(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
	})
	return ln.Addr().String()
}

// serve answers what net/http reads on a connection, and keeps all of its bytes,
// those behind the last request too.
func (c *corpus) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(interopPatience))
	var arrived bytes.Buffer
	record := io.TeeReader(conn, &arrived)
	br := bufio.NewReader(record)
	for {
		r, err := http.ReadRequest(br)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r.Body)
		}
		if err != nil {
			break
		}
		number := numberOf(r.RequestURI)
		c.mu.Lock()
		c.requests = append(c.requests, requestSeen{number, fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, body)})
		c.mu.Unlock()
		_, _ = io.WriteString(conn, c.answer(r.RequestURI, number))
	}
	_, _ = io.Copy(io.Discard, record)
	c.mu.Lock()
	c.upstream = append(c.upstream, arrived.Bytes())
	c.mu.Unlock()
}

// numberOf returns the number of the attempt that a target belongs to, -1 if there
// is none.
func numberOf(target string) int {
	_, number, _ := strings.Cut(target, "-")
	if n, err := strconv.Atoi(number[:min(3, len(number))]); err == nil {
		return n
	}
	return -1
}

// answer returns what upstream says to a request: its attempt's answer, or a body
// that names the target.
func (c *corpus) answer(target string, number int) string {
	if number >= 0 && number < len(c.attempts) && strings.Contains(target, "/case-") && c.attempts[number].answer != "" {
		return numbered(c.attempts[number].answer, number)
	}
	body := target[strings.LastIndex(target, "/")+1:]
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
