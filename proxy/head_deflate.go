package proxy

import "bytes"

// permessage-deflate (RFC 7692) is the one extension that is passed through. Any
// other could give reserved bits or opcodes a meaning that wswarden does not know,
// and their frames would be refused.
//
// The two ends agree upon it as if wswarden were not there, unless a policy needs
// the client's messages one by one, to read or to drop them. Then each has to be
// compressed alone, without reference to those before it.

const (
	deflateExtension = "permessage-deflate"
	// offerAlone stands for the client's offers where messages are needed one by
	// one. It offers no limits to windows: an inflater copes with any.
	offerAlone = deflateExtension + "; " + clientAlone + "; " + serverAlone

	clientAlone = "client_no_context_takeover"
	serverAlone = "server_no_context_takeover"
)

// deflateOffers returns the permessage-deflate offers in a value of
// Sec-WebSocket-Extensions, each as it was spelled. The result may share value's
// memory.
func deflateOffers(value []byte) []byte {
	var offers []byte
	for list := value; len(list) > 0; {
		var offer []byte
		offer, list = nextElement(list)
		if !hasToken(offer, deflateExtension) {
			continue
		}
		if offers == nil && len(list) == 0 {
			return offer // the only one: nothing to join
		}
		if len(offers) > 0 {
			offers = append(offers, ", "...)
		}
		offers = append(offers, offer...)
	}
	return offers
}

// offersAlone reports whether a value of Sec-WebSocket-Extensions has an offer
// that any answer to offerAlone fits: not one that insists on a window for what
// upstream compresses (RFC 7692 §7.1.2.1).
func offersAlone(value []byte) bool {
	for len(value) > 0 {
		var offer []byte
		offer, value = nextElement(value)
		if named, ok := deflateParameters(offer); ok && named&serverWindowNamed == 0 {
			return true
		}
	}
	return false
}

// onlyDeflate reports whether a list of extensions names no other.
func onlyDeflate(list []byte) bool {
	for len(list) > 0 {
		var extension []byte
		if extension, list = nextElement(list); !hasToken(extension, deflateExtension) {
			return false
		}
	}
	return true
}

// answerAlone checks an answer to offerAlone (RFC 7692 §7.1), and returns the one
// for the client, which is told to compress each message alone even if upstream
// could do without. keepsWindow: upstream can.
func answerAlone(value []byte) (forClient []byte, keepsWindow, ok bool) {
	named, ok := deflateParameters(value)
	switch {
	case !ok, named&serverAloneNamed == 0: // §7.1.1.1
		return nil, false, false
	case named&clientWindowNamed != 0: // not offered, §7.1.2.2
		return nil, false, false
	case named&clientAloneNamed == 0: // §7.1.1.2
		return append(bytes.Clone(value), "; "+clientAlone...), true, true
	}
	return value, false, true
}

// parameters is a set of those that RFC 7692 §7.1 defines.
type parameters uint8

const (
	clientAloneNamed parameters = 1 << iota
	serverAloneNamed
	clientWindowNamed
	serverWindowNamed
)

// deflateParameters returns what an offer or an answer names; false if it is one
// of another extension, or has a parameter that is unknown, malformed, or there
// twice (RFC 7692 §7).
func deflateParameters(element []byte) (named parameters, ok bool) {
	name, rest, more := bytes.Cut(element, []byte(";"))
	if !equalFold(bytes.Trim(name, " \t"), deflateExtension) {
		return 0, false
	}
	for more {
		var parameter []byte
		parameter, rest, more = bytes.Cut(rest, []byte(";"))
		name, value, valued := bytes.Cut(bytes.Trim(parameter, " \t"), []byte("="))
		var is parameters
		switch string(name) {
		case clientAlone:
			is, ok = clientAloneNamed, !valued
		case serverAlone:
			is, ok = serverAloneNamed, !valued
		case "client_max_window_bits":
			is, ok = clientWindowNamed, !valued || isWindow(value)
		case "server_max_window_bits":
			is, ok = serverWindowNamed, isWindow(value)
		default:
			return 0, false
		}
		if !ok || named&is != 0 {
			return 0, false
		}
		named |= is
	}
	return named, true
}

// isWindow reports whether a value is a window's size in bits: 8 to 15. It may be
// quoted, RFC 6455 §9.1.
func isWindow(value []byte) bool {
	if n := len(value); n > 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	switch len(value) {
	case 1:
		return value[0] == '8' || value[0] == '9'
	case 2:
		return value[0] == '1' && '0' <= value[1] && value[1] <= '5'
	}
	return false
}
