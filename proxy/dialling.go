package proxy

import (
	"context"
	"time"
)

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
