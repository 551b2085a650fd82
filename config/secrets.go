package config

import (
	"net/url"
	"regexp"
	"strings"
)

// isSecretURL reports whether a key's value is a URL that may have secrets in it.
func isSecretURL(key string) bool {
	return key == "store.url" || key == "tracing.otlp_endpoint" || strings.HasSuffix(key, "release.webhook.url")
}

// shownURL is such a value as it may be shown, be it valid or not. It is empty for one
// that may not be shown at all.
func shownURL(key, text string) string {
	if key == "store.url" {
		return Store{URL: text}.Redacted()
	}
	return withoutSecrets(text)
}

// withoutSecrets is empty for what is not a URL, or has no host where one has it: nobody
// can tell what of it is secret.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

var (
	// expansion is one, or what only looks like the beginning of one.
	expansion = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}`)
	// user is what a URL has before its host.
	user = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*@)?`)
	// expandedUser is one whose password, or all of which, is written as ${…}.
	expandedUser = regexp.MustCompile(`^([^:]*:)?\x00+@$`)
	// expandedQuery is one whose values all are.
	expandedQuery = regexp.MustCompile(`^\?[^=&\x00]+=\x00+(&[^=&\x00]+=\x00+)*$`)
)

// withoutLiteralSecrets is a URL with ${…} in it as it is written, but without a user
// and a query that are not left to ${…} entirely. It is empty if nobody can tell what
// of it is secret.
func withoutLiteralSecrets(written string) string {
	var parts []string // which are no part of the URL's syntax
	text := expansion.ReplaceAllStringFunc(strings.ReplaceAll(written, "\x00", ""), func(part string) string {
		if part == "$${" {
			return part
		}
		parts = append(parts, part)
		return "\x00"
	})
	from := 0
	if at := user.FindStringSubmatchIndex(text); at != nil {
		if from = at[1]; at[4] >= 0 && !expandedUser.MatchString(text[at[4]:at[5]]) {
			parts = append(parts[:strings.Count(text[:at[4]], "\x00")], parts[strings.Count(text[:at[5]], "\x00"):]...)
			text, from = text[:at[4]]+text[at[5]:], at[4]
		}
	}
	if i := strings.IndexAny(text, "?#"); i >= 0 && !expandedQuery.MatchString(text[i:]) {
		text = text[:i]
	}
	if strings.Contains(text[from:], "@") {
		return ""
	}
	for _, part := range parts {
		text = strings.Replace(text, "\x00", part, 1)
	}
	return text
}
