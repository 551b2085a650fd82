package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxExpanded is how much a file may hold whose content is put into a value.
const maxExpanded = 64 << 10

// variableName is what ${NAME} may name.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand returns a scalar's text with ${NAME} and ${file:PATH} replaced by what they
// stand for, which is not looked at again, and notes how an expanded one is written.
// Not ok: something is wrong, which is told; of the text, only names are.
func (r *reader) expand(key string, n *yaml.Node) (text string, expanded, ok bool) {
	if r.variable != "" || r.environ == nil {
		return n.Value, false, true
	}
	var b strings.Builder
	ok = true
	for rest := n.Value; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		name, behind, closed := strings.Cut(rest[i+2:], "}")
		if !closed {
			r.problem(key, "has a ${ without its }; write ${NAME} or ${file:/path}, or $${ for the text ${")
			return "", false, false
		}
		value, problem := r.lookUp(name)
		if problem != "" {
			r.problem(key, "%s", problem)
			ok = false
		}
		b.WriteString(value)
		rest, expanded = behind, true
	}
	if expanded {
		w := asWritten{text: n.Value}
		if isSecretURL(key) {
			w.text = withoutLiteralSecrets(n.Value)
			w.cut = w.text != n.Value
		}
		r.written[key] = w
	}
	return b.String(), expanded, ok
}

// lookUp returns what ${NAME} stands for. The problem is empty if it could.
func (r *reader) lookUp(name string) (value, problem string) {
	path, isFile := strings.CutPrefix(name, "file:")
	switch {
	case isFile:
		value, problem = r.content(path)
	case !variableName.MatchString(name):
		return "", "has a ${…} that names neither a variable nor a file; write ${NAME} or ${file:/path}, or $${ for the text ${"
	default:
		var set bool
		if value, set = r.environ(name); !set {
			return "", fmt.Sprintf("${%s} is not set in the environment; set %s, or write $${ for the text ${", name, name)
		}
		r.inputs.add("variable", name, value)
	}
	if problem == "" && !utf8.ValidString(value) {
		problem = "is not valid UTF-8; let it hold text"
	}
	if problem != "" {
		return "", fmt.Sprintf("${%s} %s", oneLine.Replace(name), problem)
	}
	return value, ""
}

// content reads the file of that path, which begins where the configuration's is.
func (r *reader) content(path string) (text, problem string) {
	if path == "" {
		return "", "names no file; write one, such as ${file:/run/secrets/password}"
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.file), path)
	}
	read, err := r.inputs.read(path, func(name string) ([]byte, error) { return readSmall(name, maxExpanded) })
	switch {
	case err != nil:
		return "", fmt.Sprintf("cannot be read: %v; name a file that wswarden may read", err)
	case len(read) > maxExpanded:
		return "", fmt.Sprintf("has more than %s; name a file that holds the value alone", size(maxExpanded))
	}
	text, ended := strings.CutSuffix(string(read), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, ""
}

// literal writes a text so that nothing in it is expanded.
func literal(text string) string { return strings.ReplaceAll(text, "${", "$${") }
