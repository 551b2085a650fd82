package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Filter says which sessions are meant. The zero Filter means all.
type Filter struct {
	Policy string
	// Identity is a hash as in Session.Identity. A query may have identity=, what
	// the client has told, or identity_hash=.
	Identity string
	// Address is one or a whole network; the zero Prefix: any.
	Address netip.Prefix
	Topic   string
	State   State
	// OlderThan and IdleFor: at least so long; zero: any.
	OlderThan time.Duration
	IdleFor   time.Duration
}

// FieldError says which parameter of a query is wrong, and what to write.
type FieldError struct {
	Field string
	Text  string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Text }

// The parameters of a filter.
const (
	paramPolicy       = "policy"
	paramIdentity     = "identity"
	paramIdentityHash = "identity_hash"
	paramAddress      = "address"
	paramTopic        = "topic"
	paramState        = "state"
	paramOlderThan    = "older_than"
	paramIdleFor      = "idle_for"
)

// FilterParams are the parameters that ParseFilter reads.
func FilterParams() []string {
	return []string{paramPolicy, paramIdentity, paramIdentityHash, paramAddress, paramTopic, paramState, paramOlderThan, paramIdleFor}
}

// ParseFilter reads the filter of a query, and leaves alone what is none of
// FilterParams. The error is a *FieldError.
func ParseFilter(query url.Values) (f Filter, err error) {
	wrong := func(field, format string, args ...any) {
		if err == nil {
			err = &FieldError{field, fmt.Sprintf(format, args...)}
		}
	}
	for _, name := range FilterParams() {
		values, given := query[name]
		switch {
		case !given:
			continue
		case len(values) > 1:
			wrong(name, "is given twice; give it once")
			continue
		case values[0] == "":
			wrong(name, "is empty; give it a value, or leave it out")
			continue
		}
		value := values[0]
		switch name {
		case paramPolicy:
			f.Policy = value
		case paramTopic:
			f.Topic = value
		case paramIdentity:
			f.Identity = HashIdentity(value)
		case paramIdentityHash:
			if raw, e := hex.DecodeString(value); e != nil || len(raw) != 8 {
				wrong(name, "%q is not 16 hexadecimal digits, as identities have in logs", value)
			} else if f.Identity != "" {
				wrong(name, "excludes %s; give one of them", paramIdentity)
			}
			f.Identity = strings.ToLower(value)
		case paramAddress:
			prefix, e := parsePrefix(value)
			if e != nil {
				wrong(name, "%q is neither an address nor a network; write one such as 10.1.2.3 or 10.0.0.0/8", value)
			}
			f.Address = prefix
		case paramState:
			if f.State = State(value); !slices.Contains(States(), f.State) {
				wrong(name, "%q is not known; use one of %s", value, join(States()))
			}
		case paramOlderThan, paramIdleFor:
			d, e := time.ParseDuration(value)
			if e != nil || d <= 0 {
				wrong(name, "%q is not a duration above zero with a unit; write one such as 90s, 5m or 2h", value)
			}
			if name == paramOlderThan {
				f.OlderThan = d
			} else {
				f.IdleFor = d
			}
		}
	}
	return f, err
}

// HashIdentity is what stands for an identity in logs and here.
func HashIdentity(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:8])
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && !strings.Contains(text, "/") { // which a zone may have
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), err
}

// Query is the filter as ParseFilter reads it.
func (f Filter) Query() url.Values {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set(paramPolicy, f.Policy)
	set(paramIdentityHash, f.Identity)
	set(paramTopic, f.Topic)
	set(paramState, string(f.State))
	if f.Address.IsValid() {
		set(paramAddress, f.Address.String())
	}
	if f.OlderThan > 0 {
		set(paramOlderThan, f.OlderThan.String())
	}
	if f.IdleFor > 0 {
		set(paramIdleFor, f.IdleFor.String())
	}
	return query
}

// Fits reports whether a session is meant, as far as its listing can tell: Topic is
// not its business.
func (f *Filter) Fits(s *Session) bool {
	return (f.Policy == "" || f.Policy == s.Policy) &&
		(f.Identity == "" || f.Identity == s.Identity) &&
		(!f.Address.IsValid() || f.Address.Contains(s.Address)) &&
		(f.State == "" || f.State == s.State) &&
		s.Age >= InSeconds(f.OlderThan) && s.Idle >= InSeconds(f.IdleFor)
}

func join[T ~string](words []T) string {
	var text strings.Builder
	for i, word := range words {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(string(word))
	}
	return text.String()
}
