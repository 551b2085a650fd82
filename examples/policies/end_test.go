package policies_test

import (
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// end is a WebSocket's end that the test plays. Messages come in a channel.
type end struct {
	name   string
	t      *testing.T
	conn   *websocket.Conn
	got    chan string
	closed chan int // the close code; 1006: the connection broke
	done   chan struct{}
}

func newEnd(name string, t *testing.T, conn *websocket.Conn) *end {
	e := &end{name, t, conn, make(chan string, 1000), make(chan int, 1), make(chan struct{})}
	t.Cleanup(func() { _ = conn.Close() })
	return e
}

// listen reads what comes, and answers pings, from now on.
func (e *end) listen() {
	go e.read(nil)
	e.t.Cleanup(func() {
		_ = e.conn.Close()
		<-e.done
	})
}

func (e *end) read(answer func(string) []string) {
	defer close(e.done)
	defer func() { _ = e.conn.Close() }()
	for {
		_, message, err := e.conn.ReadMessage()
		if err != nil {
			code := websocket.CloseAbnormalClosure
			if frame, ok := err.(*websocket.CloseError); ok {
				code = frame.Code
			}
			e.closed <- code
			return
		}
		e.got <- string(message)
		if answer != nil {
			for _, m := range answer(string(message)) {
				_ = e.conn.WriteMessage(websocket.TextMessage, []byte(m))
			}
		}
	}
}

// say sends messages. It fails in silence once the session has ended.
func (e *end) say(messages ...string) {
	for _, m := range messages {
		_ = e.conn.SetWriteDeadline(time.Now().Add(longest))
		if e.conn.WriteMessage(websocket.TextMessage, []byte(m)) != nil {
			return
		}
	}
}

// want waits for the messages that come next.
func (e *end) want(messages ...string) {
	e.t.Helper()
	for _, want := range messages {
		if got := wait(e.t, e.got, e.name+"'s message "+want); got != want {
			e.t.Fatalf("%s has got %q, want %q", e.name, got, want)
		}
	}
}

// wantClose waits for the close frame, before which nothing else may come.
func (e *end) wantClose(code int) {
	e.t.Helper()
	got := wait(e.t, e.closed, e.name+"'s close frame")
	if got != code {
		e.t.Errorf("%s is closed with %d, want %d", e.name, got, code)
	}
	select {
	case m := <-e.got:
		e.t.Errorf("%s has got %q, want its close frame", e.name, m)
	default:
	}
}

// leave sends a close frame.
func (e *end) leave(code int) {
	_ = e.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(longest))
}

// vanish breaks the connection without a close frame.
func (e *end) vanish() { _ = e.conn.NetConn().Close() }

// chatter has a client say something again and again, until it is stopped: pings of its
// WebSocket library if it is empty.
func (e *end) chatter(message string) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stopped:
				tick.Stop()
				return
			case <-tick.C:
				if message != "" {
					e.say(message)
				} else {
					_ = e.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(longest))
				}
			}
		}
	}()
	return func() { close(stopped); <-done }
}

// wait is the next of what comes in a channel.
func wait[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(longest):
		t.Fatalf("%s does not come", what)
		panic("not reached")
	}
}
