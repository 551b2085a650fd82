package policies

// Connections limits how many sessions there are at once. Sessions that are
// ending keep nobody out.
type Connections struct {
	// Max is how many sessions the policy may have. Zero: no limit.
	Max int `mapstructure:"max"`
	// PerIP is how many of them one address may have. Of IPv6, a network of 64
	// bits counts as one address: a host is free to use all of it. Zero: no limit.
	PerIP int `mapstructure:"per_ip"`
	// PerIdentity is how many of them one identity may have. Zero: no limit.
	PerIdentity int `mapstructure:"per_identity"`
	// Identity says where a session's identity is found.
	Identity Identity `mapstructure:"identity"`
	// OnExcess of a limit: ExcessReject, or ExcessEvictOldest, with which the
	// oldest session ends with Superseded and makes room for the newest.
	OnExcess Excess `mapstructure:"on_excess"`
	// CloseCode for the client of a session that ends with Superseded or
	// ConnectionLimit, instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Limited reports whether there is a limit that is known at the handshake.
func (c *Connections) Limited() bool {
	return c.Max > 0 || c.PerIP > 0 || c.PerIdentity > 0 && c.Identity.From != FromMessage
}

// Identity says who a session belongs to.
type Identity struct {
	// From is where it is found. Empty: nowhere.
	From IdentitySource `mapstructure:"from"`
	// Name of the query parameter, the header or the cookie; of a certificate, which
	// part of it: one of CertificateParts.
	Name string `mapstructure:"name"`
	// Required refuses handshakes without one. It needs an identity that the
	// handshake has.
	Required bool `mapstructure:"required"`
}

// CertificateParts are what an identity from a certificate may be: the whole subject as
// RFC 2253 writes it, the common name in it, or the first of the alternative names of a
// kind.
var CertificateParts = []string{"subject", "common_name", "dns", "email", "uri"}

// IdentitySource is where an identity is found.
type IdentitySource string

const (
	// FromQuery: in a parameter of the handshake's target.
	FromQuery IdentitySource = "query"
	// FromHeader: in a header of the handshake.
	FromHeader IdentitySource = "header"
	// FromCookie: in a cookie of the handshake (RFC 6265 §4.2).
	FromCookie IdentitySource = "cookie"
	// FromCertificate: in the certificate that a client of a listener with TLS has shown.
	FromCertificate IdentitySource = "certificate"
	// FromMessage: in a message of the client, as the dialect's identify spells it.
	FromMessage IdentitySource = "message"
)
