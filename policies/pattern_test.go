package policies

import (
	"regexp"
	"strings"
	"testing"
)

func TestFits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern string
		fits    []string
		not     []string
	}{
		{"", []string{""}, []string{"a", "*"}},
		{"*", []string{"", "a", "a/b", "*", "ä\n"}, nil},
		{"a", []string{"a"}, []string{"", "A", "aa", "ab"}},
		{"a*", []string{"a", "ab", "a/b/c", "a*"}, []string{"", "b", "ba"}},
		{"*a", []string{"a", "ba", "aa"}, []string{"", "ab"}},
		{"a*a", []string{"aa", "aaa", "aba"}, []string{"a", "ab", "ba"}},
		{"*a*", []string{"a", "bab", "aaa"}, []string{"", "b"}},
		{"**", []string{"", "a"}, nil},
		{"a**b", []string{"ab", "axb"}, []string{"a", "b"}},
		{"room/*/in", []string{"room//in", "room/1/in", "room/1/2/in"}, []string{"room/in", "room/1/out"}},
		{"*ab*ab*", []string{"abab", "xabxabx"}, []string{"ab", "abxba"}},
		{"*ab*b", []string{"abb", "ababb", "aabbb"}, []string{"ab", "abba"}},
		{"private-*", []string{"private-", "private-1"}, []string{"private", "xprivate-1"}},
		{"?.", []string{"?."}, []string{"a."}},
		{"ö*", []string{"ö", "öl"}, []string{"o"}},
	}
	for _, tt := range tests {
		for want, texts := range map[bool][]string{true: tt.fits, false: tt.not} {
			for _, text := range texts {
				if got := fits(tt.pattern, text); got != want {
					t.Errorf("pattern %q, text %q: %v, want %v", tt.pattern, text, got, want)
				}
			}
		}
	}
}

// What is sought from the left and not again is found whenever there is any way
// to find it.
func TestFitsLikeRegexp(t *testing.T) {
	t.Parallel()
	words := func(alphabet string, most int) (all []string) {
		all = []string{""}
		for from := 0; most > 0; most-- {
			to := len(all)
			for _, word := range all[from:to] {
				for _, letter := range alphabet {
					all = append(all, word+string(letter))
				}
			}
			from = to
		}
		return all
	}
	texts := words("ab", 6)
	for _, pattern := range words("ab*", 5) {
		re := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "*", ".*") + "$")
		for _, text := range texts {
			if got, want := fits(pattern, text), re.MatchString(text); got != want {
				t.Fatalf("pattern %q, text %q: %v, want %v", pattern, text, got, want)
			}
		}
	}
}

// A text that nearly fits in very many ways is refused at once: with backtracking
// this would not end.
func TestFitsWithoutBacktracking(t *testing.T) {
	t.Parallel()
	if fits(strings.Repeat("a*", 1000)+"b", strings.Repeat("a", 1<<20)) {
		t.Error("fits")
	}
	if (&Match{Path: "/" + strings.Repeat("a*", 50) + "b"}).fitsPath("/" + strings.Repeat("a", 4096)) {
		t.Error("a path fits")
	}
}
