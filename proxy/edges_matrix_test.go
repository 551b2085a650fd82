package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"

	"wswarden/config"
)

// Whatever clients and upstream are connected by, the same passes.
func TestEdges(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		for _, upstream := range []string{"http", "https", "unix"} {
			client := "plain"
			if version != 0 {
				client = tls.VersionName(version)
			}
			t.Run(client+" to "+upstream, func(t *testing.T) {
				t.Parallel()
				s := newEdgeScene(t, version, upstream)
				s.testMessages(false)
				s.testMessages(true)
				s.testCloses()
				s.testFirstMessages()
				s.testRefusal()
				s.testPlain()
				s.testEvents()
			})
		}
	}
}

// edgeScene is wswarden between clients and an application that libraries make.
type edgeScene struct {
	*edge
	ca        *edgeCA
	secure    *tls.Config           // the clients'
	dialled   atomic.Int32          // connections to the application
	closed    chan coder.CloseError // that it was told
	nextEvent chan struct{}         // that it is to send
	http      *http.Client          // a client with connections that it keeps
	url       *url.URL              // of wswarden
}

func newEdgeScene(t *testing.T, version uint16, upstream string) *edgeScene {
	s := &edgeScene{closed: make(chan coder.CloseError, 1), nextEvent: make(chan struct{})}
	ca := newEdgeCA(t)
	s.ca = ca
	ln, server := edgeListen(t, upstream, &tls.Config{Certificates: []tls.Certificate{ca.issue(t).load(t)}})
	edgeServe(t, ln, s.serve, func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.dialled.Add(1)
		}
	})
	s.edge = startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		if upstream == "https" {
			c.Upstream.TLS.CA = edgeFile(t, "ca.pem", ca.pem)
		}
		if version != 0 {
			c.Listeners[0].TLS = ca.listener(t, "edge")
			s.secure = ca.client(version)
		}
	})
	s.http, s.url = s.browser(s.secure)
	return s
}

// serve is the application: what it does depends on the path.
func (s *edgeScene) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/interop": // says hello right behind its answer, and then what it is told
		conn, both, err := w.(http.Hijacker).Hijack()
		if err != nil {
			s.t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = both.WriteString(interopAnswer() + string(encode(false, text, "hello")))
		_ = both.Flush()
		frame, _ := interopReadFrame(both)
		_, _ = conn.Write(encode(false, text, string(ws.UnmaskFrameInPlace(frame).Payload)))
	case "/refused":
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, strings.Repeat("no ", 20_000))
	case "/echo", "/closes":
		mode, threshold := interopCoderMode(strings.Contains(r.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"))
		conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode, CompressionThreshold: threshold})
		if err != nil {
			s.t.Error(err)
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		if r.URL.Path == "/closes" {
			_ = conn.Close(4002, "upstream says")
			return
		}
		for {
			kind, payload, err := conn.Read(context.Background())
			var closed coder.CloseError
			if errors.As(err, &closed) {
				s.closed <- closed
			}
			if err != nil || conn.Write(context.Background(), kind, payload) != nil {
				return
			}
		}
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-s.nextEvent:
			case <-r.Context().Done():
				return
			}
		}
	default:
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto"} {
			w.Header().Set("Got-"+name, strings.Join(r.Header[name], "|"))
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}
}

// dial opens a session.
func (s *edgeScene) dial(path string, compress bool) *coder.Conn {
	s.t.Helper()
	transport := s.http.Transport
	mode, threshold := interopCoderMode(compress)
	conn, response, err := coder.Dial(s.t.Context(), s.url.JoinPath(path).String(), &coder.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, CompressionMode: mode, CompressionThreshold: threshold,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if agreed := response.Header.Get("Sec-WebSocket-Extensions"); strings.Contains(agreed, "permessage-deflate") != compress {
		s.t.Errorf("agreed upon: %q", agreed)
	}
	conn.SetReadLimit(-1)
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// testMessages has messages of all lengths pass both ways at once.
func (s *edgeScene) testMessages(compress bool) {
	s.t.Helper()
	conn := s.dial("/echo", compress)
	ctx, cancel := context.WithTimeout(s.t.Context(), longest)
	defer cancel()
	var all []interopMessage
	sizes := []int{1, 125, 126, 16 << 10, 65_536}
	if !compress {
		sizes = append(sizes, 1<<20, 2)
	}
	for _, size := range sizes {
		both := interopMessages(size)
		all = append(all, both[:]...)
	}
	wrote := make(chan error, 1)
	go func() {
		for _, m := range all {
			kind := coder.MessageText
			if m.binary {
				kind = coder.MessageBinary
			}
			if err := conn.Write(ctx, kind, m.payload); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	for _, m := range all {
		kind, payload, err := conn.Read(ctx)
		if err != nil || (kind == coder.MessageBinary) != m.binary || !bytes.Equal(payload, m.payload) {
			s.t.Fatalf("%d bytes came back as %d, %v (%v)", len(m.payload), len(payload), kind, err)
		}
	}
	if err := <-wrote; err != nil {
		s.t.Fatal(err)
	}
	ponged := conn.CloseRead(ctx) // reads the pong
	if err := conn.Ping(ctx); err != nil {
		s.t.Error("ping:", err)
	}
	_ = conn.Close(4001, "the client says")
	<-ponged.Done()
	if got := <-s.closed; got.Code != 4001 || got.Reason != "the client says" {
		s.t.Errorf("the application was told %v", got)
	}
}

func (s *edgeScene) testCloses() {
	s.t.Helper()
	_, _, err := s.dial("/closes", false).Read(s.t.Context())
	if got := new(coder.CloseError); !errors.As(err, got) || got.Code != 4002 || got.Reason != "upstream says" {
		s.t.Errorf("the client was told %v", err)
	}
}

// testFirstMessages has what follows a request, and an answer, at once pass as well.
func (s *edgeScene) testFirstMessages() {
	s.t.Helper()
	client := s.client(s.secure)
	client.send([]byte(interopRequest()), client.frame(text, "hello, too"))
	client.wantStatus(http.StatusSwitchingProtocols)
	client.want(text, "hello")
	client.want(text, "hello, too")
	edgeClose(client.conn)
}

// testRefusal has upstream's refusal of a handshake reach the client as it is.
func (s *edgeScene) testRefusal() {
	s.t.Helper()
	client := s.client(s.secure)
	client.send([]byte(strings.Replace(interopRequest(), "/interop", "/refused", 1)))
	r, body := client.response()
	if r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") != "Bearer" || body != strings.Repeat("no ", 20_000) {
		s.t.Errorf("refused with %s, %q, %d bytes", r.Status, r.Header, len(body))
	}
	client.wantEnd()
}

// testPlain has requests pass with bodies of all kinds, over connections that are kept.
func (s *edgeScene) testPlain() {
	s.t.Helper()
	before := s.dialled.Load()
	for i, body := range []string{"", "short", strings.Repeat("long", 200_000)} {
		for _, chunked := range []bool{false, true} {
			var reader io.Reader = strings.NewReader(body)
			if chunked {
				reader = io.MultiReader(reader)
			}
			request, err := http.NewRequest(http.MethodPost, s.url.String(), reader)
			if err != nil {
				s.t.Fatal(err)
			}
			request.Header.Set("X-Forwarded-Proto", "gopher")
			reused := false
			trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
			response, err := s.http.Do(request.WithContext(httptrace.WithClientTrace(s.t.Context(), trace)))
			if err != nil {
				s.t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || string(got) != body || response.StatusCode != http.StatusOK {
				s.t.Fatalf("%s: %d bytes came back as %d (%v)", response.Status, len(body), len(got), err)
			}
			if i > 0 && !reused {
				s.t.Error("the client's connection was not kept")
			}
			if scheme := response.Header.Get("Got-X-Forwarded-Proto"); scheme != s.url.Scheme {
				s.t.Errorf("upstream was told of %s, the client has spoken %s", scheme, s.url.Scheme)
			}
			if from := response.Header.Get("Got-X-Forwarded-For"); from != "127.0.0.1" {
				s.t.Errorf("upstream was told of %q", from)
			}
		}
	}
	if n := s.dialled.Load() - before; n > 1 {
		s.t.Errorf("%d connections to upstream for one client", n)
	}
}

// testEvents has each part of a stream arrive as soon as it is sent.
func (s *edgeScene) testEvents() {
	s.t.Helper()
	response, err := s.http.Get(s.url.JoinPath("/events").String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	for n := range 3 {
		want := fmt.Sprintf("data: %d\n\n", n)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
			s.t.Fatalf("%q, %v", got, err)
		}
		select {
		case s.nextEvent <- struct{}{}:
		case <-time.After(longest):
			s.t.Fatal("the application has gone")
		}
	}
	if _, err := response.Body.Read(make([]byte, 1)); err != io.EOF {
		s.t.Errorf("behind the last: %v", err)
	}
}
