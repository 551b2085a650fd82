package admin

import (
	"net"
	"sync"
)

// maxConnections is how many there are at a time, whether they have shown a token or
// not: each takes a descriptor that a session could have.
const maxConnections = 256

// fewListener closes at once what is too much.
type fewListener struct {
	net.Listener
	open gate
}

func (l fewListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.tryEnter() {
			return &fewConn{conn, sync.OnceFunc(l.open.leave)}, nil
		}
		_ = conn.Close()
	}
}

// fewConn makes room for another one when it is closed.
type fewConn struct {
	net.Conn
	leave func()
}

func (c *fewConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
