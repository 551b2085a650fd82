package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"unicode"

	"wswarden/proxy/admin/api"
)

// Error is a no of the admin API.
type Error struct {
	Status int
	told   api.Error
	remedy string
}

func (e *Error) Error() string {
	text := e.told.Message
	if e.told.Field != "" && !strings.HasPrefix(text, e.told.Field) {
		text = e.told.Field + ": " + text
	}
	if e.remedy != "" {
		text += "; " + e.remedy
	}
	return printable(text)
}

// Problems of a configuration that was refused, a line each.
func (e *Error) Problems() []string {
	problems := make([]string, len(e.told.Problems))
	for i, problem := range e.told.Problems {
		problems[i] = printable(problem)
	}
	return problems
}

// printable is harmless for a terminal, whoever it is that answers.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// refused makes an error of an answer that is no success.
func (c *Client) refused(status int, text []byte) error {
	e := &Error{Status: status}
	if json.Unmarshal(text, &e.told) != nil || e.told.Message == "" {
		if status != http.StatusUnauthorized && status != http.StatusForbidden {
			return c.stranger(fmt.Sprintf("it answers %d", status))
		}
		e.told.Message = fmt.Sprintf("%s answers %d %s", c.Address(), status, strings.ToLower(http.StatusText(status)))
	}
	switch {
	case status == http.StatusUnauthorized && c.token == "":
		e.told.Message, e.remedy = c.Address()+" wants a token", "give the file of its admin.token_file with --token-file"
	case status == http.StatusUnauthorized:
		e.told.Message, e.remedy = c.Address()+" does not know this token", "let --token-file be the file of its admin.token_file"
	case status == http.StatusForbidden:
		e.remedy = "or give its IP address with --admin"
	}
	return e
}

// stranger is what answers, but not as the admin API does.
func (c *Client) stranger(what string) error {
	return fmt.Errorf("%s does not seem to be an admin address of wswarden (%s); give that with --admin", c.Address(), what)
}

// Refused reports whether an error means that nothing listens at the address.
func Refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// unreachable makes an error of a request that was not answered.
func (c *Client) unreachable(err error) error {
	var dns *net.DNSError
	var network *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case Refused(err):
		return fmt.Errorf("%s: %w; is wswarden running, and is this its admin.address? Give that with --admin", c.Address(), syscall.ECONNREFUSED)
	case errors.Is(err, errSilence), isTimeout(err):
		return fmt.Errorf("%s has not answered for %s; see whether wswarden is stuck, or give it more --timeout", c.Address(), c.timeout)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: no such host is known; give another with --admin", dns.Name)
	case errors.As(err, &network):
		return fmt.Errorf("cannot reach %s: %w; is this wswarden's admin.address? Give that with --admin", c.Address(), network.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return c.broken(err)
	}
	return c.stranger(err.Error())
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// broken makes an error of an answer that has broken off.
func (c *Client) broken(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errSilence):
		return c.unreachable(err)
	}
	return fmt.Errorf("%s has broken off its answer; has wswarden ended? Try again", c.Address())
}
