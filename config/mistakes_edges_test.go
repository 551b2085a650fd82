package config

import (
	"strings"
	"testing"
)

// beside TLS files, and behind what is before, the files of rows are in.
func beside(t *testing.T, before string, rows []mistake) []mistake {
	t.Chdir(tlsFolder(t))
	for i := range rows {
		rows[i].file = before + rows[i].file
	}
	return rows
}

func mistakesInListeners(t *testing.T) []mistake {
	return beside(t, upstreamLine, []mistake{
		// addresses
		{"listeners: [{address: \"unix:\"}]", `w.yaml:2:14: listeners[0].address: unix: names no socket; write one such as unix:/run/wswarden.sock`},
		{"listeners: [{address: \"unix:/run/\"}]", `w.yaml:2:14: listeners[0].address: unix:/run/ names no socket; write one such as unix:/run/wswarden.sock`},
		{"listeners: [{address: \"unix:@app\"}]", `w.yaml:2:14: listeners[0].address: unix:@app is in no file system; write a path such as unix:/run/wswarden.sock`},
		{"listeners: [{address: \"unix:/run/a\\0b\"}]", `w.yaml:2:14: listeners[0].address: "unix:/run/a\x00b" is in no file system; write a path such as unix:/run/wswarden.sock`},
		{"listeners: [{address: \"unix:/" + strings.Repeat("a", 107) + "\"}]", `w.yaml:2:14: listeners[0].address: "unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"... is too long, as the path of a socket may have 107 bytes; write a shorter one`},
		{"listeners: [{address: \"systemd:\"}]", `w.yaml:2:14: listeners[0].address: systemd: names no socket of systemd's; write its FileDescriptorName=, such as systemd:wswarden`},
		{"listeners: [{address: \"systemd:a:b\"}]", `w.yaml:2:14: listeners[0].address: systemd:a:b names no socket of systemd's; write its FileDescriptorName=, such as systemd:wswarden`},
		{"listeners: [{address: \"unix:/run/a\"}, {address: \"unix:/run/../run//a\"}]", `w.yaml:2:40: listeners[1].address: unix:/run/../run//a is listeners[0] already; remove one`},
		{"listeners: [{address: \"unix:a\"}, {address: \"unix:./a\"}]", `w.yaml:2:35: listeners[1].address: unix:./a is listeners[0] already; remove one`},
		{"listeners: [{address: \"systemd:a\"}, {address: \"systemd:b\"}, {address: \"systemd:a\"}]", `w.yaml:2:62: listeners[2].address: systemd:a is listeners[0] already; remove one`},
		{"listeners: [{name: 5}]", `w.yaml:2:14: listeners[0].name: 5 is not text; put it into quotes`},

		// files of sockets
		{"listeners: [{mode: \"0660\", owner: app, group: \"1000\"}]", `w.yaml:2:14: listeners[0].mode: 0660 has no effect, as there is no file of a socket; write an address such as unix:/run/wswarden.sock, or remove it` + "\n" +
			`w.yaml:2:28: listeners[0].owner: app has no effect, as there is no file of a socket; write an address such as unix:/run/wswarden.sock, or remove it` + "\n" +
			`w.yaml:2:40: listeners[0].group: 1000 has no effect, as there is no file of a socket; write an address such as unix:/run/wswarden.sock, or remove it`},
		{"listeners: [{address: \"systemd:a\", mode: 0660}]", `w.yaml:2:36: listeners[0].mode: 0660 has no effect, as there is no file of a socket; write an address such as unix:/run/wswarden.sock, or remove it`},
		{"listeners: [{address: \"unix:a\", mode: 660}]", `w.yaml:2:33: listeners[0].mode: 660 is not a mode; write four octal digits from 0000 to 0777, such as 0660`},
		{"listeners: [{address: \"unix:a\", mode: 0o660}]", `w.yaml:2:33: listeners[0].mode: 0o660 is not a mode; write four octal digits from 0000 to 0777, such as 0660`},
		{"listeners: [{address: \"unix:a\", mode: \"1660\"}]", `w.yaml:2:33: listeners[0].mode: 1660 is not a mode; write four octal digits from 0000 to 0777, such as 0660`},
		{"listeners: [{address: \"unix:a\", mode: rw-rw----}]", `w.yaml:2:33: listeners[0].mode: rw-rw---- is not a mode; write four octal digits from 0000 to 0777, such as 0660`},
		{"listeners: [{address: \"unix:a\", mode: 0690}]", `w.yaml:2:33: listeners[0].mode: 0690 is not a mode; write four octal digits from 0000 to 0777, such as 0660`},
		{"listeners: [{address: \"unix:a\", mode: true}]", `w.yaml:2:33: listeners[0].mode: true is not text; put it into quotes`},
		{"listeners: [{address: \"unix:a\", owner: \"app:app\", group: \"a b\"}]", `w.yaml:2:33: listeners[0].owner: app:app is neither a name nor a number; write one such as www-data` + "\n" +
			`w.yaml:2:51: listeners[0].group: "a b" is neither a name nor a number; write one such as www-data`},
		{"listeners: [{address: \"unix:a\", owner: 1000}]", `w.yaml:2:33: listeners[0].owner: 1000 is not text; put it into quotes`},

		// TLS
		{"listeners: [{tls: {cert: cert.pem}}]", `w.yaml:2:14: listeners[0].tls.key: is missing; write the file with the key of the certificate, which may be the same`},
		{"listeners: [{tls: {key: key.pem, client_ca: cert.pem}}]", `w.yaml:2:20: listeners[0].tls.key: key.pem has no effect without cert; write the file with its certificate, or remove it` + "\n" +
			`w.yaml:2:34: listeners[0].tls.client_ca: cert.pem has no effect without cert, as only TLS has clients' certificates; write cert and key, or remove it`},
		{"listeners: [{tls: {cert: 5, key: key.pem, client_ca: cert.pem}}]", `w.yaml:2:20: listeners[0].tls.cert: 5 is not text; put it into quotes`},
		{"listeners: [{tls: {cert: none, key: none}}]", `w.yaml:2:20: listeners[0].tls.cert: none cannot be read: no such file or directory; name a file that wswarden may read` + "\n" +
			`w.yaml:2:32: listeners[0].tls.key: none cannot be read: no such file or directory; name a file that wswarden may read`},
		{"listeners: [{tls: {cert: cert.pem, key: expired.key}}]", `w.yaml:2:36: listeners[0].tls.key: expired.key is not the key of the certificate, which has to be the first in its file; name the one that belongs to it`},
		{"listeners: [{tls: {cert: cert.pem, key: encrypted.key}}]", `w.yaml:2:36: listeners[0].tls.key: encrypted.key has a key with a passphrase; write it without one, as openssl pkey does, and let only wswarden read it`},
		{"listeners: [{tls: {cert: text.pem, key: key.pem, client_ca: empty.pem}}]", `w.yaml:2:20: listeners[0].tls.cert: text.pem has no certificate; name a file in PEM, which has a line -----BEGIN CERTIFICATE-----` + "\n" +
			`w.yaml:2:50: listeners[0].tls.client_ca: empty.pem has no certificate; name a file in PEM, which has a line -----BEGIN CERTIFICATE-----`},
		{"listeners: [{tls: {cert: cert.pem, key: key.pem, min_version: 1.1}}]", `w.yaml:2:50: listeners[0].tls.min_version: 1.1 is not known; use one of 1.2, 1.3`},
		{"listeners: [{tls: {cert: cert.pem, key: key.pem, min_version: \"1.20\"}}]", `w.yaml:2:50: listeners[0].tls.min_version: 1.20 is not known; use one of 1.2, 1.3`},
		{"listeners: [{tls: {cert: cert.pem, key: key.pem, client_ca: cert.pem, client_auth: none}}]", `w.yaml:2:71: listeners[0].tls.client_auth: none is not known; use one of require, optional`},
		{"listeners: [{tls: {min_version: 1.3}}]", `w.yaml:2:20: listeners[0].tls.min_version: 1.3 has no effect without TLS; write cert and key, or remove it`},
		{"listeners: [{tls: {cert: cert.pem, key: key.pem, client_auth: optional}}]", `w.yaml:2:50: listeners[0].tls.client_auth: optional has no effect without client_ca, as clients are not asked for a certificate; write that, or remove it`},

		// PROXY protocol
		{"listeners: [{proxy_protocol: true}]", `w.yaml:2:14: listeners[0].proxy_protocol: true would refuse everybody, as nobody is in trusted_proxies; write the networks of those in front there, or remove it`},
		{"listeners: [{address: \"unix:a\", proxy_protocol: v2}]", `w.yaml:2:33: listeners[0].proxy_protocol: v2 is neither true nor false; write one of them`},
	})
}

func mistakesInUpstream(t *testing.T) []mistake {
	return beside(t, "upstream: ", []mistake{
		// servers
		{"{}", `w.yaml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
		{"{urls: []}", `w.yaml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
		{"{urls: http://a}", `w.yaml:1:12: upstream.urls: must be a list, not http://a; write each item in a line of its own, after "- "`},
		{"{url: http://a, urls: [http://b]}", `w.yaml:1:27: upstream.urls: cannot be beside upstream.url; remove one of them`},
		{"{urls: [http://a, \"\"]}", `w.yaml:1:29: upstream.urls[1]: "" is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"{urls: [http://a, b:80, ftp://c, tcp://d]}", `w.yaml:1:29: upstream.urls[1]: b:80 is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000` + "\n" +
			`w.yaml:1:35: upstream.urls[2]: ftp://c is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000` + "\n" +
			`w.yaml:1:44: upstream.urls[3]: tcp://d is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"{urls: [http://me:secret@a, https://b/chat]}", `w.yaml:1:19: upstream.urls[0]: http://me:xxxxx@a has a user, which is not supported; write http://a` + "\n" +
			`w.yaml:1:39: upstream.urls[1]: https://b/chat has more than host and port; write https://b`},
		{"{urls: [http://a, https://a:80, ws://A:80, \"http://b\", \"ws://b:80/\"]}", `w.yaml:1:29: upstream.urls[1]: https://a:80 is upstream.urls[0] already; remove one` + "\n" +
			`w.yaml:1:43: upstream.urls[2]: ws://A:80 is upstream.urls[0] already; remove one` + "\n" +
			`w.yaml:1:66: upstream.urls[4]: ws://b:80/ is upstream.urls[3] already; remove one`},
		{"{urls: [\"unix:/run/a\", http://a, \"unix:/run//a\"]}", `w.yaml:1:44: upstream.urls[2]: unix:/run//a is upstream.urls[0] already; remove one`},
		{"{url: \"unix:\"}", `w.yaml:1:12: upstream.url: unix: names no socket; write one such as unix:/run/wswarden.sock`},
		{"{url: \"unix:@app\"}", `w.yaml:1:12: upstream.url: unix:@app is in no file system; write a path such as unix:/run/wswarden.sock`},
		{"{urls: [\"unix:/" + strings.Repeat("a", 107) + "\"]}", `w.yaml:1:19: upstream.urls[0]: "unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"... is too long, as the path of a socket may have 107 bytes; write a shorter one`},
		{"{url: wss://me:secret@a}", `w.yaml:1:12: upstream.url: wss://me:xxxxx@a has a user, which is not supported; write wss://a`},
		{"{url: https://a:0}", `w.yaml:1:12: upstream.url: https://a:0 has no port from 1 to 65535; write one such as http://127.0.0.1:5000`},
		{"{url: https://a/chat}", `w.yaml:1:12: upstream.url: https://a/chat has more than host and port; write https://a`},
		{"{url: HTTPS://}", `w.yaml:1:12: upstream.url: HTTPS:// is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"{urls: [http://a, \"http://127.0.0.1:8080\"]}", `w.yaml:1:29: upstream.urls[1]: http://127.0.0.1:8080 is a listener of wswarden itself; change one of them`},
		{"{urls: [\"http://localhost:8080\", \"http://127.0.0.1:9090\"]}", `w.yaml:1:19: upstream.urls[0]: http://localhost:8080 is reached at listeners[0], 127.0.0.1:8080, of wswarden itself; change one of them` + "\n" +
			`w.yaml:1:44: upstream.urls[1]: http://127.0.0.1:9090 is admin.address of wswarden itself; change one of them`},

		// TLS
		{"{url: http://a, tls: {ca: cert.pem, cert: cert.pem, key: key.pem, server_name: b}}", `w.yaml:1:33: upstream.tls.ca: cert.pem has no effect, as no server is https://; write that in upstream.url, or remove it` + "\n" +
			`w.yaml:1:47: upstream.tls.cert: cert.pem has no effect, as no server is https://; write that in upstream.url, or remove it` + "\n" +
			`w.yaml:1:63: upstream.tls.key: key.pem has no effect, as no server is https://; write that in upstream.url, or remove it` + "\n" +
			`w.yaml:1:77: upstream.tls.server_name: b has no effect, as no server is https://; write that in upstream.url, or remove it`},
		{"{urls: [\"unix:a\", ws://a], tls: {ca: cert.pem}}", `w.yaml:1:44: upstream.tls.ca: cert.pem has no effect, as no server is https://; write that in upstream.url, or remove it`},
		{"{url: https://a, tls: {cert: cert.pem}}", `w.yaml:1:28: upstream.tls.key: is missing; write the file with the key of the certificate, which may be the same`},
		{"{url: https://a, tls: {key: key.pem}}", `w.yaml:1:34: upstream.tls.key: key.pem has no effect without cert; write the file with its certificate, or remove it`},
		{"{url: https://a, tls: {ca: none, cert: cert.pem, key: expired.key}}", `w.yaml:1:34: upstream.tls.ca: none cannot be read: no such file or directory; name a file that wswarden may read` + "\n" +
			`w.yaml:1:60: upstream.tls.key: expired.key is not the key of the certificate, which has to be the first in its file; name the one that belongs to it`},
		{"{url: https://a, tls: {server_name: \"b:443\"}}", `w.yaml:1:34: upstream.tls.server_name: b:443 is not the name of a host; write one such as app.internal`},
		{"{url: https://a, tls: {server_name: \"*.b\"}}", `w.yaml:1:34: upstream.tls.server_name: *.b is not the name of a host; write one such as app.internal`},

		// the rest
		{"{url: http://a, proxy_protocol: v3}", `w.yaml:1:27: upstream.proxy_protocol: v3 is not known; use one of v1, v2`},
		{"{url: http://a, proxy_protocol: true}", `w.yaml:1:27: upstream.proxy_protocol: true is not text; put it into quotes`},
		{"{url: http://a, breaker: {failures: -1, retry_after: 0s}}", `w.yaml:1:37: upstream.breaker.failures: -1 is below zero; write 0 or more` + "\n" +
			`w.yaml:1:51: upstream.breaker.retry_after: 0s is not above zero; write a duration such as 5s`},
		{"{url: http://a, breaker: {failures: 0, retry_after: 1s}}", `w.yaml:1:50: upstream.breaker.retry_after: 1s has no effect without failures; write a number such as 5 there, or remove it`},
		{"{url: http://a, health: {path: well}}", `w.yaml:1:36: upstream.health.path: well does not begin with /; write a path such as /healthz`},
		{"{url: http://a, health: {path: \"/a b\"}}", `w.yaml:1:36: upstream.health.path: "/a b" has what no request's path has; write one such as /healthz, and %20 for a space`},
		{"{url: http://a, health: {path: \"/a#b\"}}", `w.yaml:1:36: upstream.health.path: /a#b has what no request's path has; write one such as /healthz, and %20 for a space`},
		{"{url: http://a, health: {path: /a, interval: 0s, timeout: 0s, failures: 0}}", `w.yaml:1:46: upstream.health.interval: 0s is not above zero; write a duration such as 10s` + "\n" +
			`w.yaml:1:60: upstream.health.timeout: 0s is not above zero; write a duration such as 2s` + "\n" +
			`w.yaml:1:73: upstream.health.failures: 0 is not above zero; write how many in a row, such as 3`},
		{"{url: http://a, health: {path: /a, interval: 1s}}", `w.yaml:1:27: upstream.health.timeout: 2s is longer than the interval; write 1s or less, or a longer interval`},
		{"{url: http://a, health: {path: /a, timeout: 1m}}", `w.yaml:1:46: upstream.health.timeout: 1m is longer than the interval; write 10s or less, or a longer interval`},
		{"{url: http://a, health: {interval: 5s, timeout: 1s, failures: 5}}", `w.yaml:1:36: upstream.health.interval: 5s has no effect without a path; write one such as /healthz, or remove it` + "\n" +
			`w.yaml:1:50: upstream.health.timeout: 1s has no effect without a path; write one such as /healthz, or remove it` + "\n" +
			`w.yaml:1:63: upstream.health.failures: 5 has no effect without a path; write one such as /healthz, or remove it`},
		{"{url: http://a, sticky: {name: sid}}", `w.yaml:1:36: upstream.sticky.name: sid has no effect without from; write from: header, cookie or query, or remove it`},
		{"{url: http://a, sticky: {from: cookie}}", `w.yaml:1:27: upstream.sticky.name: is missing; write the name of the cookie, such as session`},
		{"{url: http://a, sticky: {from: header, name: \"X User\"}}", `w.yaml:1:50: upstream.sticky.name: "X User" is not the name of a header; write one such as X-User`},
		{"{url: http://a, sticky: {from: address, name: sid}}", `w.yaml:1:36: upstream.sticky.from: address is not known; use one of header, cookie, query`},
		{"{url: \"http://10.0.0.1\", sticky: {from: cookie, name: sid}}", `w.yaml:1:45: upstream.sticky.from: cookie has no effect, as there is one address only; write several in upstream.urls, or a name that has several, or remove it`},
		{"{url: \"unix:/run/a\", sticky: {from: query, name: a}}", `w.yaml:1:41: upstream.sticky.from: query has no effect, as there is one address only; write several in upstream.urls, or a name that has several, or remove it`},
	})
}

func mistakesInMatches(t *testing.T) []mistake {
	return beside(t, upstreamLine, []mistake{
		{"policies: [{match: {subprotocol: chat}}]", `w.yaml:2:21: policies[0].match.subprotocol: must be a list, not chat; write each item in a line of its own, after "- "`},
		{"policies: [{match: {subprotocol: [chat, \"\", \"a b\", \"a/b\"]}}]", `w.yaml:2:41: policies[0].match.subprotocol[1]: "" is not a pattern of subprotocols; write one such as graphql-*` + "\n" +
			`w.yaml:2:45: policies[0].match.subprotocol[2]: "a b" is not a pattern of subprotocols; write one such as graphql-*` + "\n" +
			`w.yaml:2:52: policies[0].match.subprotocol[3]: a/b is not a pattern of subprotocols; write one such as graphql-*`},
		{"policies: [{match: {header: [X-Portal]}}]", `w.yaml:2:30: policies[0].match.header[0]: must be a section, not X-Portal; write keys below it, such as name:`},
		{"policies: [{match: {header: [{value: a}]}}]", `w.yaml:2:30: policies[0].match.header[0].name: is missing; write the name of the header, such as X-User`},
		{"policies: [{match: {header: [{name: X-A}, {name: \"X A\"}]}}]", `w.yaml:2:44: policies[0].match.header[1].name: "X A" is not the name of a header; write one such as X-User`},
		{"policies: [{match: {header: [{name: Host, value: a}, {name: Sec-WebSocket-Protocol}, {name: origin}]}}]", `w.yaml:2:31: policies[0].match.header[0].name: Host has a key of its own; use match.host` + "\n" +
			`w.yaml:2:55: policies[0].match.header[1].name: Sec-WebSocket-Protocol has a key of its own; use match.subprotocol` + "\n" +
			`w.yaml:2:87: policies[0].match.header[2].name: origin has a key of its own; use match.origin`},
		{"policies: [{match: {header: [{name: x-wswarden-session}, {name: X-Forwarded-For}]}}]", `w.yaml:2:31: policies[0].match.header[0].name: x-wswarden-session is about the connection to wswarden, and goes no further; use another header` + "\n" +
			`w.yaml:2:59: policies[0].match.header[1].name: X-Forwarded-For is made by wswarden, or by proxies, whatever the client sends; use another header`},
		{"policies: [{match: {header: [{name: X-A, value: \" a\"}, {name: X-B, value: \"a\\r\\nb\"}]}}]", `w.yaml:2:42: policies[0].match.header[0].value: " a" is not a value that a header can have; write one line, without space around it` + "\n" +
			`w.yaml:2:68: policies[0].match.header[1].value: "a\r\nb" is not a value that a header can have; write one line, without space around it`},
		{"policies: [{match: {header: [{name: X-A, vlaue: a}]}}]", `w.yaml:2:42: policies[0].match.header[0].vlaue: is not a known key; did you mean value?`},

		// headers in which nothing is found
		{"policies: [{match: {header: [{name: Upgrade}, {name: TE, value: trailers}]}}]", `w.yaml:2:31: policies[0].match.header[0].name: Upgrade is about the connection to wswarden, and goes no further; use another header` + "\n" +
			`w.yaml:2:48: policies[0].match.header[1].name: TE is about the connection to wswarden, and goes no further; use another header`},
		{"policies: [{connections: {identity: {from: header, name: Proxy-Authorization, required: true}}}]", `w.yaml:2:52: policies[0].connections.identity.name: Proxy-Authorization is about the connection to wswarden, and goes no further; use another header`},

		// paths that no request has once it is read
		{"policies: [{match: {path: /caf%C3%A9/**}}]", `w.yaml:2:21: policies[0].match.path: /caf%C3%A9/** fits no path, as paths are compared decoded and cleaned; write /café/**`},
		{"policies: [{match: {path: /a%20b}}]", `w.yaml:2:21: policies[0].match.path: /a%20b fits no path, as paths are compared decoded and cleaned; write "/a b"`},
		{"policies: [{match: {path: /a%3fb%23%ff/*}}]", `w.yaml:2:21: policies[0].match.path: /a%3fb%23%ff/* fits no path, as paths are compared decoded and cleaned; write /a*b*/*`},
		{"policies: [{match: {path: /%2e}}]", `w.yaml:2:21: policies[0].match.path: /%2e fits no path, as paths are compared decoded and cleaned; write /`},
		{"policies: [{match: {path: /a%2Fb}}]", `w.yaml:2:21: policies[0].match.path: /a%2Fb fits no path, as paths are compared decoded and cleaned; write /a/b`},
		{"policies: [{match: {path: /a//b}}]", `w.yaml:2:21: policies[0].match.path: /a//b fits no path, as paths are compared decoded and cleaned; write /a/b`},
		{"policies: [{match: {path: //a/**}}]", `w.yaml:2:21: policies[0].match.path: //a/** fits no path, as paths are compared decoded and cleaned; write /a/**`},
		{"policies: [{match: {path: /a/./b}}]", `w.yaml:2:21: policies[0].match.path: /a/./b fits no path, as paths are compared decoded and cleaned; write /a/b`},
		{"policies: [{match: {path: /a/../b}}]", `w.yaml:2:21: policies[0].match.path: /a/../b fits no path, as paths are compared decoded and cleaned; write /b`},
		{"policies: [{match: {path: /a/..}}]", `w.yaml:2:21: policies[0].match.path: /a/.. fits no path, as paths are compared decoded and cleaned; write /`},

		// listeners
		{"policies: [{match: {listener: [front]}}]", `w.yaml:2:32: policies[0].match.listener[0]: front is not the name of a listener, nor the address of one without a name; known here: 127.0.0.1:8080`},
		{"policies: [{match: {listener: [\"\"]}}]", `w.yaml:2:32: policies[0].match.listener[0]: "" is not the name of a listener, nor the address of one without a name; known here: 127.0.0.1:8080`},
		{"listeners: [{address: \":1\", name: front}, {address: \":2\", name: back}, {address: \":3\"}]\npolicies: [{match: {listener: [frnot, \":2\", \":3\", nobody]}}, {}]", `w.yaml:3:32: policies[0].match.listener[0]: frnot is not the name of a listener, nor the address of one without a name; did you mean front?` + "\n" +
			`w.yaml:3:39: policies[0].match.listener[1]: :2 has a name; write that, back` + "\n" +
			`w.yaml:3:51: policies[0].match.listener[3]: nobody is not the name of a listener, nor the address of one without a name; known here: :3, back, front`},
		{"listeners: [{address: \"1\"}]\npolicies: [{match: {listener: [front]}}]", `w.yaml:2:14: listeners[0].address: 1 is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path`},

		// order
		{"policies: [{match: {subprotocol: [a*]}}, {match: {subprotocol: [ab]}}]", `w.yaml:2:43: policies[1].match: selects nothing, as policies[0] (policy-1) comes first and selects all of it; move this policy above that one`},
		{"policies: [{match: {header: [{name: X-A}]}}, {match: {header: [{name: x-a, value: b}]}}]", `w.yaml:2:47: policies[1].match: selects nothing, as policies[0] (policy-1) comes first and selects all of it; move this policy above that one`},
		{"listeners: [{name: a}]\npolicies: [{match: {listener: [a]}}, {match: {listener: [a], path: /a}}]", `w.yaml:3:39: policies[1].match: selects nothing, as policies[0] (policy-1) comes first and selects all of it; move this policy above that one`},

		// identities in certificates
		{"policies: [{connections: {identity: {from: certificate}}}]", `w.yaml:2:27: policies[0].connections.identity.name: is missing; write which part of the certificate it is, one of subject, common_name, dns, email, uri` + "\n" +
			`w.yaml:2:38: policies[0].connections.identity.from: certificate cannot be done, as no listener that the policy's clients come by asks for one; write tls.client_ca into one, or use query, header or cookie`},
		{"listeners: [{tls: {cert: cert.pem, key: key.pem}}]\npolicies: [{connections: {identity: {from: certificate, name: cn}}}]", `w.yaml:3:38: policies[0].connections.identity.from: certificate cannot be done, as no listener that the policy's clients come by asks for one; write tls.client_ca into one, or use query, header or cookie` + "\n" +
			`w.yaml:3:57: policies[0].connections.identity.name: cn is not a part of a certificate that is known; use one of subject, common_name, dns, email, uri`},
		{"listeners: [{tls: {cert: cert.pem, key: key.pem, client_ca: cert.pem}}, {address: \":1\", name: plain}]\npolicies: [{match: {listener: [plain]}, connections: {identity: {from: certificate, name: subject}}}]", `w.yaml:3:66: policies[0].connections.identity.from: certificate cannot be done, as no listener that the policy's clients come by asks for one; write tls.client_ca into one, or use query, header or cookie`},
		{"listeners: [{tls: {cert: none, key: key.pem}}]\npolicies: [{connections: {identity: {from: certificate, name: subject}}}]", `w.yaml:2:20: listeners[0].tls.cert: none cannot be read: no such file or directory; name a file that wswarden may read`},
	})
}
