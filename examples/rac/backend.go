package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
)

// Each client gets about 100 kB of broadcasts a second, in messages as long as a
// list of all passengers of a train.
const (
	broadcastEvery = 100 * time.Millisecond
	statsEvery     = time.Second
)

var broadcastTypes = []string{"TRAIN_UPDATE", "STATION_ARRIVAL", "RAC_REALLOCATION", "NO_SHOW"}

// backend stands in for the RAC backend. It speaks the same messages and leaks
// in the same ways: every "Leak" below is on purpose.
type backend struct {
	mu      sync.Mutex
	clients map[*socket]bool            // the server's client set
	offers  map[string]map[*socket]bool // who waits for offers on a PNR
	byID    map[string]*socket
	byRole  map[string]map[*socket]bool
	timers  int

	unsubscribes int // that it was told
	most         int // PNRs that one client has been subscribed to at a time
}

// runBackend is the backend's process. It pings as often as ping, a duration, says.
func runBackend(ping string) error {
	every, err := time.ParseDuration(ping)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		err := newBackend().serve(l, every)
		fmt.Fprintln(os.Stderr, "rac: the backend serves no longer:", err)
		os.Exit(1)
	}()
	ready(l.Addr(), l.Addr())
	untilParentEnds()
	return nil
}

// backendAlone is a backend without the demonstration, on address until ctx is done. It
// pings as often as ping says.
func backendAlone(ctx context.Context, address string, ping time.Duration) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	if err := newBackend().serve(l, ping); ctx.Err() == nil {
		return err
	}
	return nil
}

func newBackend() *backend {
	return &backend{
		clients: map[*socket]bool{},
		offers:  map[string]map[*socket]bool{},
		byID:    map[string]*socket{},
		byRole:  map[string]map[*socket]bool{},
	}
}

// serve answers on l until the process ends. A ping interval above zero makes
// the backend ping its clients and drop those that missed one; at zero it has
// no such care, which is the worst case in the report on its leaks.
func (b *backend) serve(l net.Listener, ping time.Duration) error {
	go b.broadcastLoop()
	if ping > 0 {
		go func() {
			for range time.Tick(ping) {
				b.ping()
			}
		}()
	}
	upgrader := websocket.FastHTTPUpgrader{CheckOrigin: func(*fasthttp.RequestCtx) bool { return true }}
	server := &fasthttp.Server{
		Logger:            silent{},
		KeepHijackedConns: true, // or else closing one does nothing
		Handler: func(ctx *fasthttp.RequestCtx) {
			switch {
			case websocket.FastHTTPIsWebSocketUpgrade(ctx):
				_ = upgrader.Upgrade(ctx, b.serveSocket) // answers by itself when it refuses
			case string(ctx.Path()) == "/api/health":
				b.health().write(ctx)
			default:
				ctx.Error("not found", fasthttp.StatusNotFound)
			}
		},
	}
	return server.Serve(welcomeListener{l})
}

// serveSocket is one client's connection from the welcome to its end.
func (b *backend) serveSocket(conn *websocket.Conn) {
	defer conn.Close()
	s := newSocket(conn)
	s.send(message{Type: "CONNECTION_SUCCESS", ClientID: fmt.Sprintf("client_%08x", rand.Uint32()),
		Message: "Connected to the RAC system", Timestamp: now()}.encode())
	b.add(s)
	go s.writeLoop()

	var err error
	for err == nil {
		var kind int
		var data []byte
		switch kind, data, err = conn.ReadMessage(); {
		case err != nil:
		case kind == websocket.TextMessage && !utf8.Valid(data):
			s.enqueue(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInvalidFramePayloadData, ""))
			err = errors.New("invalid UTF-8")
		default:
			b.handle(s, data)
		}
	}

	var closed *websocket.CloseError
	var broken net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		s.end(websocket.FormatCloseMessage(closed.Code, ""))
		<-s.written
		b.forget(s)
	case errors.As(err, &closed), errors.As(err, &broken):
		// Leak: without a close frame the socket goes, but its subscriptions,
		// identity and interval stay.
		s.drop()
		<-s.written
		b.mu.Lock()
		delete(b.clients, s)
		b.mu.Unlock()
	default:
		// Leak: a protocol violation. The error path has taken all listeners
		// off the socket, so nobody ever hears of its end.
		s.end(nil)
		select {}
	}
}

// handle carries out one message. Text and binary are parsed alike.
func (b *backend) handle(s *socket, data []byte) {
	var m message
	if json.Unmarshal(data, &m) != nil {
		s.send(message{Type: "ERROR", Message: "Invalid message format"}.encode())
		return
	}
	if m.Payload == nil {
		m.Payload = &payload{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch m.Type {
	case "ping", "PING":
		s.send(message{Type: "pong", Timestamp: now()}.encode())
	case "subscribe:offers": // Leak: as many as the client likes.
		put(b.offers, m.Payload.PNR, s)
		s.pnrs[m.Payload.PNR] = true
		b.most = max(b.most, len(s.pnrs))
		s.send(message{Type: "subscribed", Payload: m.Payload}.encode())
	case "unsubscribe:offers":
		remove(b.offers, m.Payload.PNR, s)
		delete(s.pnrs, m.Payload.PNR)
		b.unsubscribes++
		s.send(message{Type: "unsubscribed", Payload: m.Payload}.encode())
	case "SUBSCRIBE", "UNSUBSCRIBE":
		s.broadcasts = m.Type == "SUBSCRIBE"
		if !s.broadcasts {
			b.unsubscribes++
		}
		s.send(message{Type: m.Type + "D"}.encode())
	case "IDENTIFY":
		s.id, s.role = m.IrctcID+m.TTEID, m.Role
		b.byID[s.id] = s
		put(b.byRole, s.role, s)
		s.send(message{Type: "IDENTIFIED"}.encode())
	}
}

// add enters a new client. Each has an interval of its own.
func (b *backend) add(s *socket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients[s] = true
	b.timers++
	go func() {
		tick := time.NewTicker(statsEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.send(message{Type: "STATS_UPDATE", Timestamp: now()}.encode())
			case <-s.clearInterval:
				return
			}
		}
	}()
}

// forget is the clean-up as it should always happen. Leak: it leaves the offers to
// the client, which should have unsubscribed.
func (b *backend) forget(s *socket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clients, s)
	if b.byID[s.id] == s {
		delete(b.byID, s.id)
	}
	remove(b.byRole, s.role, s)
	close(s.clearInterval)
	b.timers--
}

// broadcastLoop sends every client that takes broadcasts the news, and now and
// then an offer to the subscribers of a PNR.
func (b *backend) broadcastLoop() {
	upgrades := make([]string, 96)
	for i := range upgrades {
		upgrades[i] = fmt.Sprintf("PNR 17225%05d: RAC %d, coach S%d, berth %d, side lower: waits for an upgrade", i*37, i+1, i%9+1, i*3%72+1)
	}
	for turn := 0; ; turn++ {
		time.Sleep(broadcastEvery)
		news := message{Type: broadcastTypes[turn%len(broadcastTypes)], Timestamp: now(),
			Payload: &payload{Train: "17225", Upgrades: upgrades}}.encode()
		b.mu.Lock()
		for s := range b.clients {
			if s.broadcasts {
				s.send(bytes.Clone(news)) // Node, too, makes a buffer for each client
			}
		}
		for pnr, subscribers := range b.offers { // any one: Go's order is random
			for s := range subscribers {
				s.send(message{Type: "upgrade:offer", Payload: &payload{PNR: pnr}}.encode())
			}
			break
		}
		b.mu.Unlock()
	}
}

// ping pings all clients, and drops those that did not answer the ping before.
func (b *backend) ping() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.clients {
		if s.answered.Swap(false) {
			s.enqueue(websocket.PingMessage, nil)
		} else {
			s.drop()
		}
	}
}

func (b *backend) health() health {
	h := measure()
	b.mu.Lock()
	defer b.mu.Unlock()
	h.Clients, h.Timers = len(b.clients), b.timers
	h.Unsubscribes, h.MostPNRs = b.unsubscribes, b.most
	for s := range b.clients {
		h.Queued += s.queuedBytes()
		if s.broadcasts {
			h.Subscriptions++
		}
	}
	for _, subscribers := range b.offers {
		h.Subscriptions += len(subscribers)
	}
	return h
}

func put(sets map[string]map[*socket]bool, key string, s *socket) {
	if sets[key] == nil {
		sets[key] = map[*socket]bool{}
	}
	sets[key][s] = true
}

func remove(sets map[string]map[*socket]bool, key string, s *socket) {
	delete(sets[key], s)
	if len(sets[key]) == 0 {
		delete(sets, key)
	}
}

// welcomeListener accepts connections whose 101 leaves together with the
// welcome message, in one segment, as it does in the real backend.
type welcomeListener struct{ net.Listener }

func (l welcomeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &welcomeConn{Conn: conn}, err
}

type welcomeConn struct {
	net.Conn
	held []byte
}

func (c *welcomeConn) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p[:min(len(p), 12)]), "HTTP/1.1 101") {
		c.held = bytes.Clone(p)
		return len(p), nil
	}
	if c.held == nil {
		return c.Conn.Write(p)
	}
	held := len(c.held)
	n, err := c.Conn.Write(append(c.held, p...))
	c.held = nil
	return max(n-held, 0), err
}

// silent keeps fasthttp's remarks on broken connections out of the table.
type silent struct{}

func (silent) Printf(string, ...any) {}
