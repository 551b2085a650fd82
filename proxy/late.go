package proxy

import (
	"context"
	"sync"
	"time"
)

// late are answers under way that fasthttp knows nothing of, so that it does not wait for
// them when it shuts down. The zero late is ready; any goroutine may use it.
type late struct {
	mu   sync.Mutex
	open map[*lateAnswer]struct{}
	over bool // nobody waits any more
}

// lateAnswer is one of them.
type lateAnswer struct {
	client *clientConn // to whom the end of the connection is that of the answer; nil: it is not
}

// begin notes an answer until end, which may be called more than once.
func (l *late) begin(client *clientConn) (end func()) {
	a := &lateAnswer{client}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[*lateAnswer]struct{})
	}
	l.open[a] = struct{}{}
	if l.over {
		a.cut()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, a)
	}
}

// latePause is how often somebody who waits looks.
const latePause = 10 * time.Millisecond

// wait returns when there are none. Those that are still under way when ctx is done are cut
// off: by a reset where a client would take the end for that of the answer.
func (l *late) wait(ctx context.Context) {
	again := time.NewTicker(latePause)
	defer again.Stop()
	defer l.cut()
	for !l.none() {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *late) none() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open) == 0
}

func (l *late) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for a := range l.open {
		a.cut()
	}
}

func (a *lateAnswer) cut() {
	if a.client != nil {
		_ = a.client.SetLinger(0)
		_ = a.client.Conn.Close() // and no more: the rest is for who writes the answer
	}
}
