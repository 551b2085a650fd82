package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestReportOnTheWire(t *testing.T) {
	full := aReport()
	full.Add([]byte("1722500001"), Live, true)
	full.Add([]byte("a <b> & \"c\" \n é \xff"), Pending, false)
	full.truncated = 3

	for _, test := range []struct {
		name   string
		report *Report
		want   string
	}{
		{"with everything", full, `{"id":"ID","session":"000000000000beef","policy":"passengers","identity":"\"A\" <tte>",` +
			`"client":"2001:db8::7","cause":"client_lost","close_code":1001,` +
			`"opened":"2026-03-03T23:36:07.008Z","closed":"2026-03-04T05:06:08.000Z",` +
			`"subscriptions":[{"topic":"1722500001","state":"live","unsubscribed":true},` +
			`{"topic":"a <b> & \"c\" \n é \ufffd","state":"pending","unsubscribed":false}],"truncated":3}`},
		{"with nothing that can be missing", &Report{Policy: "p"}, `{"id":"ID","session":"0000000000000000","policy":"p",` +
			`"cause":"","close_code":0,"opened":"0001-01-01T00:00:00.000Z","closed":"0001-01-01T00:00:00.000Z","subscriptions":[]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.TrimSuffix(string(test.report.encode("ID")), "\n"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// Of more than fits, the beginning is told and the rest is counted.
func TestReportIsBounded(t *testing.T) {
	r := new(Report)
	big := bytes.Repeat([]byte("x"), maxReport/2)
	r.Add([]byte("first"), Live, true)
	r.Add(big, Live, true)
	r.Add(big, Live, true) // does not fit
	r.Add([]byte("would fit, but stands behind one that does not"), Live, true)

	if r.size > maxReport {
		t.Errorf("%d bytes", r.size)
	}
	var told document
	if err := json.Unmarshal(r.encode("ID"), &told); err != nil {
		t.Fatal(err)
	}
	if len(told.Subscriptions) != 2 || told.Truncated != 2 || told.Subscriptions[1].Topic != string(big) {
		t.Errorf("%d subscriptions, %d truncated", len(told.Subscriptions), told.Truncated)
	}
}

func TestTopicIsCopied(t *testing.T) {
	topic := []byte("topic")
	r := new(Report)
	r.Add(topic, Live, true)
	copy(topic, "XXXXX")
	if !strings.Contains(string(r.encode("ID")), `"topic"`+`:"topic"`) {
		t.Errorf("%s", r.encode("ID"))
	}
}

func TestTimesHaveMilliseconds(t *testing.T) {
	at, err := time.Parse(time.RFC3339, "2026-01-02T03:04:05.6Z")
	if err != nil {
		t.Fatal(err)
	}
	if got := at.Format(timeFormat); got != "2026-01-02T03:04:05.600Z" {
		t.Error(got)
	}
}
