package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong.
type Problem struct {
	// Place is file:line, an environment variable or a flag. It is empty for
	// a Config that was not read from any of them.
	Place string
	// Key as in drain.timeout or policies[0].name; empty for the file itself.
	Key string
	// Text says what is wrong with the value, and what to do.
	Text string

	line int // in the file; 0 elsewhere
}

// String is the problem in one line.
func (p Problem) String() string {
	parts := []string{p.Place, p.Key, p.Text}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Problems is an error that lists all that is wrong, a line for each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// cover reports whether a problem of the key, or of a section that it is in,
// is listed.
func (ps Problems) cover(key string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return within(key, p.Key) })
}

// touch reports whether a problem of the section, or of a key in it, is listed.
func (ps Problems) touch(section string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return within(p.Key, section) })
}

// within reports whether the key is that of the section or list, or in it.
func within(key, section string) bool {
	rest, ok := strings.CutPrefix(key, section)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// origin is where a value comes from.
type origin struct {
	place string
	line  int // in the file; 0 elsewhere
}

// origins holds the origin of each key that was given, and of the sections and
// lists around it. The file itself has the key "".
type origins map[string]origin

// of returns the origin of the key or, for an absent one, of the section that
// it would be in.
func (o origins) of(key string) origin {
	for key != "" {
		if at, ok := o[key]; ok {
			return at
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return o[""]
}

func (r *reader) problem(key, format string, args ...any) {
	at := r.origins.of(key)
	r.problems = append(r.problems, Problem{at.place, key, fmt.Sprintf(format, args...), at.line})
}

// validate adds what is wrong with the whole. What could not be read has its
// default by now: a problem that follows from that is left out.
func (r *reader) validate(c *Config) {
	for _, p := range c.check(r.problems) {
		r.problem(p.Key, "%s", p.Text)
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.line, b.line) })
}
