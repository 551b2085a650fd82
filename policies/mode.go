package policies

// Mode says whether what a rule decides is done.
type Mode string

const (
	// ModeEnforce: it is done.
	ModeEnforce Mode = "enforce"
	// ModeObserve: it is counted and told, and nothing is touched.
	ModeObserve Mode = "observe"
)

// Observes reports whether what a rule with that mode, of this policy, decides is not
// to be done. An empty mode is the policy's.
func (p *Policy) Observes(rule Mode) bool { return p.Mode == ModeObserve || rule == ModeObserve }

// OnReload says what becomes of live sessions for which a reloaded configuration has
// no room any more.
type OnReload string

const (
	// OnReloadKeep: subscriptions over a lowered limit stay, and so do the sessions of
	// a policy that is gone, under their last rules.
	OnReloadKeep OnReload = "keep"
	// OnReloadEnforce: the oldest subscriptions are undone, and the sessions of a
	// policy that is gone end, spread out as in a drain.
	OnReloadEnforce OnReload = "enforce"
)
