package admin

import (
	"context"
	"iter"
	"time"

	"wswarden/proxy/admin/api"
)

// Source is what the admin API tells of and acts upon. Its methods may be called
// from any goroutine.
type Source interface {
	// Sessions yields those that fit, in no order, in batches that are valid until
	// the next one. Nothing waits for the caller, who may take any time. A session
	// that begins or ends meanwhile is there or not; none is there twice. It ends
	// early when ctx is done.
	Sessions(ctx context.Context, f api.Filter) iter.Seq[[]api.Session]
	// Session returns one; false if there is none.
	Session(ctx context.Context, id api.ID) (api.Detail, bool)
	// EndOne and End begin to end a session, or all that fit, and return how many. One
	// that ends already is none of them. Code 0 is that of the cause killed, an empty
	// reason its word.
	EndOne(ctx context.Context, id api.ID, code uint16, reason string) (ended int, found bool)
	End(ctx context.Context, f api.Filter, code uint16, reason string) int
	// Topics returns all that there are, in no order, of the sessions that fit.
	Topics(ctx context.Context, f api.Filter) (topics []api.Topic, truncated bool)
	// Events begins with the latest replay events of EventEnded, the oldest first,
	// and goes on until ctx is done. Who reads too slowly finds an EventLost.
	Events(ctx context.Context, replay int) <-chan api.Event
	// Drain begins to drain, as SIGTERM does.
	Drain() api.Draining
	Policies() []api.Policy
	// Reload reads the configuration again, as SIGHUP does. The error is ErrDraining,
	// or says what is wrong with it, a line for each problem; then nothing has changed.
	Reload(ctx context.Context) (api.Reloaded, error)
	// Configuration tells of the one in use, and of a later one that was refused.
	Configuration() api.Configuration
	// Report tells what the rules have met, and what sessions needed, in the time up to
	// now; policy, if it is not empty, names the only one. None of that name: it tells
	// of none.
	Report(ctx context.Context, policy string, window time.Duration) api.Report
	// Ready says whether new sessions would be admitted, and reach upstream.
	Ready(ctx context.Context) api.Readiness
}

// MaxReplay is how many events can be replayed.
const MaxReplay = 256
