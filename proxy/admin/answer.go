package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"wswarden/proxy/admin/api"
)

// statusError is an error that says with which status it is answered.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// refusal is what a handler returns so that this is the answer. The text says what is
// wrong and what to do.
func refusal(status int, format string, args ...any) error {
	return &statusError{status, fmt.Sprintf(format, args...)}
}

// busy is what is answered to those who ask beside too many others.
func busy(w http.ResponseWriter, what string) error {
	w.Header().Set("Retry-After", "5")
	return refusal(http.StatusServiceUnavailable, "%s; try again later", what)
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	var (
		status = http.StatusInternalServerError
		body   = api.Error{Message: err.Error()}
		field  *api.FieldError
		own    *statusError
	)
	switch {
	case errors.As(err, &field):
		status, body.Field = http.StatusBadRequest, field.Field
	case errors.As(err, &own):
		status = own.status
	}
	_ = answer(w, status, body)
}

// answer writes what has no many parts.
func answer(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	send(w, status, "application/json", append(text, '\n'))
	return nil
}

// send writes a whole answer. That it may not arrive is nobody's business.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// readQuery reads the parameters of a query, of which there may be none but those that
// are known, with a value, once each unless it is a kind: a part of a filter that is not
// understood must not make it a wider one.
func readQuery(r *http.Request, known []string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refusal(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return nil, &api.FieldError{Field: name, Text: "is not known; " + knownParameters(known)}
		case len(values) > 1 && name != "kind":
			return nil, &api.FieldError{Field: name, Text: "is given twice; give it once"}
		case slices.Contains(values, ""):
			return nil, &api.FieldError{Field: name, Text: "is empty; give it a value, or leave it out"}
		}
	}
	return query, nil
}

func knownParameters(known []string) string {
	if len(known) == 0 {
		return "there are no parameters here"
	}
	return "use one of " + strings.Join(known, ", ")
}

// readNumber reads a parameter that is a whole number; absent it is otherwise.
func readNumber(query url.Values, name string, otherwise, least, most int) (int, error) {
	if !query.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(query.Get(name))
	if err != nil || n < least || n > most {
		return 0, &api.FieldError{Field: name, Text: fmt.Sprintf("%q is not a number from %d to %d", query.Get(name), least, most)}
	}
	return n, nil
}
