//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What clients of the soak's do. Those who live for as long as it lasts look every few
// units whether it is over.

// units returns from least to most units.
func (s *soak) units(least, most float64) time.Duration {
	return time.Duration((least + rand.Float64()*(most-least)) * float64(s.unit))
}

func liveFast(s *soak, _ *soakKind, c *soakClient) error {
	frame, want := noise(c.number, echoMessage)
	want = want[len(want)-echoMessage:]
	for s.lasts() {
		if err := c.write(frame); err != nil {
			return err
		}
		if err := c.want(opBinary, want); err != nil {
			return err
		}
		s.messages.Add(1)
		if err := c.rest(s.units(0.02, 0.04)); err != nil {
			return err
		}
	}
	return c.leave()
}

// livePlainly has numbered messages sent back, some in fragments.
func livePlainly(s *soak, _ *soakKind, c *soakClient) error {
	n := numbered{number: c.number}
	for i := 0; s.lasts(); i++ {
		if err := c.numbered(s, n, i); err != nil {
			return err
		}
		if err := c.rest(s.units(1, 5)); err != nil {
			return err
		}
	}
	return c.leave()
}

func (c *soakClient) numbered(s *soak, n numbered, i int) error {
	if err := c.write(n.frames(nil, c.key, i, forFragments)); err != nil {
		return err
	}
	s.messages.Add(1)
	opcode, message := n.message(i)
	return c.want(opcode, message)
}

// liveReading subscribes and unsubscribes in between, to as much as it may and a little
// more.
func liveReading(s *soak, _ *soakKind, c *soakClient) error {
	n := numbered{number: c.number, texts: true}
	var topics []string
	message, asked := 0, 0
	for s.lasts() {
		var err error
		switch dice := rand.IntN(4); {
		case dice == 0:
			topic, subscribe := n.topic(asked)
			asked++
			if err = c.send(opText, []byte(subscribe)); err != nil {
				break
			}
			if len(topics) == topicsEach {
				err = c.wantRefusal()
				break
			}
			topics = append(topics, topic)
			err = c.want(opText, fmt.Appendf(nil, `{"type":"subscribed","payload":{"pnr":%q}}`, topic))
		case dice == 1 && len(topics) > 0 && (len(topics) == topicsEach || rand.IntN(2) == 0):
			err = c.send(opText, fmt.Appendf(nil, `{"type":"unsubscribe:offers","payload":{"pnr":%q}}`, topics[0]))
			topics = slices.Delete(topics, 0, 1)
		default:
			err = c.numbered(s, n, message)
			message++
		}
		if err == nil {
			err = c.rest(s.units(0.5, 2))
		}
		if err != nil {
			return err
		}
	}
	if err := c.send(opText, []byte(topicsLeft)); err != nil {
		return err
	}
	if err := c.want(opText, []byte(strings.Join(topics, " "))); err != nil {
		return err
	}
	return c.leave()
}

// wantRefusal waits for wswarden's answer to a subscription too many.
func (c *soakClient) wantRefusal() error {
	_, got, err := c.next(time.Now().Add(patience))
	if err == nil && !strings.HasPrefix(string(got), `{"type":"ERROR"`) {
		err = fmt.Errorf("a subscription too many is answered with %.80q", got)
	}
	return err
}

func liveQuiet(s *soak, _ *soakKind, c *soakClient) error {
	for s.lasts() {
		if err := c.rest(s.units(2, 4)); err != nil {
			return err
		}
	}
	return c.leave()
}

func liveBig(s *soak, _ *soakKind, c *soakClient) error {
	for s.lasts() {
		if err := c.echo(64<<10 + rand.IntN(1<<20-64<<10)); err != nil {
			return err
		}
		s.messages.Add(1)
		for pause := rand.IntN(5); pause >= 0 && s.lasts(); pause-- {
			if err := c.rest(s.units(1, 4)); err != nil {
				return err
			}
		}
	}
	return c.leave()
}

// some has so many messages sent back, or a few less, for about as many units.
func (c *soakClient) some(s *soak, messages int) error {
	for range messages - rand.IntN(messages/2+1) {
		if err := c.echo(20 + rand.IntN(1000)); err != nil {
			return err
		}
		s.messages.Add(1)
		if err := c.rest(s.units(0.1, 2)); err != nil {
			return err
		}
	}
	return nil
}

// leaves closes its session after some messages.
func leaves(messages int) life {
	return func(s *soak, _ *soakKind, c *soakClient) error {
		if err := c.some(s, messages); err != nil {
			return err
		}
		return c.leave()
	}
}

// dies ends without a close: with the connection's proper end, with a reset, or in the
// middle of a message.
func dies(messages int) life {
	return func(s *soak, _ *soakKind, c *soakClient) error {
		if err := c.some(s, messages); err != nil {
			return err
		}
		switch rand.IntN(3) {
		case 0:
			if err := c.bare().SetLinger(0); err != nil {
				return err
			}
		case 1:
			frame := appendFrame(nil, opBinary, c.key, soakNoise()[:1000])
			if err := c.write(frame[:rand.IntN(len(frame)-1)+1]); err != nil {
				return err
			}
		}
		return c.bare().Close()
	}
}

func liveDeaf(s *soak, _ *soakKind, c *soakClient) error {
	c.mute = true
	return c.ended(1001, 4*s.unit+patience)
}

// liveStuffed asks for more than it reads. As it does not read, it learns by writing that
// its connection was reset.
func liveStuffed(s *soak, _ *soakKind, c *soakClient) error {
	if err := c.bare().SetReadBuffer(4 << 10); err != nil {
		return err
	}
	if err := c.send(opText, []byte(sayFlood)); err != nil {
		return err
	}
	for end := time.Now().Add(3*s.unit + patience); time.Now().Before(end); {
		if err := pause(s.ctx, s.unit/2); err != nil {
			return err
		}
		if err := c.send(opPong, nil); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return c.bare().Close()
		} else if err != nil {
			return err
		}
	}
	return errors.New("the session does not end")
}

// says has upstream do something.
func says(what string, code int) life {
	return func(s *soak, _ *soakKind, c *soakClient) error {
		if err := c.some(s, 2); err != nil {
			return err
		}
		if err := c.send(opText, []byte(what)); err != nil {
			return err
		}
		return c.ended(code, patience)
	}
}

// waits says nothing, and answers pings.
func waits(code int) life {
	return func(s *soak, _ *soakKind, c *soakClient) error { return c.ended(code, 4*s.unit+patience) }
}

// sends what ends the session.
func sends(code int, frames []byte) life {
	return func(s *soak, _ *soakKind, c *soakClient) error {
		if err := c.echo(100); err != nil {
			return err
		}
		if err := c.write(frames); err != nil {
			return err
		}
		return c.ended(code, patience)
	}
}

func manyFrames(count int) (frames []byte) {
	for range count {
		frames = appendFrame(frames, opText, []byte("mask"), []byte("in a hurry"))
	}
	return frames
}

func liveAged(s *soak, _ *soakKind, c *soakClient) error {
	for {
		err := c.echo(100)
		if err == nil {
			err = c.rest(s.units(0.1, 0.5))
		}
		var end *closed
		switch {
		case errors.As(err, &end) && end.code == 1012:
			return c.bare().Close()
		case err != nil:
			return err
		}
	}
}

func liveGreedy(s *soak, _ *soakKind, c *soakClient) error {
	n := numbered{number: c.number}
	for i := range 4 {
		_, subscribe := n.topic(i)
		if err := c.send(opText, []byte(subscribe)); err != nil {
			return err
		}
	}
	return c.ended(1008, patience)
}

// liveDoubled comes a second time, which ends the first.
func liveDoubled(s *soak, k *soakKind, c *soakClient) error {
	again, err := s.dial(k, c.number)
	if err != nil {
		return err
	}
	defer again.Close()
	if err := c.ended(1008, patience); err != nil {
		return err
	}
	if err := again.some(s, 2); err != nil {
		return err
	}
	if err := again.leave(); err != nil {
		return err
	}
	s.ended(k, "client_close")
	return nil
}

// liveTwins says who it is, as somebody does who comes later.
func liveTwins(s *soak, k *soakKind, c *soakClient) error {
	name := fmt.Appendf(nil, `{"type":"IDENTIFY","irctcId":"%d"}`, c.number)
	if err := c.send(opText, name); err != nil {
		return err
	}
	if err := c.want(opText, name); err != nil {
		return err
	}
	twin, err := s.dial(k, c.number)
	if err != nil {
		return err
	}
	defer twin.Close()
	if err := twin.send(opText, name); err != nil {
		return err
	}
	if err := twin.ended(1008, patience); err != nil {
		return err
	}
	s.ended(k, "connection_limit")
	return c.leave()
}

// liveKilled has an operator end its session.
func liveKilled(s *soak, _ *soakKind, c *soakClient) error {
	if err := c.echo(100); err != nil {
		return err
	}
	who := url.Values{"identity": {fmt.Sprint(c.number)}}
	if err := s.process.tell(s.ctx, http.MethodDelete, "/v1/sessions?"+who.Encode()); err != nil {
		return err
	}
	return c.ended(1008, patience)
}

// comeHastily does not wait for the answer to its request, or not even for its end. Some
// know nothing of TLS where they should.
func comeHastily(s *soak, number int) error {
	address, _ := s.way(number)
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1}
	conn, err := dialer.DialContext(s.ctx, "tcp", address)
	if err != nil {
		return err
	}
	request := soakRequest(address, fmt.Sprintf("%s%s?client=%d", soakPath, hasty, number), "")
	if rand.IntN(2) == 0 {
		request = request[:rand.IntN(len(request))]
	}
	_, err = io.WriteString(conn, request)
	return errors.Join(err, conn.Close())
}

// readPage asks for a page by plain HTTP.
func (s *soak) readPage(ctx context.Context) error {
	size := rand.IntN(20_000)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s%d", s.process.address, pagePath, size), nil)
	if err != nil {
		return err
	}
	request.Close = rand.IntN(4) == 0
	answer, err := s.browser.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(got) != string(page(size))) {
		err = fmt.Errorf("page of %d bytes: %s, %d bytes", size, answer.Status, len(got))
	}
	return err
}
