// Package client asks the admin API of a wswarden that runs.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"wswarden/proxy/admin/api"
)

// Client asks one admin address. It may be used by any goroutine. All its errors are
// one line that says what to do.
type Client struct {
	base    *url.URL
	token   string
	timeout time.Duration
	http    http.Client
}

// Options are what New needs.
type Options struct {
	// Address is host:port, or an http or https URL. Without a host, or with one that
	// means all interfaces: this machine.
	Address string
	// Token for each request; empty: none.
	Token string
	// Timeout without a byte of an answer after which it is given up. It is above zero.
	Timeout time.Duration
}

// New returns a client, which connects when it is asked for something.
func New(o Options) (*Client, error) {
	base, err := parseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	return &Client{base: base, token: o.Token, timeout: o.Timeout, http: http.Client{
		// No proxy of the environment's: it would get the token.
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext},
		// A redirect would take the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func parseAddress(address string) (*url.URL, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	base, err := url.Parse(text)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.User != nil ||
		base.Port() == "" && (base.Hostname() == "" || text != address) {
		return nil, fmt.Errorf("%q is no address of an admin API; write one such as 127.0.0.1:9090 or http://127.0.0.1:9090", address)
	}
	switch ip, err := netip.ParseAddr(base.Hostname()); {
	case base.Hostname() == "", err == nil && ip.IsUnspecified() && ip.Is4():
		base.Host = net.JoinHostPort("127.0.0.1", base.Port())
	case err == nil && ip.IsUnspecified():
		base.Host = net.JoinHostPort("::1", base.Port())
	}
	base.RawQuery, base.Fragment = "", ""
	return base, nil
}

// Address that is asked, host:port.
func (c *Client) Address() string { return c.base.Host }

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// PageLimit is how many sessions a page may have.
const PageLimit = 1000

// Sessions returns the first of those that fit, at most limit, which is 1 to PageLimit.
func (c *Client) Sessions(ctx context.Context, f api.Filter, order api.Sort, limit int) (page api.Page, err error) {
	query := f.Query()
	query.Set("limit", strconv.Itoa(limit))
	if order != "" {
		query.Set("sort", string(order))
	}
	return page, c.ask(ctx, http.MethodGet, "/v1/sessions", query, &page)
}

// Session returns one.
func (c *Client) Session(ctx context.Context, id api.ID) (detail api.Detail, err error) {
	return detail, c.ask(ctx, http.MethodGet, "/v1/sessions/"+id.String(), nil, &detail)
}

// EndOne begins to end a session. Code 0 and an empty reason leave both to wswarden.
func (c *Client) EndOne(ctx context.Context, id api.ID, code uint16, reason string) (ended api.Ended, err error) {
	return ended, c.ask(ctx, http.MethodDelete, "/v1/sessions/"+id.String(), closing(url.Values{}, code, reason), &ended)
}

// End begins to end all that fit, as EndOne does. The zero filter is refused.
func (c *Client) End(ctx context.Context, f api.Filter, code uint16, reason string) (ended api.Ended, err error) {
	return ended, c.ask(ctx, http.MethodDelete, "/v1/sessions", closing(f.Query(), code, reason), &ended)
}

func closing(query url.Values, code uint16, reason string) url.Values {
	if code != 0 {
		query.Set("code", strconv.Itoa(int(code)))
	}
	if reason != "" {
		query.Set("reason", reason)
	}
	return query
}

// Topics returns those of the sessions that fit, at most limit.
func (c *Client) Topics(ctx context.Context, f api.Filter, limit int) (topics api.Topics, err error) {
	query := f.Query()
	query.Set("limit", strconv.Itoa(limit))
	return topics, c.ask(ctx, http.MethodGet, "/v1/topics", query, &topics)
}

// Report tells what rules have met in the time up to now, of one policy, or of all if
// that is empty.
func (c *Client) Report(ctx context.Context, policy string, window time.Duration) (r api.Report, err error) {
	query := url.Values{"window": {window.String()}}
	if policy != "" {
		query.Set("policy", policy)
	}
	return r, c.ask(ctx, http.MethodGet, "/v1/report", query, &r)
}

// Reload has the configuration read again. If it is refused, the error is an *Error with
// Problems.
func (c *Client) Reload(ctx context.Context) (r api.Reloaded, err error) {
	return r, c.ask(ctx, http.MethodPost, "/v1/reload", nil, &r)
}

// Drain begins to drain.
func (c *Client) Drain(ctx context.Context) (d api.Draining, err error) {
	return d, c.ask(ctx, http.MethodPost, "/v1/drain", nil, &d)
}

// Ready asks whether new sessions would be admitted. A no is no error.
func (c *Client) Ready(ctx context.Context) (r api.Readiness, err error) {
	err = c.ask(ctx, http.MethodGet, "/readyz", url.Values{"verbose": {""}}, &r)
	return r, err
}

// Live asks whether wswarden runs and answers.
func (c *Client) Live(ctx context.Context) error {
	return c.ask(ctx, http.MethodGet, "/healthz", nil, nil)
}

// largest answer that is read into memory.
const largest = 64 << 20

// ask sends a request and reads its answer, JSON, into v unless that is nil.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, v any) error {
	a, err := c.send(ctx, method, path, query, "application/json")
	if err != nil {
		return err
	}
	defer a.Close()
	text, err := io.ReadAll(io.LimitReader(a, largest))
	if err != nil {
		return c.broken(err)
	}
	if r, is := v.(*api.Readiness); is && a.status == http.StatusServiceUnavailable && json.Unmarshal(text, r) == nil && r.Checks != nil {
		return nil // it is told with the status, too
	}
	if a.status/100 != 2 {
		return c.refused(a.status, text)
	}
	if v != nil && json.Unmarshal(text, v) != nil {
		return c.stranger("its answer cannot be read")
	}
	return nil
}

// answer is the body of a response; reading it fails after too long a silence.
type answer struct {
	status   int
	body     io.ReadCloser
	silence  *time.Timer
	patience time.Duration
	cancel   context.CancelCauseFunc
}

var errSilence = errors.New("no answer")

func (c *Client) send(ctx context.Context, method, path string, query url.Values, accept string) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	silence := time.AfterFunc(c.timeout, func() { cancel(errSilence) })
	to := c.base.JoinPath(path)
	to.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		panic(err) // all parts of it are known to be right
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "wswarden")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		silence.Stop()
		defer cancel(nil)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, c.unreachable(err)
	}
	return &answer{response.StatusCode, &caused{response.Body, ctx}, silence, c.timeout, cancel}, nil
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if a.patience > 0 && err == nil {
		a.silence.Reset(a.patience)
	}
	return n, err
}

// wait lets the rest of the answer take any time.
func (a *answer) wait() {
	a.silence.Stop()
	a.patience = 0
}

func (a *answer) Close() {
	a.silence.Stop()
	a.cancel(nil)
	_ = a.body.Close()
}

// caused tells why a context was done, where the body says only that it was.
type caused struct {
	io.ReadCloser
	ctx context.Context
}

func (c *caused) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if cause := context.Cause(c.ctx); err != nil && err != io.EOF && cause != nil {
		err = cause
	}
	return n, err
}
