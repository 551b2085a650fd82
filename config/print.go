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
// behind it where the value comes from. A value with ${…} in it is shown as it was
// written. What may be secret otherwise is left out: of store.url the user, the password
// and the options, of a webhook's URL the query. But for that, what is written can be
// loaded again, from the same folder if a ${file:…} in it begins there, and is the same
// configuration.
func Print(w io.Writer, c *Config, from Places) error {
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(printer{c.written, from}.node("", reflect.ValueOf(c).Elem())); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

type printer struct {
	written writings
	from    Places
}

func (p printer) node(path string, value reflect.Value) *yaml.Node {
	switch t := value.Type(); {
	case isSection(t):
		section := &yaml.Node{Kind: yaml.MappingNode}
		for name, value := range fields(value) {
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
		at := join(path, plain(field.Name))
		value := textNode("null")
		switch x := field.Value.(type) {
		case nil:
			value.Tag = "!!null"
		case string:
			value = p.value(at, reflect.ValueOf(x))
		case bool:
			value = numberNode(strconv.FormatBool(x))
		case float64:
			value = numberNode(strconv.FormatFloat(x, 'g', -1, 64))
		}
		section.Content = append(section.Content, textNode(field.Name), p.from.mark(at, value))
	}
	if len(fields) == 0 {
		section.Style = yaml.FlowStyle
		p.from.mark(path, section)
	}
	return section
}

func (p printer) scalar(path string, value reflect.Value) *yaml.Node {
	n := p.value(path, value)
	w, expanded := p.written[path]
	if isSecretURL(path) && (w.cut || !expanded && n.Value != literal(value.String())) {
		n.LineComment = redacted
	}
	return n
}

func (p printer) value(path string, value reflect.Value) *yaml.Node {
	if w, expanded := p.written[path]; expanded {
		return textNode(w.text)
	}
	switch x := p.written.setting(path, value).(type) {
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

// mark says behind a value where it comes from.
func (p Places) mark(key string, n *yaml.Node) *yaml.Node {
	n.LineComment = "# " + p.Of(key) + n.LineComment
	return n
}
