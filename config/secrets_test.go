package config

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Whatever is wrong: what comes out of a ${…} is in no problem. Every value of every
// file with a mistake is put into the environment, one by one.
func TestProblemsHoldNothingExpanded(t *testing.T) {
	tried := 0
	// What problems give as examples and remedies, or call things.
	words := []string{"10.0.0.0/8", "127.0.0.1:5000", "127.0.0.1:4318", "4318", "chat", "::1", "20", "10s", "policy-2", "subscribe", "topic", "type",
		"query", "header", "cookie", "message", "memory", "redis", "enforce", "observe",
		"certificate", "subject", "unix:"}
	for _, m := range mistakes(t) {
		root, err := parse([]byte(m.file))
		if err != nil || root == nil || strings.Contains(m.file, "${") {
			continue
		}
		for _, n := range scalars(root) {
			value := n.Value
			if len(value) < 2 || strings.Contains(value, "\x00") || !strings.ContainsFunc(value, func(r rune) bool { return r > ' ' }) {
				continue
			}
			t.Setenv("EXPANDED", value)
			before := *n
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "${EXPANDED}"}
			text, err := yaml.Marshal(root)
			*n = before
			if err != nil {
				continue // keys that are no text
			}
			tried++
			_, err = Parse("w.yaml", text)
			if err == nil {
				continue
			}
			if slices.Contains(words, value) || strings.Contains(string(text), value) {
				continue // somebody else says it
			}
			word := regexp.MustCompile(`(^|[^\w.])` + regexp.QuoteMeta(value) + `($|[^\w.])`)
			for _, p := range err.(Problems) {
				if word.MatchString(p.Text) {
					t.Errorf("%s is in: %s\n%s", value, p, text)
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d values", tried)
	}
}

// scalars are the values below a node, but for keys.
func scalars(n *yaml.Node) (all []*yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []*yaml.Node{n}
	case yaml.MappingNode:
		for pair := range slices.Chunk(n.Content, 2) {
			all = append(all, scalars(pair[1])...)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			all = append(all, scalars(item)...)
		}
	}
	return all
}
