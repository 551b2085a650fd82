package proxy

// headerKind says how a header line is treated on its way upstream.
type headerKind uint8

const (
	plainHeader     headerKind = iota // passed, unless Connection names it
	keptHeader                        // passed, even if Connection names it
	hopByHop                          // dropped, RFC 9110 §7.6.1
	forwardedHeader                   // passed from a trusted peer only
	forwardedForHeader
	forwardedProtoHeader
	forwardedHostHeader
	connectionHeader
	upgradeHeader
	teHeader
	expectHeader
	traceHeader // W3C Trace Context
	hostHeader
	contentLengthHeader
	transferEncodingHeader
	extensionsHeader // Sec-WebSocket-Extensions
)

// headerKinds has, by its length, every name that is not a plainHeader.
var headerKinds = func() (byLength [25][]namedKind) {
	for name, kind := range map[string]headerKind{
		"connection":               connectionHeader,
		"keep-alive":               hopByHop,
		"proxy-connection":         hopByHop,
		"proxy-authenticate":       hopByHop,
		"proxy-authorization":      hopByHop,
		"te":                       teHeader,
		"transfer-encoding":        transferEncodingHeader,
		"upgrade":                  upgradeHeader,
		"host":                     hostHeader,
		"content-length":           contentLengthHeader,
		"expect":                   expectHeader,
		"forwarded":                forwardedHeader,
		"x-real-ip":                forwardedHeader,
		"x-forwarded-for":          forwardedForHeader,
		"x-forwarded-proto":        forwardedProtoHeader,
		"x-forwarded-host":         forwardedHostHeader,
		"x-wswarden-session":       hopByHop, // wswarden's own, on each hop
		"traceparent":              traceHeader,
		"tracestate":               traceHeader,
		"sec-websocket-extensions": extensionsHeader,
		"authorization":            keptHeader,
		"cache-control":            keptHeader,
		"content-encoding":         keptHeader,
		"content-type":             keptHeader,
		"cookie":                   keptHeader,
		"origin":                   keptHeader,
		"trailer":                  keptHeader,
	} {
		byLength[len(name)] = append(byLength[len(name)], namedKind{name, kind})
	}
	return byLength
}()

type namedKind struct {
	name string
	kind headerKind
}

func kindOf(name []byte) headerKind {
	if len(name) < len(headerKinds) {
		for _, known := range headerKinds[len(name)] {
			if hasFoldedPrefix(name, known.name) {
				return known.kind
			}
		}
	}
	switch {
	case hasFoldedPrefix(name, "x-forwarded-"):
		return forwardedHeader
	case hasFoldedPrefix(name, "sec-websocket-"):
		return keptHeader
	}
	return plainHeader
}

// hasFoldedPrefix compares names as servers do that make CGI variables of them:
// without regard to case, and X_Forwarded_For is X-Forwarded-For.
func hasFoldedPrefix(name []byte, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		} else if c == '_' {
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
