package proxy_test

import (
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"wswarden/config"
)

// What upstream answers instead of a 101 reaches the client as it is.
func TestInteropRefusalByUpstream(t *testing.T) {
	tests := []struct {
		answer string
		status string
		header http.Header
		body   string
	}{
		{
			"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"trains\"\r\nX-Request-Id: 7\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nwho is it?",
			"401 Unauthorized",
			http.Header{"Www-Authenticate": {`Bearer realm="trains"`}, "X-Request-Id": {"7"}, "Content-Type": {"text/plain"}},
			"who is it?",
		},
		{
			"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"no\"\r\n6\r\n:true}\r\n0\r\n\r\n",
			"404 Not Found",
			http.Header{"Content-Type": {"application/json"}},
			`{"no":true}`,
		},
		{
			"HTTP/1.1 503 Come back later\r\nRetry-After: 17\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; HttpOnly\r\nConnection: close\r\n\r\nuntil the end of the connection",
			"503 Come back later",
			http.Header{"Retry-After": {"17"}, "Set-Cookie": {"a=1; Path=/", "b=2; HttpOnly"}},
			"until the end of the connection",
		},
		{
			"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1048576\r\n\r\n" + strings.Repeat("x", 1<<20),
			"500 Internal Server Error",
			http.Header{"Content-Length": {"1048576"}},
			strings.Repeat("x", 1<<20),
		},
	}
	for _, tt := range tests {
		t.Run(tt.status, func(t *testing.T) {
			client, upstream := interopHandshake(t, interopRequest(), tt.answer)
			_ = upstream.Close()
			r, body := client.response()
			if r.Status != tt.status || body != tt.body {
				t.Errorf("got %q with body %.40q, want %q with body %.40q", r.Status, body, tt.status, tt.body)
			}
			interopWantHeader(t, r.Header, tt.header)
		})
	}
}

// interopHandshake starts wswarden, sends a request through it and has upstream
// answer.
func interopHandshake(t *testing.T, request, answer string) (client, upstream *interopWire) {
	t.Helper()
	ln := interopListen(t)
	client = interopDial(t, interopWarden(t, ln.Addr().String(), nil))
	client.text(request)
	upstream = interopAccept(t, ln)
	upstream.request()
	upstream.text(answer)
	return client, upstream
}

func interopWantHeader(t *testing.T, got, want http.Header) {
	t.Helper()
	for name, values := range want {
		if !slices.Equal(got[name], values) {
			t.Errorf("%s: got %q, want %q", name, got[name], values)
		}
	}
}

// What upstream says in its 101 reaches the client: subprotocol, cookies and
// all other headers, but not what is for its own connection.
func TestInteropHeadersOfThe101(t *testing.T) {
	client, _ := interopHandshake(t, interopRequest("Sec-WebSocket-Protocol: v1, v2"), interopAnswer(
		"Sec-WebSocket-Protocol: v2",
		"Set-Cookie: session=abc; Path=/; HttpOnly",
		"Set-Cookie: shard=3; Max-Age=60",
		"X-Served-By: upstream-1",
		"Server: trains/1.0",
	))
	r, _ := client.response()
	if r.Status != "101 Switching Protocols" {
		t.Errorf("got %q", r.Status)
	}
	want := http.Header{
		"Upgrade":                {"websocket"},
		"Connection":             {"Upgrade"},
		"Sec-Websocket-Accept":   {interopProof},
		"Sec-Websocket-Protocol": {"v2"},
		"Set-Cookie":             {"session=abc; Path=/; HttpOnly", "shard=3; Max-Age=60"},
		"X-Served-By":            {"upstream-1"},
		"Server":                 {"trains/1.0"},
	}
	interopWantHeader(t, r.Header, want)
	for name, values := range r.Header {
		if name == "X-Wswarden-Session" && regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(values[0]) {
			continue
		}
		if want[name] == nil {
			t.Errorf("%s: %q was added", name, values)
		}
	}
}

// Header names are not case-sensitive (RFC 9110 §5.1), and many libraries do
// not spell them as RFC 6455 does.
func TestInteropSpellingOfHeaderNames(t *testing.T) {
	spellings := map[string]func(string) string{
		"lower case": strings.ToLower,
		"upper case": strings.ToUpper,
		"as Go does": func(name string) string { return http.CanonicalHeaderKey(name) },
	}
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			respell := func(head string) string {
				lines := strings.Split(head, "\r\n")
				for i, line := range lines[1:] {
					if key, value, ok := strings.Cut(line, ":"); ok {
						lines[i+1] = spell(key) + ":" + value
					}
				}
				return strings.Join(lines, "\r\n")
			}
			deflate := "Sec-WebSocket-Extensions: permessage-deflate"
			client, upstream := interopHandshake(t, respell(interopRequest(deflate)), respell(interopAnswer(deflate)))
			if r, body := client.response(); r.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("got %s: %s", r.Status, body)
			}
			client.send(ws.NewTextFrame([]byte("hello")))
			upstream.want(ws.OpText, "hello")
		})
	}
}

// A handshake may arrive in any pieces, its answer too, and that may come after
// interim responses (RFC 9110 §15.2).
func TestInteropHandshakeInPieces(t *testing.T) {
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
	first := string(interopBytes(ws.StateServerSide, ws.NewTextFrame([]byte("welcome"))))
	for _, answer := range []string{interopAnswer() + first, interim + interim + interopAnswer() + first} {
		ln := interopListen(t)
		client := interopDial(t, interopWarden(t, ln.Addr().String(), nil))
		if err := interopWriteBytes(client, []byte(interopRequest())); err != nil {
			t.Fatal(err)
		}
		upstream := interopAccept(t, ln)
		upstream.request()
		if err := interopWriteBytes(upstream, []byte(answer)); err != nil {
			t.Fatal(err)
		}
		if r, body := client.response(); r.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("got %s: %s", r.Status, body)
		}
		client.want(ws.OpText, "welcome")
		client.send(ws.NewTextFrame([]byte("thanks")))
		upstream.want(ws.OpText, "thanks")
	}
}

// An upstream that cannot be reached, that leaves, or that does not answer
// costs the client no more than an error.
func TestInteropNoAnswerOfUpstream(t *testing.T) {
	client := interopDial(t, interopWarden(t, "127.0.0.1:1", nil))
	client.text(interopRequest())
	if r, body := client.response(); r.StatusCode != http.StatusBadGateway {
		t.Errorf("upstream down: got %s: %s", r.Status, body)
	}

	client, upstream := interopHandshake(t, interopRequest(), "HTTP/1.1 101 Swit")
	_ = upstream.Close()
	if r, body := client.response(); r.StatusCode != http.StatusBadGateway {
		t.Errorf("upstream left: got %s: %s", r.Status, body)
	}

	ln := interopListen(t)
	client = interopDial(t, interopWarden(t, ln.Addr().String(), func(c *config.Config) {
		c.Upstream.HandshakeTimeout = interopBeat
	}))
	client.text(interopRequest())
	if r, body := client.response(); r.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("upstream silent: got %s: %s", r.Status, body)
	}
	upstream = interopAccept(t, ln)
	upstream.request()
	upstream.wantEnd()
}

// A malformed handshake is answered with the reason, and upstream never hears
// of it (RFC 6455 §4.2.1).
func TestInteropMalformedHandshake(t *testing.T) {
	const version, key = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + interopKey
	good := []string{"GET /interop HTTP/1.1", "Host: interop.test", "Upgrade: websocket", "Connection: Upgrade", version, key}
	tests := []struct {
		name     string
		old, new string // the line to replace, and by what; empty: by nothing
		status   int
		reason   string // a part of the body
	}{
		{"another method", good[0], "PUT /interop HTTP/1.1", 400, "GET"},
		{"old HTTP", good[0], "GET /interop HTTP/1.0", 400, "HTTP/1.1"},
		{"no Host", good[1], "", 400, "host"},
		{"two Hosts", good[1], good[1] + "\r\nHost: other.test", 400, "host"},
		{"no Connection", good[3], "", 400, "Connection"},
		{"Connection without Upgrade", good[3], "Connection: keep-alive", 400, "Connection"},
		{"no version", version, "", 400, "Sec-WebSocket-Version"},
		{"two versions", version, version + "\r\n" + version, 400, "Sec-WebSocket-Version"},
		{"another version", version, "Sec-WebSocket-Version: 8", 426, "version"},
		{"no number as version", version, "Sec-WebSocket-Version: new", 426, "version"},
		{"no key", key, "", 400, "Sec-WebSocket-Key"},
		{"empty key", key, "Sec-WebSocket-Key:", 400, "Sec-WebSocket-Key"},
		{"short key", key, "Sec-WebSocket-Key: c2hvcnQ=", 400, "Sec-WebSocket-Key"},
		{"long key", key, "Sec-WebSocket-Key: " + "dGhlIHNhbXBsZSBub25jZSBpcyBsb25n", 400, "Sec-WebSocket-Key"},
		{"no base64 as key", key, "Sec-WebSocket-Key: ??????????????????????==", 400, "Sec-WebSocket-Key"},
		{"two keys", key, key + "\r\n" + key, 400, "Sec-WebSocket-Key"},
		{"a body", key, key + "\r\nContent-Length: 8\r\n\r\nbody", 400, "body"}, // with the CRLFs behind it
		{"a chunked body", key, key + "\r\nTransfer-Encoding: chunked", 400, "body"},
		{"a folded line", key, key + "\r\nX-Folded: a\r\n b", 400, "folded"},
		{"a space before a colon", key, key + "\r\nX-Space : a", 400, "header"},
	}
	ln := interopListen(t)
	address := interopWarden(t, ln.Addr().String(), nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines := slices.Clone(good)
			at := slices.Index(lines, tt.old)
			if tt.new == "" {
				lines = slices.Delete(lines, at, at+1)
			} else {
				lines[at] = tt.new
			}
			client := interopDial(t, address)
			client.text(strings.Join(lines, "\r\n") + "\r\n\r\n")
			r, body := client.response()
			if r.StatusCode != tt.status || !strings.Contains(body, tt.reason) {
				t.Errorf("got %s with %q, want %d with a reason that has %q", r.Status, body, tt.status, tt.reason)
			}
			version := r.Header.Get("Sec-WebSocket-Version")
			if wants := tt.status == http.StatusUpgradeRequired; (version == "13") != wants {
				t.Errorf("Sec-WebSocket-Version: %q with a %d", version, r.StatusCode)
			}
			client.wantEnd()
		})
	}
	interopWantUntouched(t, ln)
}

// interopWantUntouched fails if a connection waits at the listener.
func interopWantUntouched(t *testing.T, ln net.Listener) {
	t.Helper()
	// A connection of our own comes behind any other.
	own := interopDial(t, ln.Addr().String())
	if first := interopAccept(t, ln); first.RemoteAddr().String() != own.LocalAddr().String() {
		t.Error("upstream was connected to")
	}
}

// A 101 that does not fit the request is upstream's failure: the client gets
// 502, and upstream's connection is closed.
func TestInteropBadAnswerOfUpstream(t *testing.T) {
	const deflate = "Sec-WebSocket-Extensions: permessage-deflate"
	tests := []struct {
		name     string
		request  string
		old, new string // a line of the answer, and what stands in its place
	}{
		{"proof for another key", interopRequest(), interopProof, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{"no proof", interopRequest(), "Sec-WebSocket-Accept: " + interopProof + "\r\n", ""},
		{"no Upgrade", interopRequest(), "Upgrade: websocket\r\n", ""},
		{"Upgrade to something else", interopRequest(), "Upgrade: websocket", "Upgrade: h2c"},
		{"no Connection", interopRequest(), "Connection: Upgrade\r\n", ""},
		{"compression that was not offered", interopRequest(), "\r\n\r\n", "\r\n" + deflate + "\r\n\r\n"},
		{"unknown extension", interopRequest(deflate), "\r\n\r\n", "\r\nSec-WebSocket-Extensions: x-mux\r\n\r\n"},
		{"unknown extension beside compression", interopRequest(deflate), "\r\n\r\n", "\r\n" + deflate + ", x-mux\r\n\r\n"},
		{"unknown extension in a second line", interopRequest(deflate), "\r\n\r\n", "\r\n" + deflate + "\r\nSec-WebSocket-Extensions: x-mux\r\n\r\n"},
		{"no HTTP", interopRequest(), "HTTP/1.1 101", "SMTP ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := strings.Replace(interopAnswer(), tt.old, tt.new, 1)
			if answer == interopAnswer() {
				t.Fatalf("the answer has no %q", tt.old)
			}
			client, upstream := interopHandshake(t, tt.request, answer)
			if r, body := client.response(); r.StatusCode != http.StatusBadGateway {
				t.Errorf("got %s: %s", r.Status, body)
			}
			upstream.wantEnd()
		})
	}
}

// Only permessage-deflate is offered to upstream, with its parameters as they
// came: frames of another extension could not be checked.
func TestInteropOfferedExtensions(t *testing.T) {
	const deflate = "permessage-deflate; client_max_window_bits; server_no_context_takeover"
	tests := []struct {
		name    string
		lines   []string
		offered []string
	}{
		{"none", nil, nil},
		{"unknown alone", []string{"Sec-WebSocket-Extensions: x-mux; max=4"}, nil},
		{"unknown and compression", []string{"Sec-WebSocket-Extensions: x-mux, " + deflate + ", bbf-usp"}, []string{deflate}},
		{"in two lines", []string{"Sec-WebSocket-Extensions: x-mux", "Sec-WebSocket-Extensions: " + deflate}, []string{deflate}},
		{"two offers", []string{"Sec-WebSocket-Extensions: " + deflate + ", permessage-deflate"}, []string{deflate + ", permessage-deflate"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ln := interopListen(t)
			client := interopDial(t, interopWarden(t, ln.Addr().String(), nil))
			client.text(interopRequest(tt.lines...))
			got := interopAccept(t, ln).request().Header.Values("Sec-WebSocket-Extensions")
			if !slices.Equal(got, tt.offered) {
				t.Errorf("upstream was offered %q, want %q", got, tt.offered)
			}
		})
	}
}
