package policies

import "strings"

// fits matches text against a pattern in which each "*" stands for any text,
// also for none. What stands between two stars is sought from the left and never
// again, so that a text of a client's choice costs no more than its length.
func fits(pattern, text string) bool {
	before, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, before)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(text, part)
		}
		if _, text, ok = strings.Cut(text, part); !ok {
			return false
		}
		rest = more
	}
}

// fitsAny reports whether one of the patterns fits.
func fitsAny(patterns []string, text string) bool {
	for _, pattern := range patterns {
		if fits(pattern, text) {
			return true
		}
	}
	return false
}
