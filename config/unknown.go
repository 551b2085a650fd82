package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// ofService matches variables that Kubernetes sets for a service named wswarden, or
// wswarden-admin.
var ofService = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT$|_PORT_\d+_(TCP|UDP|SCTP)(_|$)`)

var numbers = regexp.MustCompile(`_\d+_`)

// Unknown tells of the variables in environ, which is as os.Environ has it, that name no
// key but are most likely meant to: a line for each. They are no error, as others may
// set what begins with WSWARDEN_ too. Of their values nothing is told. There are none
// if nothing could be read, as keys of items are known only then.
func (l *Loaded) Unknown(environ []string) (lines []string) {
	if len(l.variables) == 0 {
		return nil
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, Variable("")) || slices.Contains(l.variables, name) || ofService.MatchString(name) {
			continue
		}
		likeIt := func(known string) bool {
			return numbers.ReplaceAllString(known, "_") == numbers.ReplaceAllString(name, "_")
		}
		inIt := func(known string) bool { return strings.HasPrefix(known, name+"_") }
		if slices.ContainsFunc(l.variables, likeIt) {
			lines = append(lines, name+": names a key of a list's item that there is not; items are counted from 0")
		} else if i := slices.IndexFunc(l.variables, inIt); i >= 0 {
			lines = append(lines, name+": names no key; set one such as "+l.variables[i])
		} else if near := nearest(name, l.variables); near != "" {
			lines = append(lines, name+": names no key; did you mean "+near+"?")
		} else if namesSection(name) {
			lines = append(lines, name+": names no key; wswarden check --print tells all of them")
		}
	}
	slices.Sort(lines)
	return lines
}

// namesSection reports whether a variable is called like a section, or begins as those
// in it do.
func namesSection(name string) bool {
	for section := range fields(reflect.ValueOf(Default()).Elem()) {
		if strings.HasPrefix(name+"_", Variable(section)+"_") {
			return true
		}
	}
	return false
}
