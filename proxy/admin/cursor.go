package admin

import (
	"encoding/base64"
	"encoding/json"
	"net/url"

	"wswarden/proxy/admin/api"
)

// cursor is where a page has ended: at its last session as it was then, whether or not
// it still lives. The next page begins behind it, so that no session that comes or goes
// moves another one off the pages. One whose place in the order changes meanwhile may be
// on two of them, or on none.
type cursor struct {
	Sort api.Sort    `json:"sort"`
	Last api.Session `json:"last"`
}

// String is what the caller sees, who is not to read anything into it.
func (c cursor) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // a session can be encoded, or could not have been listed
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// readCursor returns the session behind which the page begins; nil: at the beginning.
func readCursor(query url.Values, sort api.Sort) (*api.Session, error) {
	if !query.Has("cursor") {
		return nil, nil
	}
	var c cursor
	text, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	switch {
	case err != nil:
		return nil, &api.FieldError{Field: "cursor", Text: "is none; send what a page has in next, as it is"}
	case c.Sort != sort:
		return nil, &api.FieldError{Field: "cursor", Text: "is of a page with another sort; begin anew without it"}
	}
	return &c.Last, nil
}
