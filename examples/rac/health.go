package main

import (
	"encoding/json"
	"net"
	"runtime"

	"github.com/valyala/fasthttp"
)

// health is what a child process tells of itself at /api/health. The real
// backend tells its memory and client count; the rest is the demonstration's.
type health struct {
	Heap          uint64 `json:"heap"`          // bytes in use after a collection
	Goroutines    int    `json:"goroutines"`    //
	Clients       int    `json:"clients"`       // sockets in the client set
	Subscriptions int    `json:"subscriptions"` // to PNRs and to broadcasts
	Timers        int    `json:"timers"`        // intervals that still tick
	Queued        uint64 `json:"queued"`        // bytes that wait for clients to read
	Unsubscribes  int    `json:"unsubscribes"`  // that clients, or wswarden, have sent
	MostPNRs      int    `json:"mostPnrs"`      // that one client has been subscribed to at a time
}

// measure collects garbage first, so that the heap is what is really held.
func measure() health {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return health{Heap: m.HeapAlloc, Goroutines: runtime.NumGoroutine()}
}

func (h health) write(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/json")
	if err := json.NewEncoder(ctx).Encode(h); err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
	}
}

// serveHealth tells the health of a process that has no HTTP of its own.
func serveHealth() (net.Addr, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &fasthttp.Server{Logger: silent{}, Handler: func(ctx *fasthttp.RequestCtx) { measure().write(ctx) }}
	go func() { _ = server.Serve(l) }() // it ends with the process
	return l.Addr(), nil
}
