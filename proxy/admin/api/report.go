package api

import "time"

// Reloaded is the answer to POST /v1/reload that was successful.
type Reloaded struct {
	// Changed: the configuration differs from the one before.
	Changed bool `json:"changed"`
	// Policies and listeners by what has become of them; never null.
	Policies  Changes `json:"policies"`
	Listeners Changes `json:"listeners"`
	// Settings are the other keys whose values have changed, such as drain.timeout; of
	// admin.token_file, what is in the file. Never null.
	Settings []string `json:"settings"`
	// Sessions that have moved to new values, and those that end, spread out, as their
	// policy is gone.
	Sessions int `json:"sessions"`
	Ending   int `json:"ending"`
	// Took is how long that took.
	Took Seconds `json:"took_seconds"`
	// Configuration that was in use before.
	Before Configuration `json:"before"`
}

// Changes are names, in the order of the configuration; none of the lists is null.
type Changes struct {
	Added   []string `json:"added"`
	Changed []string `json:"changed"`
	Removed []string `json:"removed"`
}

// Configuration tells of the one in use.
type Configuration struct {
	// Loaded is when it was read, and Why; later reads have found the same.
	Loaded time.Time `json:"loaded"`
	Why    string    `json:"why"`
	// Failed is when a later one was refused; absent: none was.
	Failed *time.Time `json:"failed,omitempty"`
	// Problems of that one, a line each, and the place and key of the first: that may
	// be told to those who have no token, and what is wrong with a value may not.
	Problems []string `json:"problems,omitempty"`
	First    string   `json:"first,omitempty"`
}

// Report is the answer to GET /v1/report: what the rules have met in the sessions
// that lived within a time, and what these would have needed.
type Report struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Policies in their order; never null.
	Policies []PolicyReport `json:"policies"`
}

// PolicyReport is that of one policy.
type PolicyReport struct {
	Policy string `json:"policy"`
	// Gone: no configuration has the policy any more.
	Gone bool `json:"gone,omitempty"`
	// Sessions of which it tells. Forgotten: that many others have ended meanwhile of
	// which nothing is known any more.
	Sessions int `json:"sessions"`
	// Judged are those of them that have lived under the rules as they are: RuleReport's
	// Hit and Refused are of these. Since is when the rules became so; absent: before
	// Report.From.
	Judged    int        `json:"judged"`
	Since     *time.Time `json:"since,omitempty"`
	Forgotten int        `json:"forgotten,omitempty"`
	// Rules that are on or have a measure; never null.
	Rules []RuleReport `json:"rules"`
}

// RuleReport is that of one rule.
type RuleReport struct {
	// Rule is the policy's key, such as subscriptions.max; Setting is its value, as in
	// a configuration. Empty: it is off.
	Rule    string `json:"rule"`
	Setting string `json:"setting,omitempty"`
	// Mode is enforce or observe.
	Mode string `json:"mode"`
	// Hit is how many of the sessions have met it: those that would have been ended,
	// refused or cut back if it had been enforced, or have been.
	Hit int `json:"hit"`
	// Refused is how many handshakes it has refused: of these there are no sessions.
	Refused int `json:"refused,omitempty"`
	// Unit of Needed: empty for a count, else seconds, bytes, per_second or
	// bytes_per_second.
	Unit string `json:"unit,omitempty"`
	// Needed is what sessions would have needed for the rule not to be met: of so many
	// in a hundred, at most that; absent: it is not known.
	Needed *Percentiles `json:"needed,omitempty"`
}

// Percentiles of a measure of sessions, by nearest rank.
type Percentiles struct {
	// Sessions of which it is known.
	Sessions int `json:"sessions"`

	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}
