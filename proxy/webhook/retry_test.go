package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wswarden/policies"
)

func seconds(s ...float64) (all []time.Duration) {
	for _, x := range s {
		all = append(all, time.Duration(x*float64(time.Second)))
	}
	return all
}

// since returns when the requests came.
func since(began time.Time, requests []request) (all []time.Duration) {
	for _, r := range requests {
		all = append(all, r.at.Sub(began))
	}
	return all
}

func TestBackoffGrowsAndKeepsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := start(t), &script{answers: []http.HandlerFunc{status(500)}}
		f.inMemory(s)
		began := time.Now()
		f.hook("http://h", 10).Send(aReport())
		time.Sleep(time.Hour)

		// At most 30 s from one to the next.
		want := seconds(0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5)
		if got := since(began, s.requests()); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
		first := s.requests()[0]
		for i, r := range s.requests() {
			if r.header.Get("Idempotency-Key") != first.header.Get("Idempotency-Key") || r.body != first.body {
				t.Errorf("attempt %d: key %s, body %s", i, r.header.Get("Idempotency-Key"), r.body)
			}
		}
		if key := first.header.Get("Idempotency-Key"); len(key) < 20 || !strings.Contains(first.body, `"id":"`+key+`"`) {
			t.Errorf("key %q, body %s", key, first.body)
		}
		f.wantOutcomes(map[string]int{"dropped_attempts": 1})
		if n := f.queued(); n != 0 {
			t.Errorf("%d left in the queue", n)
		}
	})
}

func TestBackoffIsBoundedForAnyAttempt(t *testing.T) {
	for _, attempts := range []int{7, 8, 63, 64, 65, 1 << 40} {
		if got := backoff(attempts); got != maxBackoff {
			t.Errorf("after %d attempts: %v", attempts, got)
		}
	}
}

func TestJitterIsFull(t *testing.T) {
	low, high := time.Hour, time.Duration(0)
	for range 10_000 {
		wait := fullJitter(maxBackoff)
		low, high = min(low, wait), max(high, wait)
	}
	if low < 0 || low > maxBackoff/100 || high < maxBackoff*99/100 || high > maxBackoff {
		t.Errorf("from %v to %v", low, high)
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(in time.Duration) string { return time.Now().Add(in).UTC().Format(http.TimeFormat) }
		for _, test := range []struct {
			value string
			want  time.Duration
		}{
			{"", 0},
			{"0", 0},
			{"7", 7 * time.Second},
			{"120", maxRetryAfter},
			{"121", maxRetryAfter},
			{"4294967295", maxRetryAfter},
			{"99999999999999999999", 0},
			{"-7", 0},
			{"1.5", 0},
			{"soon", 0},
			{date(7 * time.Second), 7 * time.Second},
			{date(24 * time.Hour), maxRetryAfter},
			{date(-time.Hour), 0},
		} {
			if got := retryAfter(test.value); got != test.want {
				t.Errorf("%q: %v, want %v", test.value, got, test.want)
			}
		}
	})
}

func TestServerIsGivenTheTimeThatItAsksFor(t *testing.T) {
	for _, code := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			f, s := start(t), &script{answers: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "10")
				w.WriteHeader(code)
			}, status(200)}}
			f.inMemory(s)
			began := time.Now()
			f.hook("http://h", 2).Send(aReport())
			time.Sleep(time.Minute)
			// Not all together at the first moment allowed: the jitter comes on top.
			if got, want := since(began, s.requests()), seconds(0, 10.5); !slices.Equal(got, want) {
				t.Errorf("%d: attempts at %v, want %v", code, got, want)
			}
			f.wantOutcomes(map[string]int{"delivered": 1})
		})
	}
}

func TestTimeoutIsThatOfOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := start(t), &script{answers: []http.HandlerFunc{hang}}
		f.inMemory(s)
		began := time.Now()
		f.Hook("p", policies.Webhook{URL: "http://h", Timeout: 2 * time.Second, Attempts: 3}).Send(aReport())
		time.Sleep(time.Minute)
		if got, want := since(began, s.requests()), seconds(0, 2.5, 5.5); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
		if n := f.attempts("timeout"); n != 3 {
			t.Errorf("%d timeouts", n)
		}
	})
}

// An answer counts from its head on. Its body has what is left of the time.
func TestBodyThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := start(t), &script{answers: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}}}
		f.inMemory(s)
		f.Hook("p", policies.Webhook{URL: "http://h", Timeout: 2 * time.Second, Attempts: 3}).Send(aReport())
		time.Sleep(time.Second)
		f.wantOutcomes(nil)
		time.Sleep(2 * time.Second)
		f.wantOutcomes(map[string]int{"delivered": 1})
		if n := len(s.requests()); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// Those that wait for their next attempt hold up nobody, however many they are,
// and come back each at its own time.
func TestWaitingHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failing = 10 * maxWorkers
		var answers []http.HandlerFunc
		for i := range failing {
			answers = append(answers, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", fmt.Sprint(failing-i)) // the last one comes back first
				w.WriteHeader(503)
			})
		}
		f, s := start(t), &script{answers: append(answers, status(200))}
		f.inMemory(s)
		hook := f.hook("http://h", 2)
		for range failing {
			hook.Send(aReport())
		}
		synctest.Wait()
		hook.Send(aReport())
		synctest.Wait()
		f.wantOutcomes(map[string]int{"delivered": 1})
		if n := f.queued(); n != failing {
			t.Errorf("%d are waiting", n)
		}

		keys := func(requests []request) (keys []string) {
			for _, r := range requests {
				keys = append(keys, r.header.Get("Idempotency-Key"))
			}
			return keys
		}
		time.Sleep(time.Minute)
		f.wantOutcomes(map[string]int{"delivered": 1 + failing})
		first := keys(s.requests()[:failing])
		slices.Reverse(first)
		if again := keys(s.requests()[failing+1:]); !slices.Equal(first, again) {
			t.Errorf("they came back as\n%v, want\n%v", again, first)
		}
	})
}
