package file

import (
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"weir/proxy/filter"
	"weir/proxy/filter/access"
	"weir/proxy/filter/audit"
	"weir/proxy/filter/chaos"
	"weir/proxy/filter/policy"
	"weir/proxy/filter/ratelimit"
	"weir/proxy/filter/readonly"
)

// auditConfig is what an audit filter is made of.
type auditConfig struct {
	File string   `yaml:"file"`
	Keys []string `yaml:"keys"`
}

// filters are the filters that a file may name, and what makes each.
var filters = map[string]func(*reader, *File, one) filter.Filter{
	"read-only":  build(func(_ *File, c readonly.Config) (filter.Filter, error) { return readonly.New(c) }),
	"access":     build(func(_ *File, c access.Config) (filter.Filter, error) { return access.New(c) }),
	"policy":     build(func(_ *File, c policy.Config) (filter.Filter, error) { return policy.New(c) }),
	"rate-limit": build(func(_ *File, c ratelimit.Config) (filter.Filter, error) { return ratelimit.New(c, nil) }),
	"chaos":      build(func(_ *File, c chaos.Config) (filter.Filter, error) { return chaos.New(c) }),
	"audit": build(func(f *File, c auditConfig) (filter.Filter, error) {
		to, err := f.appendTo(c.File)
		if err != nil {
			return nil, err
		}
		return audit.New(to, c.Keys)
	}),
}

// build makes a function that decodes a filter's settings and makes it.
func build[C any](make func(*File, C) (filter.Filter, error)) func(*reader, *File, one) filter.Filter {
	return func(r *reader, f *File, o one) filter.Filter {
		var c C
		before := len(r.problems)
		if o.node != nil {
			r.decode(o.node, reflect.ValueOf(&c).Elem())
		}
		if len(r.problems) > before {
			return nil
		}
		made, err := make(f, c)
		if err != nil {
			r.wrong(o.line, "filter %s: %v", o.name, err)
			return nil
		}
		return made
	}
}

// makeFilters makes the filters of a cluster.
func (r *reader) makeFilters(f *File, all []one) (made []filter.Filter) {
	for _, o := range all {
		build, ok := filters[o.name]
		if !ok {
			if o.name != "" {
				r.wrong(o.line, "there is no filter %q: there are %s", o.name, strings.Join(slices.Sorted(maps.Keys(filters)), ", "))
			}
			continue
		}
		if x := build(r, f, o); x != nil {
			made = append(made, x)
		}
	}
	return made
}

// appendTo opens a file to write lines to; "" and "-" are standard error.
func (f *File) appendTo(name string) (io.Writer, error) {
	if name == "" || name == "-" {
		return os.Stderr, nil
	}
	if f.checking {
		return io.Discard, nil
	}
	to, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err == nil {
		f.open = append(f.open, to)
	}
	return to, err
}
