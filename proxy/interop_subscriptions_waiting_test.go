package proxy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A client floods an upstream that reads nothing, and goes while many bytes wait for
// it. What upstream reads at last is as good as ever: nothing that was counted is
// lost on the way, nor what undoes it.
func TestInteropSubscriptionsWaiting(t *testing.T) {
	b, _ := startGreedy(t)
	for _, path := range []string{"/evict", "/reject"} {
		for _, e := range []string{"end of the stream", "reset", "close"} {
			t.Run(path[1:]+" "+e, func(t *testing.T) {
				name := fmt.Sprint(path[1:], "-", e[:3])
				r := rand.New(rand.NewPCG(1, 0))
				c, err := greedyDial(b.address, path+"?name="+name, r, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer c.conn.Close()
				c.frame(text, []byte(`{"type":"stall"}`))
				if err := c.flush(); err != nil {
					t.Fatal(err)
				}
				interopWait(t, b.node.stalled, "upstream to read no more")
				c.flood(greedyMessages{r, 1000})
				switch e {
				case "end of the stream":
					err = c.conn.CloseWrite()
				case "reset":
					err = errors.Join(c.conn.SetLinger(0), c.conn.Close())
				default:
					err = c.conn.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := fmt.Fprintln(b.node.commands, name); err != nil {
					t.Fatal(err)
				}
				if e == "end of the stream" { // it gets what waits for it
					if err := c.leave(); err != nil {
						t.Error(err)
					}
				}
				record, ok := b.node.ended(name)
				if fault := record.fault(); !ok || fault != "" {
					t.Errorf("%s: %+v", fault, record)
				}
			})
		}
	}
}
