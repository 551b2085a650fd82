package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"wswarden/policies"
)

// Report tells of one session that has ended. It belongs to its maker until it is
// sent, and to nobody after that.
type Report struct {
	Session   uint64         // its id
	Policy    string         // its policy's name
	Identity  string         // who the client says it is; empty: unknown
	Client    netip.Addr     // the client's address; the zero Addr: unknown
	Cause     policies.Cause // why the session ended
	CloseCode uint16         // in the client's close frame; 0: none
	Opened    time.Time
	Closed    time.Time

	subscriptions []subscription
	truncated     int
	size          int // of the subscriptions, in bytes, roughly
}

// State of a subscription when its session ended.
type State string

const (
	// Live: upstream has confirmed it, or the dialect knows no confirmation.
	Live State = "live"
	// Pending: it was sent to upstream, which has not answered.
	Pending State = "pending"
)

type subscription struct {
	Topic        string `json:"topic"`
	State        State  `json:"state"`
	Unsubscribed bool   `json:"unsubscribed"`
}

// maxReport bounds a report's memory, and with it the request's body, in bytes.
const maxReport = 1 << 20

// What a report and a subscription take beside their texts, in bytes, roughly.
const (
	reportOverhead       = 256
	subscriptionOverhead = 64
)

// Add adds a subscription, in the order in which they were made. unsubscribed
// says whether it was undone on the wire. The topic is copied. In a report that
// holds as much as one may, the subscription is only counted.
func (r *Report) Add(topic []byte, state State, unsubscribed bool) {
	size := len(topic) + subscriptionOverhead
	if r.truncated > 0 || r.size+size > maxReport {
		r.truncated++ // from the first one on: what is told has no gaps
		return
	}
	r.size += size
	r.subscriptions = append(r.subscriptions, subscription{string(topic), state, unsubscribed})
}

// bytes estimates what the report takes.
func (r *Report) bytes() int {
	return reportOverhead + len(r.Policy) + len(r.Identity) + r.size
}

// document is a report as it goes over the wire.
type document struct {
	ID            string         `json:"id"`
	Session       string         `json:"session"`
	Policy        string         `json:"policy"`
	Identity      string         `json:"identity,omitempty"`
	Client        string         `json:"client,omitempty"`
	Cause         string         `json:"cause"`
	CloseCode     uint16         `json:"close_code"`
	Opened        string         `json:"opened"`
	Closed        string         `json:"closed"`
	Subscriptions []subscription `json:"subscriptions"`
	Truncated     int            `json:"truncated,omitempty"`
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// encode returns the report as JSON. What in a text is not UTF-8 is replaced.
func (r *Report) encode(id string) []byte {
	d := document{
		ID:            id,
		Session:       fmt.Sprintf("%016x", r.Session), // as in the log
		Policy:        r.Policy,
		Identity:      r.Identity,
		Cause:         r.Cause.String(),
		CloseCode:     r.CloseCode,
		Opened:        r.Opened.UTC().Format(timeFormat),
		Closed:        r.Closed.UTC().Format(timeFormat),
		Subscriptions: r.subscriptions,
		Truncated:     r.truncated,
	}
	if r.Client.IsValid() {
		d.Client = r.Client.String()
	}
	if d.Subscriptions == nil {
		d.Subscriptions = []subscription{} // [], not null
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	_ = e.Encode(d) // texts and numbers cannot fail
	return body.Bytes()
}
