//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// link is a network between two parts, which can be made to fail.
type link struct {
	t       *testing.T
	proxy   *toxiproxy.Proxy
	address string // of the part behind it
}

func newLink(t *testing.T, name, behind string) *link {
	t.Helper()
	quiet := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	l := &link{t: t, proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", behind)}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.proxy.Stop)
	l.address = l.proxy.Listen
	return l
}

// direction of what a toxic is applied to.
type direction string

const (
	toUpstream direction = "upstream"
	toClient   direction = "downstream"
)

// toxic is one of toxiproxy's, or silence. Its attributes are those of its type.
type toxic struct {
	Type       string         `json:"type"`
	Stream     direction      `json:"stream"`
	Attributes map[string]any `json:"attributes"`
	// Toxicity below 1 leaves some connections as they are; nil: 1.
	Toxicity *float64 `json:"toxicity,omitempty"`
}

func (l *link) add(all []toxic) {
	l.t.Helper()
	for _, toxic := range all {
		text, err := json.Marshal(toxic)
		if err != nil {
			l.t.Fatal(err)
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			l.t.Fatalf("%s: %v", text, err)
		}
	}
}

// heal takes all toxics away.
func (l *link) heal() { l.proxy.Toxics.ResetToxics(context.Background()) }

// arm has a link that breaks in a direction break by resets, not by ends of the streams.
// It has to be called before there are connections.
func (l *link) arm(to direction) {
	none := 0.0
	l.add([]toxic{{Type: "reset_peer", Stream: to, Toxicity: &none}})
}

// reset resets each connection of an armed link that carries anything in that direction
// from now on.
func (l *link) reset(to direction) {
	l.t.Helper()
	if _, err := l.proxy.Toxics.UpdateToxicJson("reset_peer_"+string(to), strings.NewReader(`{"toxicity": 1}`)); err != nil {
		l.t.Fatal(err)
	}
}

// silence is a toxic that passes on so many bytes, and none of those behind them.
type silence struct {
	Bytes int `json:"bytes"`
}

func (s *silence) NewState() any { left := s.Bytes; return &left }

func (s *silence) Pipe(stub *toxics.ToxicStub) {
	left := stub.State.(*int)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			c.Data = c.Data[:min(len(c.Data), *left)]
			if *left -= len(c.Data); len(c.Data) > 0 {
				stub.Output <- c
			}
		}
	}
}
