package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// nextElement cuts the first element off a comma-separated list, RFC 9110
// §5.6.1. A comma in a quoted string does not end an element.
func nextElement(list []byte) (element, rest []byte) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return bytes.Trim(list[:i], " \t"), list[i+1:]
		}
	}
	return bytes.Trim(list, " \t"), nil
}

// hasToken reports whether a list has token, in any case, as an element of its
// own; parameters do not count.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var element []byte
		element, list = nextElement(list)
		name, _, _ := bytes.Cut(element, []byte(";"))
		if equalFold(bytes.TrimRight(name, " \t"), token) {
			return true
		}
	}
	return false
}

// namesHeaders reports whether a Connection value has options beside those
// that nearly every request has and that name no header to look for.
func namesHeaders(connection []byte) bool {
	for len(connection) > 0 {
		var option []byte
		option, connection = nextElement(connection)
		switch {
		case len(option) == 0, equalFold(option, "close"), equalFold(option, "keep-alive"),
			equalFold(option, "upgrade"), equalFold(option, "te"):
		default:
			return true
		}
	}
	return false
}

// connectionNames reports whether a Connection line among the raw ones names
// the header.
func connectionNames(raw, name []byte) bool {
	for len(raw) > 2 {
		line, key, value := cutLine(raw)
		raw = raw[len(line):]
		if kindOf(key) != connectionHeader {
			continue
		}
		for len(value) > 0 {
			var option []byte
			option, value = nextElement(value)
			if bytes.EqualFold(option, name) {
				return true
			}
		}
	}
	return false
}

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// cutLine returns the first line of raw, which is not empty, with its end, its
// name up to the colon and its value without the space around.
func cutLine(raw []byte) (line, name, value []byte) {
	line = raw
	if end := bytes.IndexByte(raw, '\n'); end >= 0 {
		line = raw[:end+1]
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return line, line, nil
	}
	start, end := colon+1, len(line)
	for start < end && isSpace(line[start]) {
		start++
	}
	for start < end && isSpace(line[end-1]) {
		end--
	}
	return line, line[:colon], line[start:end]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// checkLine refuses what fasthttp takes of a header line; a value's bytes it
// has checked.
func checkLine(line, name []byte) error {
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return errFolded // RFC 9112 §5.2
	case !bytes.HasSuffix(line, []byte("\r\n")):
		return errLineEnd // RFC 9112 §2.2
	case !isToken(name): // also: no colon
		return errHeaderName // RFC 9112 §5.1
	}
	return nil
}

// hasControls reports whether b has a control character other than a tab, which no
// line may have, RFC 9110 §5.5.
func hasControls(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// tokenBytes are those of a token, RFC 9110 §5.6.2, and hostBytes those of a host
// and its port, RFC 3986 §3.2.2, but for the comma, which is between hosts elsewhere.
var (
	tokenBytes = alphanumericAnd("!#$%&'*+-.^_`|~")
	hostBytes  = alphanumericAnd("!$%&'()*+-.:;=[]_~")
)

func alphanumericAnd(more string) (t [256]bool) {
	for _, c := range "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + more {
		t[c] = true
	}
	return t
}

// isHost reports whether b can be the value of Host, which may be empty.
func isHost(b []byte) bool {
	for _, c := range b {
		if !hostBytes[c] {
			return false
		}
	}
	return true
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(b) > 0
}

func appendLine[N, V string | []byte](dst []byte, name N, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// eachHeader calls found with the value of every header line of that name.
func eachHeader(h *fasthttp.RequestHeader, name string, found func(value []byte)) {
	eachLine(h, func(n, value []byte) {
		if equalFold(n, name) {
			found(value)
		}
	})
}

// eachLine calls found with the name and the value of every header line.
func eachLine(h *fasthttp.RequestHeader, found func(name, value []byte)) {
	for rest := h.RawHeaders(); len(rest) > 2; {
		line, name, value := cutLine(rest)
		rest = rest[len(line):]
		found(name, value)
	}
}
