package file

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing that is wrong, and the line that it is in; 0 is the file as a whole.
type Problem struct {
	Line int
	Text string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

// reader gathers problems.
type reader struct{ problems []Problem }

func (r *reader) wrong(line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{line, fmt.Sprintf(format, args...)})
}

// one is an element of the list of filters: a mapping of one name, whose value is decoded when the filter is known.
type one struct {
	line int
	name string
	node *yaml.Node
}

// decode reads a node without aliases into a value as yaml does, but that keys which are not there, or come twice, are problems with their line.
func (r *reader) decode(n *yaml.Node, to reflect.Value) {
	switch {
	case to.Type() == reflect.TypeFor[one]():
		r.filter(n, to.Addr().Interface().(*one))
	case to.Kind() == reflect.Pointer:
		if n.Tag != "!!null" {
			to.Set(reflect.New(to.Type().Elem()))
			r.decode(n, to.Elem())
		}
	case to.Kind() == reflect.Struct:
		r.structure(n, to)
	case to.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.wrong(n.Line, "a list is wanted here, each element after a dash")
			return
		}
		for _, e := range n.Content {
			v := reflect.New(to.Type().Elem()).Elem()
			r.decode(e, v)
			to.Set(reflect.Append(to, v))
		}
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		r.wrong(n.Line, "one value is wanted here")
	default:
		if err := n.Decode(to.Addr().Interface()); err != nil {
			r.wrong(n.Line, "%q is no %s", n.Value, kind(to))
		}
	}
}

func (r *reader) structure(n *yaml.Node, to reflect.Value) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, "keys are wanted here: %s", strings.Join(keys(to.Type()), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := slices.Index(keys(to.Type()), key.Value)
		switch {
		case at < 0:
			r.wrong(key.Line, "unknown key %q: allowed are %s", key.Value, strings.Join(keys(to.Type()), ", "))
		case seen[key.Value] > 0:
			r.wrong(key.Line, "key %q is there already, in line %d", key.Value, seen[key.Value])
		default:
			r.decode(value, to.Field(at))
		}
		seen[key.Value] = key.Line
	}
}

// keys are the names of a structure's fields, in their order.
func keys(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		all = append(all, t.Field(i).Tag.Get("yaml"))
	}
	return all
}

// kind says what a value is to be.
func kind(v reflect.Value) string {
	switch {
	case v.Type().String() == "time.Duration":
		return "duration such as 50ms or 2s"
	case v.CanInt() || v.CanUint():
		return "whole number"
	case v.CanFloat():
		return "number"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "text"
}

// filter reads an element of the list of filters: a name alone, or a name and its settings.
func (r *reader) filter(n *yaml.Node, to *one) {
	to.line = n.Line
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		to.name = n.Value
	case n.Kind == yaml.MappingNode && len(n.Content) == 2:
		to.name, to.node = n.Content[0].Value, n.Content[1]
	default:
		r.wrong(n.Line, "a filter is its name, a colon, and its settings below it")
	}
}
