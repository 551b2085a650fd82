package proxy

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"wswarden/proxy/upstreams"
)

// dial connects to the next address, for its share of the time that is left; err
// is why the one before could not be reached.
func (o *opening) dial(err error) {
	for len(o.addresses) > 0 {
		o.leaveAddress()
		o.unsent = o.request
		now := o.worker.loop.Now()
		limit := (o.dialUntil - now) / time.Duration(len(o.addresses))
		if limit <= 0 { // no address is to blame
			err = errNotTaken
			break
		}
		o.worker.loop.Set(&o.timer, now+limit)
		o.address, o.addresses = o.addresses[0], o.addresses[1:]
		o.address.Enter()
		switch {
		case o.address.Server.TLS:
			o.dialAway(limit)
			return
		case o.address.Network == "unix":
			err = o.worker.loop.ConnectUnix(&o.upstream, o.address.Path, o)
		default:
			err = wantOfPorts(o.worker.loop.Connect(&o.upstream, o.address.AddrPort, o.via.tune, o), o.address)
		}
		switch {
		case err == nil:
			o.Ready() // on the same machine it is connected by now
			return
		case isFull(err):
			o.dialAway(limit)
			return
		}
		o.unreached(err)
	}
	switch {
	case err == errNotTaken:
		o.fail(errNotTaken, nil)
	case errors.Is(err, errNoPort):
		o.fail(errExhausted, err)
	case isShortage(err):
		o.fail(errExhausted, fmt.Errorf("%w: each session needs two; raise ulimit -n", err))
	default:
		o.fail(errUnreachable, err)
	}
}

// errNoPort says that as many sessions are at an address as there are ports to come from.
var errNoPort = errors.New("each session with an address of upstream's needs a port of wswarden's own, and none is left; widen net.ipv4.ip_local_port_range, or give upstream several addresses")

// wantOfPorts is why a dial failed, and errNoPort where it is for that: an address of a kind
// that the machine does not have fails with the same error, but has no sessions.
func wantOfPorts(err error, address *upstreams.Address) error {
	if errors.Is(err, syscall.EADDRNOTAVAIL) && address.Sessions() > 1 { // one is this dial's
		return fmt.Errorf("%w: %w", errNoPort, err)
	}
	return err
}

// unreached notes that the address could not be connected to.
func (o *opening) unreached(err error) {
	if !isShortage(err) {
		o.address.Failed(err)
	}
}

// leaveAddress tells the address that no session comes of it.
func (o *opening) leaveAddress() {
	if o.address != nil {
		o.address.Leave()
		o.address = nil
	}
}

// dialling is a connection to upstream that a goroutine makes for an opening: TLS, whose
// handshake a loop cannot wait for, or a unix socket whose queue is full.
type dialling struct {
	cancel context.CancelFunc
}

// dialAway has a goroutine connect to the address. The opening's timer is set, too, and
// comes first where the system does not let go of a dial in time.
func (o *opening) dialAway(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	d := &dialling{cancel}
	o.dialling = d
	address, header := o.address, o.request[:o.header]
	go func() {
		defer cancel()
		conn, err := o.via.connectPatiently(ctx, address, header)
		var upstream detached
		if err == nil {
			upstream, err = detach(conn)
		}
		taken := o.worker.loop.Do(func() {
			switch {
			case o.dialling != d:
				if err == nil {
					upstream.close()
				}
			case err != nil:
				o.dialling = nil
				if timedOut(err) {
					err = errNotTaken
				}
				o.unreached(err)
				o.dial(err)
			default:
				o.dialling = nil
				o.dialled(upstream)
			}
		})
		if taken != nil && err == nil {
			upstream.close()
		}
	}()
}

// dialled goes on with a connection that was made.
func (o *opening) dialled(upstream detached) {
	o.unsent = o.request[o.header:] // connect has sent that
	if err := upstream.add(o.worker.loop, &o.upstream, o); err != nil {
		o.dial(err)
		return
	}
	o.Ready()
}

// abandonDial has a connection closed that is not there yet, if there is to be one.
func (o *opening) abandonDial() {
	if o.dialling != nil {
		o.dialling.cancel()
		o.dialling = nil
	}
}
