package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/proxy/admin/api"
)

func TestID(t *testing.T) {
	for _, row := range []struct {
		text string
		id   api.ID
	}{
		{"0000000000000000", 0},
		{"00000000000000ff", 255},
		{"ccdb8a82f9ca75cf", 0xccdb8a82f9ca75cf},
		{"ffffffffffffffff", 1<<64 - 1},
	} {
		if id, err := api.ParseID(row.text); err != nil || id != row.id || id.String() != row.text {
			t.Errorf("%s: %s, %v", row.text, id, err)
		}
		text, err := json.Marshal(row.id)
		var back api.ID
		if err != nil || string(text) != `"`+row.text+`"` || json.Unmarshal(text, &back) != nil || back != row.id {
			t.Errorf("%s: in JSON %s, and back %s", row.text, text, back)
		}
	}
	if id, err := api.ParseID("CCDB8A82F9CA75CF"); err != nil || id.String() != "ccdb8a82f9ca75cf" {
		t.Errorf("in capitals: %s, %v", id, err)
	}
	for _, text := range []string{"", "1", "000000000000000", "00000000000000000", "+000000000000001", "0x00000000000001", "00000000_0000001", "000000000000000g"} {
		if id, err := api.ParseID(text); err == nil {
			t.Errorf("%q is %s", text, id)
		}
	}
}

func TestSeconds(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 90 * time.Second, 12*time.Hour + 5*time.Microsecond} {
		if back := api.InSeconds(d).Duration(); (back - d).Abs() > time.Microsecond {
			t.Errorf("%v comes back as %v", d, back)
		}
	}
	if text, _ := json.Marshal(api.InSeconds(1500 * time.Millisecond)); string(text) != "1.5" {
		t.Errorf("%s", text)
	}
}

func TestFilterOfAQuery(t *testing.T) {
	hash := api.HashIdentity("alice")
	for query, want := range map[string]api.Filter{
		"":                                {},
		"limit=5&sort=age":                {}, // not its business
		"policy=a+b":                      {Policy: "a b"},
		"identity=alice":                  {Identity: hash},
		"identity_hash=" + hash:           {Identity: hash},
		"identity_hash=ABCDEF0123456789":  {Identity: "abcdef0123456789"},
		"topic=%2Fa":                      {Topic: "/a"},
		"state=waiting":                   {State: api.StateWaiting},
		"older_than=1h30m":                {OlderThan: 90 * time.Minute},
		"idle_for=1ms":                    {IdleFor: time.Millisecond},
		"address=10.1.2.3":                {Address: netip.MustParsePrefix("10.1.2.3/32")},
		"address=10.1.2.3/8":              {Address: netip.MustParsePrefix("10.0.0.0/8")},
		"address=::ffff:10.1.2.3":         {Address: netip.MustParsePrefix("10.1.2.3/32")},
		"address=::ffff:10.1.2.3/104":     {Address: netip.MustParsePrefix("10.0.0.0/8")},
		"address=2001:db8::1":             {Address: netip.MustParsePrefix("2001:db8::1/128")},
		"address=fe80::1%25eth0":          {Address: netip.MustParsePrefix("fe80::1/128")},
		"address=::/0":                    {Address: netip.MustParsePrefix("::/0")},
		"policy=x&state=open&address=::1": {Policy: "x", State: api.StateOpen, Address: netip.MustParsePrefix("::1/128")},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := api.ParseFilter(values)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", query, got, err, want)
		}
		if back, err := api.ParseFilter(got.Query()); err != nil || back != got {
			t.Errorf("%s: by way of %s it becomes %+v, %v", query, got.Query().Encode(), back, err)
		}
	}
}

func TestBadFilters(t *testing.T) {
	for _, row := range []struct{ query, field string }{
		{"policy=", "policy"},
		{"policy=a&policy=a", "policy"},
		{"identity=a&identity_hash=abcdef0123456789", "identity_hash"},
		{"identity_hash=abcdef012345678", "identity_hash"},
		{"identity_hash=abcdef012345678x", "identity_hash"},
		{"address=localhost", "address"},
		{"address=10.1.2.3/33", "address"},
		{"address=10.1.2.3:80", "address"},
		{"address=fe80::1%25eth0/64", "address"},
		{"topic=", "topic"},
		{"state=Open", "state"},
		{"older_than=5", "older_than"},
		{"older_than=0s", "older_than"},
		{"older_than=-1h", "older_than"},
		{"idle_for=1d", "idle_for"},
		{"state=x&policy=", "policy"}, // the first of FilterParams
	} {
		values, err := url.ParseQuery(row.query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = api.ParseFilter(values)
		var field *api.FieldError
		if !errors.As(err, &field) || field.Field != row.field || field.Text == "" {
			t.Errorf("%s: %v, want an error about %s", row.query, err, row.field)
		}
	}
}

func TestFits(t *testing.T) {
	s := api.Session{
		Policy: "staff", Identity: "abcdef0123456789", Address: netip.MustParseAddr("10.1.2.3"), State: api.StateOpen,
		Age: 90, Idle: 5,
	}
	for query, fits := range map[string]bool{
		"":                               true,
		"policy=staff":                   true,
		"policy=staf":                    false,
		"identity_hash=abcdef0123456789": true,
		"identity_hash=abcdef0123456780": false,
		"identity=abcdef0123456789":      false, // is hashed
		"address=10.1.0.0/16":            true,
		"address=10.2.0.0/16":            false,
		"address=::/0":                   false,
		"address=0.0.0.0/0":              true,
		"state=open":                     true,
		"state=closing":                  false,
		"older_than=90s":                 true,
		"older_than=90001ms":             false,
		"idle_for=5s":                    true,
		"idle_for=6s":                    false,
		"topic=x":                        true, // not its business
		"policy=staff&idle_for=6s":       false,
	} {
		values, _ := url.ParseQuery(query)
		f, err := api.ParseFilter(values)
		if err != nil {
			t.Fatal(err)
		}
		if f.Fits(&s) != fits {
			t.Errorf("%s: %v", query, !fits)
		}
	}
}

func TestSortOfAQuery(t *testing.T) {
	for _, s := range api.Sorts() {
		for _, text := range []api.Sort{s, "-" + s} {
			if got, err := api.ParseSort(string(text)); err != nil || got != text {
				t.Errorf("%s: %s, %v", text, got, err)
			}
		}
	}
	for _, text := range []string{"-", "--id", "+id", "ID", "id,age", " id"} {
		_, err := api.ParseSort(text)
		var field *api.FieldError
		if !errors.As(err, &field) || field.Field != "sort" || !strings.Contains(err.Error(), "subscriptions") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Every order puts the least first, with a minus the greatest, and those that are alike
// by id.
func TestOrders(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	least := api.Session{
		ID: 1, Policy: "a", Address: netip.MustParseAddr("10.0.0.9"), Identity: "0", State: api.StateClosing,
		Opened: now, Active: now, // the youngest, the least idle
	}
	most := api.Session{
		ID: 2, Policy: "b", Address: netip.MustParseAddr("10.0.0.10"), Identity: "1", State: api.StateOpen,
		Opened: now.Add(-time.Hour), Active: now.Add(-time.Minute),
		ClientToUpstream: api.Flow{Messages: 1}, UpstreamToClient: api.Flow{Bytes: 1},
		Ping: 0.1, Subscriptions: 1,
	}
	again := least
	again.ID = 3
	for _, s := range append(api.Sorts(), "") {
		all := []api.Session{again, most, least}
		want := []api.ID{1, 3, 2}
		if s == "id" || s == "" {
			want = []api.ID{1, 2, 3}
		}
		for _, sort := range []api.Sort{s, "-" + s} {
			if sort == "-" {
				continue
			}
			slices.SortFunc(all, func(a, b api.Session) int { return sort.Compare(&a, &b) })
			if got := []api.ID{all[0].ID, all[1].ID, all[2].ID}; !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", sort, got, want)
			}
			slices.Reverse(want)
		}
	}
}

// The JSON of each type can be read back, and what there is none of is left out.
func TestJSON(t *testing.T) {
	s := api.Session{ID: 7, Policy: "p", State: api.StateOpen}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"identity", "cause", "ping_seconds"} {
		if strings.Contains(string(text), `"`+absent) {
			t.Errorf("%s is in %s", absent, text)
		}
	}
	detail := api.Detail{Session: s, SubscribedTo: []api.Subscription{{Topic: "x", State: "live"}}}
	text, err = json.Marshal(detail)
	var back api.Detail
	if err != nil || json.Unmarshal(text, &back) != nil || fmt.Sprint(back) != fmt.Sprint(detail) {
		t.Errorf("%s comes back as %+v, %v", text, back, err)
	}
}
