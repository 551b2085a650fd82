package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// The first messages of both ends are never lost: upstream's comes in one
// segment with its 101, and the client's in one with its handshake, or while
// upstream answers.
func TestInteropFirstMessages(t *testing.T) {
	const workers = 8
	ln := interopListen(t)
	warden := interopWarden(t, ln.Addr().String(), nil)
	f := &interopFirst{arrived: make([]chan struct{}, workers)}
	for i := range f.arrived {
		f.arrived[i] = make(chan struct{}, 1)
	}

	var upstream, clients sync.WaitGroup
	upstream.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			upstream.Go(func() {
				if err := f.upstream(conn); err != nil {
					t.Errorf("upstream: %v", err)
				}
			})
		}
	})
	for worker := range workers {
		clients.Go(func() {
			for i := range interopHandshakes / workers {
				if err := f.client(warden, worker, i); err != nil {
					t.Errorf("client %d, handshake %d: %v", worker, i, err)
					return
				}
			}
		})
	}
	clients.Wait()
	_ = ln.Close()
	upstream.Wait()
}

// interopFirst makes handshakes, one at a time for each worker.
type interopFirst struct {
	arrived []chan struct{} // a worker's handshake is upstream
}

// client makes one handshake, the even ones with the message right behind the
// request, the odd ones with the message on its way while upstream answers.
func (f *interopFirst) client(address string, worker, i int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0) // 20,000 connections in TIME_WAIT are too many
	_ = conn.SetDeadline(time.Now().Add(interopPatience))

	text := fmt.Sprintf("message %d of worker %d", i, worker)
	request := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: interop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", worker, interopKey)
	message := interopBytes(ws.StateClientSide, ws.NewTextFrame([]byte(text)))
	if i%2 == 0 {
		if _, err := conn.Write(append([]byte(request), message...)); err != nil {
			return err
		}
		<-f.arrived[worker]
	} else {
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		<-f.arrived[worker]
		if _, err := conn.Write(message); err != nil {
			return err
		}
	}

	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake answered with %s", response.Status)
	}
	for _, want := range []string{"welcome", text} {
		if frame, err := interopReadFrame(r); err != nil {
			return fmt.Errorf("read %q: %w", want, err)
		} else if string(frame.Payload) != want {
			return fmt.Errorf("got %q, want %q", frame.Payload, want)
		}
	}
	return nil
}

// upstream answers one handshake, greets in the same segment, and sends the
// client's first message back.
func (f *interopFirst) upstream(conn net.Conn) error {
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.SetDeadline(time.Now().Add(interopPatience))
	r := bufio.NewReader(conn)
	request, err := http.ReadRequest(r)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	var worker int
	if _, err := fmt.Sscanf(request.URL.Path, "/%d", &worker); err != nil {
		return err
	}
	f.arrived[worker] <- struct{}{}

	var answer bytes.Buffer
	answer.WriteString(interopAnswer())
	ws.MustWriteFrame(&answer, ws.NewTextFrame([]byte("welcome")))
	if _, err := conn.Write(answer.Bytes()); err != nil {
		return err
	}
	message, err := interopReadFrame(r)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if err := ws.WriteFrame(conn, ws.NewTextFrame(ws.UnmaskFrame(message).Payload)); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, r)
	return nil
}
