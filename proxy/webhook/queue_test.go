package webhook

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wswarden/policies"
)

// A webhook that never answers holds up neither the sender nor other webhooks.
func TestSlowServerHoldsUpNobody(t *testing.T) {
	slow := httptest.NewServer(http.HandlerFunc(hang))
	defer slow.Close()
	quick := httptest.NewServer(status(200))
	defer quick.Close()
	f := start(t)
	stuck, well := f.hook(slow.URL, 1), f.hook(quick.URL, 1)
	for range 2 * maxReports {
		stuck.Send(aReport())
	}
	well.Send(aReport())
	f.until(func() bool { return f.outcome("delivered") == 1 })
	if n := f.outcome("dropped_queue_full"); n != maxReports {
		t.Errorf("%d of %d dropped", n, 2*maxReports)
	}
	f.closeWithin(0)
	f.wantOutcomes(map[string]int{"delivered": 1, "dropped_queue_full": maxReports, "dropped_shutdown": maxReports})
}

func TestQueueIsBounded(t *testing.T) {
	const big = 1 << 20
	for _, test := range []struct {
		name string
		make func() *Report
		fit  int
	}{
		{"by count", aReport, maxReports},
		{"by bytes", func() *Report { return sized(big) }, maxBytes / big},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := start(t), &script{answers: []http.HandlerFunc{status(503)}}
				f.inMemory(s)
				hook := f.hook("http://h", 2)
				for range test.fit {
					hook.Send(test.make())
				}
				f.wantOutcomes(nil)
				hook.Send(test.make())
				f.wantOutcomes(map[string]int{"dropped_queue_full": 1})
				synctest.Wait()
				hook.Send(test.make()) // those that wait for another attempt count as well
				f.wantOutcomes(map[string]int{"dropped_queue_full": 2})
				if n := f.queued(); n != test.fit {
					t.Errorf("%d in the queue", n)
				}

				time.Sleep(time.Minute)
				synctest.Wait()
				f.wantOutcomes(map[string]int{"dropped_queue_full": 2, "dropped_attempts": test.fit})
				if q := hook.queue; q.reports != 0 || q.bytes != 0 || q.workers != 0 || f.queued() != 0 {
					t.Errorf("left: %d reports, %d bytes, %d workers, gauge %d", q.reports, q.bytes, q.workers, f.queued())
				}
				hook.Send(test.make()) // there is room again
				if n := f.outcome("dropped_queue_full"); n != 2 {
					t.Errorf("%d dropped", n)
				}
			})
		})
	}
}

// A URL has so many attempts at a time and no more, shared by its policies.
func TestWorkersAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := start(t), &script{answers: []http.HandlerFunc{hang}}
		f.inMemory(s)
		for _, policy := range []string{"a", "b"} {
			hook := f.Hook(policy, policies.Webhook{URL: "http://h", Timeout: time.Minute, Attempts: 1})
			for range maxWorkers {
				hook.Send(aReport())
			}
		}
		synctest.Wait()
		if n := len(s.requests()); n != maxWorkers {
			t.Errorf("%d attempts at a time", n)
		}
		time.Sleep(time.Hour)
		for _, policy := range []string{"a", "b"} {
			if n := f.metric("wswarden_webhook_reports_total", policy, "dropped_attempts"); n != maxWorkers {
				t.Errorf("policy %s: %v dropped", policy, n)
			}
		}
	})
}

func TestClose(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []http.HandlerFunc
		sent    int
		after   time.Duration // from Send to Close
		took    time.Duration // by Close, which may take 5 s
		asked   int           // how often
		want    map[string]int
	}{
		{"with nothing to do", []http.HandlerFunc{status(200)}, 0, 0, 0, 0, nil},
		{"sends what was just taken", []http.HandlerFunc{status(200)}, 100, 0, 0, 100, map[string]int{"delivered": 100}},
		{"does not wait for the backoff", []http.HandlerFunc{status(503), status(200)}, 1, time.Millisecond, 0, 2, map[string]int{"delivered": 1}},
		{"gives one last attempt", []http.HandlerFunc{status(503)}, 2, time.Millisecond, 0, 4, map[string]int{"dropped_shutdown": 2}},
		{"which may be the last anyway", []http.HandlerFunc{status(503)}, 1, 600 * time.Millisecond, 0, 3, map[string]int{"dropped_attempts": 1}},
		{"takes a refusal for what it is", []http.HandlerFunc{status(400)}, 1, 0, 0, 1, map[string]int{"rejected": 1}},
		{"waits no longer than it may", []http.HandlerFunc{hang}, 10 * maxWorkers, time.Second, 5 * time.Second, maxWorkers,
			map[string]int{"dropped_shutdown": 10 * maxWorkers}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := start(t), &script{answers: test.answers}
				f.inMemory(s)
				hook := f.hook("http://h", 3)
				for range test.sent {
					hook.Send(aReport())
				}
				time.Sleep(test.after)
				began := time.Now()
				f.closeWithin(5 * time.Second)
				if took := time.Since(began); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if n := len(s.requests()); n != test.asked {
					t.Errorf("%d requests, want %d", n, test.asked)
				}
				f.wantOutcomes(test.want)
				if n := f.queued(); n != 0 {
					t.Errorf("%d left in the queue", n)
				}
			})
		})
	}
}

func TestNothingIsTakenAfterClose(t *testing.T) {
	f := start(t)
	before := f.hook("http://h", 1)
	f.Close(context.Background())
	f.Close(context.Background()) // once more does no harm
	before.Send(aReport())
	f.hook("http://h", 1).Send(aReport())
	f.hook("http://other", 1).Send(aReport())
	f.wantOutcomes(map[string]int{"dropped_shutdown": 3})
}

func TestNoWebhook(t *testing.T) {
	f := start(t)
	hook := f.Hook("p", policies.Webhook{Timeout: time.Second, Attempts: 5})
	if hook != nil {
		t.Error("there is one without a URL")
	}
	hook.Send(aReport()) // goes nowhere
	if len(f.queues) != 0 {
		t.Error("there is a queue")
	}
}

// A rate needs the zero before the first one.
func TestCountersBeginAtZero(t *testing.T) {
	f := start(t)
	f.hook("http://h", 1)
	f.hook("http://h", 1) // the same policy once more, as after a reload
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, family := range families {
		series[family.GetName()] = len(family.GetMetric())
	}
	if series["wswarden_webhook_reports_total"] != int(outcomes) || series["wswarden_webhook_attempts_total"] != int(results) {
		t.Errorf("series: %v", series)
	}
}

func TestLossesAreToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		f.inMemory(status(404))
		hook := f.hook("http://who:secret@h/path?token=secret", 1)
		report := aReport()
		report.Add([]byte("secret topic"), Live, true)
		want := func(when string, lines ...string) {
			t.Helper()
			synctest.Wait()
			got := f.log.lines()
			if len(got) != len(lines) {
				t.Fatalf("%s: %d lines: %v", when, len(got), got)
			}
			for i, line := range lines {
				if !strings.HasSuffix(got[i], line) {
					t.Errorf("%s: %s\nwant %s", when, got[i], line)
				}
			}
		}
		const line = `level=WARN msg="webhook reports not delivered" policy=p outcome=rejected reason="status 404" reports=`
		hook.Send(report)
		want("the first, at once", line+"1")
		for range 7 {
			hook.Send(report)
		}
		want("others, too soon", line+"1")
		time.Sleep(lossInterval)
		hook.Send(report)
		want("later", line+"1", line+"8")
		hook.Send(report)
		f.closeWithin(time.Second)
		want("the rest, at the end", line+"1", line+"8", line+"1")
		for _, secret := range []string{"secret", "tte", "2001:db8"} {
			if strings.Contains(strings.Join(f.log.lines(), "\n"), secret) {
				t.Errorf("the log tells %q", secret)
			}
		}
	})
}

// Send while the webhook does not answer: most reports find the queue full.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(hang))
	defer server.Close()
	f := start(b)
	hook := f.hook(server.URL, 1)
	report := aReport()
	b.ReportAllocs()
	for b.Loop() {
		hook.Send(report)
	}
	f.closeWithin(0)
}
