package main

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fasthttp/websocket"
)

// faster is by how much the portals' waits are shortened, to fit half a minute.
const faster = 10

// patience is how long a client waits for an answer that it needs.
const patience = 5 * time.Second

// portal is one of the three web applications, as far as the wire shows it.
type portal struct {
	role     string
	goodbye  string        // reason of its close frame
	pings    time.Duration // between its {"type":"ping"}; zero: it sends none
	attempts int           // reconnects in a row before it gives up; zero: never
	wait     time.Duration // before the first reconnect
	growth   float64       // of the wait, from one reconnect to the next
	longest  time.Duration // a wait
}

var (
	admin = portal{role: "ADMIN", goodbye: "Client disconnect",
		attempts: 5, wait: 3 * time.Second / faster, growth: 1, longest: 3 * time.Second / faster}
	tte = portal{role: "TTE", goodbye: "Component unmount",
		wait: 3 * time.Second / faster, growth: 1, longest: 3 * time.Second / faster}
	passenger = portal{role: "PASSENGER", goodbye: "Client disconnect", pings: 30 * time.Second / faster,
		attempts: 5, wait: 3 * time.Second / faster, growth: 1.5, longest: 30 * time.Second / faster}
)

// client is one open connection of a portal.
type client struct {
	portal
	conn *websocket.Conn
	pnrs []string      // only a passenger's
	held int           // of these, those that the backend has confirmed
	gone chan struct{} // closed when nothing is read any more
	why  error         // then: what ended it

	muted  atomic.Bool // reads on, but answers no ping
	frozen atomic.Bool // reads no more, but keeps the connection
}

// open connects and says what the portal says first. It returns when the
// backend has confirmed it all.
func open(addr string, p portal, id string, pnrs []string) (*client, error) {
	conn, _, err := dialer.Dial("ws://"+addr+"/", nil)
	if err != nil {
		return nil, err
	}
	c := &client{portal: p, conn: conn, pnrs: pnrs, gone: make(chan struct{})}
	conn.SetPingHandler(func(data string) error {
		if !c.muted.Load() {
			// If it cannot be written, reading fails as well.
			_ = conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(patience))
		}
		return nil
	})
	if err := c.introduce(id); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s portal: %w", p.role, err)
	}
	go c.readLoop()
	return c, nil
}

func (c *client) introduce(id string) error {
	if err := c.await("CONNECTION_SUCCESS"); err != nil {
		return err
	}
	identity := message{Type: "IDENTIFY", Role: c.role, IrctcID: id}
	if c.role == tte.role {
		identity.IrctcID, identity.TTEID = "", id
	}
	c.say(identity)
	if err := c.await("IDENTIFIED"); err != nil {
		return err
	}
	if c.role != passenger.role {
		c.say(message{Type: "SUBSCRIBE"})
		return c.await("SUBSCRIBED")
	}
	for some := range slices.Chunk(c.pnrs, 100) {
		for i, pnr := range some {
			kind := websocket.TextMessage
			if c.greedy() && i%2 == 1 {
				kind = websocket.BinaryMessage // the backend takes both
			}
			c.sayAs(kind, message{Type: "subscribe:offers", Payload: &payload{PNR: pnr}})
		}
		for range some {
			answer, err := c.awaitAny("subscribed", "ERROR")
			if err != nil {
				return err
			}
			if answer == "subscribed" {
				c.held++
			}
		}
	}
	return nil
}

// greedy reports whether the client is a script rather than a passenger's portal.
func (c *client) greedy() bool { return len(c.pnrs) >= manyPNRs }

// subscriptions is how many the backend holds for this client: the broadcasts,
// which every client gets, and one for each PNR that it was granted.
func (c *client) subscriptions() int64 { return 1 + int64(c.held) }

// live lets the client behave for d, or until done is closed. It returns false
// if the connection did not last.
func (c *client) live(done <-chan struct{}, d time.Duration) bool {
	end := time.After(d)
	var ping <-chan time.Time
	if c.pings > 0 {
		ticker := time.NewTicker(c.pings)
		defer ticker.Stop()
		ping = ticker.C
	}
	for {
		select {
		case <-ping:
			c.say(message{Type: "ping"})
		case <-end:
			return true
		case <-done:
			return true
		case <-c.gone:
			return false
		}
	}
}

// A fate is how a client's connection comes to its end.
type fate struct {
	name   string
	share  int // of all connections, in percent
	strike func(*client)
}

// fates come to each fleet in the same order. The first is how it should be.
var fates = []fate{
	{"left politely", 55, (*client).leave},
	{"vanished without a word", 15, (*client).freeze},
	{"stopped reading, went on sending", 8, (*client).stopReading},
	{"answered no more pings", 7, (*client).mute},
	{"broke the protocol", 4, (*client).violate},
	{"sent text that is not UTF-8", 3, (*client).garble},
	{"reset the connection", 8, (*client).reset},
}

// leave unsubscribes, sends a close frame and waits for the answer. Who has taken
// a thousand PNRs does not bother to give them back.
func (c *client) leave() {
	if !c.greedy() {
		for _, pnr := range c.pnrs {
			c.say(message{Type: "unsubscribe:offers", Payload: &payload{PNR: pnr}})
		}
	}
	if c.role != passenger.role {
		c.say(message{Type: "UNSUBSCRIBE"})
	}
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, c.goodbye)
	_ = c.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience)) // shows as gone
	select {
	case <-c.gone:
	case <-time.After(patience):
		c.conn.Close()
	}
}

// freeze leaves the connection open and does nothing any more. To the other
// end that looks as if the network had been cut.
func (c *client) freeze() {
	c.frozen.Store(true)
	_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; fails only on a closed connection
}

// stopReading is a client that hangs, but whose timers still send.
func (c *client) stopReading() {
	c.freeze()
	go func() {
		for c.say(message{Type: "ping"}) {
			time.Sleep(time.Second)
		}
		c.conn.Close()
	}()
}

func (c *client) mute() { c.muted.Store(true) }

// violate sends an empty masked frame of opcode 3, which RFC 6455 §5.2 reserves.
func (c *client) violate() {
	_, _ = c.conn.NetConn().Write([]byte{0x83, 0x80, 0, 0, 0, 0}) // a broken connection shows as gone
}

// garble sends what RFC 6455 §8.1 forbids as text.
func (c *client) garble() {
	_ = c.conn.WriteMessage(websocket.TextMessage, []byte("{\"type\":\"\xff\"}")) // shows as gone
}

func (c *client) reset() {
	if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	c.conn.Close()
}

// readLoop reads as a browser does, whatever comes, until the end.
func (c *client) readLoop() {
	defer close(c.gone)
	for {
		if _, _, c.why = c.conn.ReadMessage(); c.why != nil {
			if !c.frozen.Load() {
				c.conn.Close()
			}
			return
		}
	}
}

// say sends one message and returns false if the connection does not take it.
func (c *client) say(m message) bool { return c.sayAs(websocket.TextMessage, m) }

// sayAs is say with a kind of message.
func (c *client) sayAs(kind int, m message) bool {
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience)) // never fails
	return c.conn.WriteMessage(kind, m.encode()) == nil
}

// await reads up to the message of the given type.
func (c *client) await(want string) error {
	_, err := c.awaitAny(want)
	return err
}

// awaitAny reads up to a message of one of the given types, and returns its type.
func (c *client) awaitAny(want ...string) (string, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := c.conn.ReadMessage()
		var m message
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			return "", fmt.Errorf("waiting for %s: %w", strings.Join(want, " or "), err)
		}
		if slices.Contains(want, m.Type) {
			return m.Type, c.conn.SetReadDeadline(time.Time{})
		}
	}
}

// dialer makes connections as a browser on a mobile network has them: packets
// of Ethernet's size, and little room for what is not read. On plain loopback
// the kernel would swallow megabytes for a client that reads nothing.
var dialer = websocket.Dialer{
	HandshakeTimeout: patience,
	NetDialContext: (&net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		failed := raw.Control(func(fd uintptr) {
			if err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1460); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 32<<10)
			}
		})
		if failed != nil {
			return failed
		}
		return err
	}}).DialContext,
}
