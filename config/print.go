package config

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"wswarden/policies/dialects"
)

// Print writes every key of a valid Config with its value, defaults filled in, and
// behind it where the value comes from. What may be secret is left out: of store.url
// the user, the password and the options, of a webhook's URL the query. But for that,
// what is written can be loaded again and is the same configuration.
func Print(w io.Writer, c *Config, from Places) error {
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(printer{from}.node("", reflect.ValueOf(c).Elem())); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

type printer struct{ from Places }

func (p printer) node(path string, value reflect.Value) *yaml.Node {
	switch t := value.Type(); {
	case isSection(t):
		section := &yaml.Node{Kind: yaml.MappingNode}
		for field, value := range value.Fields() {
			name := field.Tag.Get("mapstructure")
			section.Content = append(section.Content, textNode(name), p.node(join(path, name), value))
		}
		return section
	case t == fieldsType:
		return p.fields(path, value.Interface().(dialects.Fields))
	case t.Kind() == reflect.Slice:
		return p.list(path, value)
	default:
		return p.from.mark(path, p.scalar(path, value))
	}
}

// list has sections in lines of their own, and single values in one line.
func (p printer) list(path string, value reflect.Value) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	sections := isSectionList(value.Type())
	for i := range value.Len() {
		at := fmt.Sprintf("%s[%d]", path, i)
		if sections {
			list.Content = append(list.Content, p.node(at, value.Index(i)))
		} else {
			list.Content = append(list.Content, p.scalar(at, value.Index(i)))
		}
	}
	if sections && value.Len() > 0 {
		return list
	}
	list.Style = yaml.FlowStyle
	return p.from.mark(path, list)
}

func (p printer) fields(path string, fields dialects.Fields) *yaml.Node {
	section := &yaml.Node{Kind: yaml.MappingNode}
	for _, field := range fields {
		value := textNode("null")
		switch x := field.Value.(type) {
		case nil:
			value.Tag = "!!null"
		case string:
			value = textNode(x)
		case bool:
			value = numberNode(strconv.FormatBool(x))
		case float64:
			value = numberNode(strconv.FormatFloat(x, 'g', -1, 64))
		}
		section.Content = append(section.Content, textNode(field.Name), p.from.mark(join(path, plain(field.Name)), value))
	}
	if len(fields) == 0 {
		section.Style = yaml.FlowStyle
		p.from.mark(path, section)
	}
	return section
}

func (p printer) scalar(path string, value reflect.Value) *yaml.Node {
	switch {
	case path == "store.url":
		return secretNode(value.String(), Store{URL: value.String()}.Redacted())
	case strings.HasSuffix(path, ".release.webhook.url"):
		return secretNode(value.String(), withoutSecrets(value.String()))
	}
	switch x := setting(value).(type) {
	case string:
		if _, err := strconv.ParseInt(x, 10, 64); err == nil && value.Kind() == reflect.Int64 {
			return numberNode(x) // a size without a unit
		}
		return textNode(x)
	case fmt.Stringer:
		return textNode(x.String())
	case float64:
		return numberNode(strconv.FormatFloat(x, 'g', -1, 64))
	default: // counts, close codes, true and false
		return numberNode(fmt.Sprint(x))
	}
}

func textNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.Contains(text, "\n") {
		n.Style = yaml.DoubleQuotedStyle // has room for a comment behind it
	}
	return n
}

func numberNode(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

const redacted = ", redacted"

func secretNode(text, shown string) *yaml.Node {
	n := textNode(shown)
	if shown != text {
		n.LineComment = redacted
	}
	return n
}

// mark says behind a value where it comes from.
func (p Places) mark(key string, n *yaml.Node) *yaml.Node {
	n.LineComment = "# " + p.Of(key) + n.LineComment
	return n
}
