package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong.
type Problem struct {
	// Place is file:line:column, an environment variable or a flag. It is empty
	// for a Config that was not read from any of them.
	Place string
	// Key as in drain.timeout or policies[0].name; empty for the file itself.
	Key string
	// Text says what is wrong with the value, and what to do.
	Text string

	at place
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

// place is where a value comes from.
type place struct {
	name         string // of the file, the environment variable or the flag
	file         int    // which of several, from 1; 0 elsewhere
	line, column int    // of the key or the list's item in the file, from 1; 0 elsewhere
}

// String is the place as Problem has it.
func (p place) String() string {
	if p.line == 0 {
		return p.name
	}
	return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.column)
}

// Places says where the values of a Config come from. It holds the place of each
// key that was given, and of the sections and lists around it. The file itself has
// the key "".
type Places map[string]place

// Of returns where a key's value comes from: file:line, "environment WSWARDEN_…",
// "flag --…", or "default". A list's items come from where the list does, unless
// they have places of their own.
func (p Places) Of(key string) string {
	at, given := p[key]
	switch {
	case !given:
		return "default"
	case at.line > 0:
		return fmt.Sprintf("%s:%d", at.name, at.line)
	case strings.HasPrefix(at.name, "--"):
		return "flag " + at.name
	default:
		return "environment " + at.name
	}
}

// At is the place of a key, or of what it would be in, as Problem has it.
func (p Places) At(key string) string { return p.of(key).String() }

// of returns the place of the key or, for an absent one, of the section that
// it would be in.
func (p Places) of(key string) place {
	for key != "" {
		if at, ok := p[key]; ok {
			return at
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return p[""]
}

func (r *reader) problem(key, format string, args ...any) {
	r.problemAt(r.places.of(key), key, format, args...)
}

// maxProblems is how many are told: what has more is no configuration.
const maxProblems = 1000

func (r *reader) problemAt(at place, key, format string, args ...any) {
	switch {
	case len(r.problems) > maxProblems:
		return
	case len(r.problems) == maxProblems:
		key, format, args = "", "there is more that is wrong; correct what is told first", nil
	}
	r.problems = append(r.problems, Problem{at.String(), key, fmt.Sprintf(format, args...), at})
}

// validate adds what is wrong with the whole. What could not be read has its
// default by now: a problem that follows from that is left out.
func (r *reader) validate(c *Config) {
	for _, more := range []func(known Problems, from Places) Problems{c.check, c.doubt} {
		for _, p := range more(r.problems, r.places) {
			r.problem(p.Key, "%s", p.Text)
		}
	}
}

// sorted returns the problems in the order of the files and their lines.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	return ps
}
