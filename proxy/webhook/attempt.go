package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The backoff before a report's second attempt, and the longest there is. The
// wait itself is anything from nothing to that, by chance, so that what has
// failed together does not come back together.
const (
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 30 * time.Second
)

const (
	// maxRetryAfter bounds what a server may ask for.
	maxRetryAfter = 2 * time.Minute
	// maxAnswer is how many bytes of an answer's body are read, for nothing but
	// the connection's next use.
	maxAnswer = 64 << 10
	// dialTimeout also bounds the TLS handshake. An attempt may end before it,
	// and leave the connection to the next one.
	dialTimeout = 10 * time.Second
	// maxReason bounds what is told of an error, in bytes: it may hold what the
	// server has sent.
	maxReason = 200
)

// backoff returns the bound for the wait after that many attempts.
func backoff(attempts int) time.Duration {
	const doublings = 6 // that many lead beyond the maximum
	return min(firstBackoff<<min(attempts-1, doublings), maxBackoff)
}

// jitter picks a wait that is not above the bound, which is above zero.
type jitter func(bound time.Duration) time.Duration

func fullJitter(bound time.Duration) time.Duration { return rand.N(bound + 1) }

// newClient returns a client that goes where the URL says: not through a proxy
// named by the environment, and not on to where an answer redirects to. When ctx
// is done it makes no connection any more.
func newClient(ctx context.Context) *http.Client {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer(ctx, new(net.Dialer)),
			DialTLSContext:         dialer(ctx, new(tls.Dialer)),
			Protocols:              http1,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    maxWorkers,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		},
	}
}

type contextDialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// dialer dials as long as ctx, and not the transport's own context, allows it:
// that one outlives the request.
func dialer(ctx context.Context, d contextDialer) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return d.DialContext(ctx, network, address)
	}
}

// answer is what an attempt has brought.
type answer struct {
	result result
	reason string        // for the log, unless it was accepted
	after  time.Duration // what the server asks to be waited
}

// attempt makes one attempt. net/http makes another one by itself if a connection
// kept from earlier turns out to be closed: the Idempotency-Key allows it.
func (r *Reporter) attempt(d *delivery) answer {
	if d.id == "" {
		d.id = r.newID()
	}
	ctx, cancel := context.WithTimeout(r.ctx, d.hook.conf.Timeout)
	defer cancel()
	// Encoded for each attempt: a body kept for the next could be far longer than
	// what the queue counts.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.hook.conf.URL, bytes.NewReader(d.report.encode(d.id)))
	if err != nil {
		return answer{result: refused, reason: "not a URL"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", d.id)
	request.Header.Set("User-Agent", "wswarden")
	response, err := r.client.Do(request)
	if err != nil {
		return r.failure(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	return judge(response)
}

// failure tells what kept an attempt from being answered.
func (r *Reporter) failure(err error) answer {
	if r.ctx.Err() != nil {
		return answer{result: aborted}
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, in which there may be a secret
	}
	result := connectionError
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		result = timedOut
	}
	reason := err.Error()
	return answer{result: result, reason: reason[:min(len(reason), maxReason)]}
}

// judge tells what an answer means.
func judge(response *http.Response) answer {
	code := response.StatusCode
	a := answer{result: refused, reason: fmt.Sprintf("status %d", code)}
	switch {
	case code >= 200 && code < 300:
		return answer{result: accepted}
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		a.result = busy
	case code >= 500:
		a.result = serverError
	}
	a.after = retryAfter(response.Header.Get("Retry-After"))
	return a
}

// retryAfter reads a Retry-After header (RFC 9110 §10.2.3): seconds, or a date.
// What is neither, or has passed, is no wait.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, min(time.Until(date), maxRetryAfter))
	}
	return 0
}
