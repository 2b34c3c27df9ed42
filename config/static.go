package config

import (
	"sort"
	"strconv"
	"strings"
)

// Static is what a broker is started with: the defaults and what file, environment and flags set over them. It never changes.
// Getters panic on a name or type that the table does not have: that is a bug of the caller.
type Static struct {
	set []entry // sorted by key; values are trimmed; unknown keys too
}

// Value is one setting of a Static, as `weir config print` shows it.
type Value struct {
	Name, Value string
	Null        bool   // not set, and there is no default
	Sensitive   bool   // Value must not be shown
	Origin      string // "default", a file's name, a variable's name, --set
}

func (s *Static) find(name string) *entry {
	if s == nil {
		return nil
	}
	i := sort.Search(len(s.set), func(i int) bool { return s.set[i].key >= name })
	if i < len(s.set) && s.set[i].key == name {
		return &s.set[i]
	}
	return nil
}

// IsSet says whether a file, a variable or a flag set the key.
func (s *Static) IsSet(name string) bool { return s.find(name) != nil }

// Origin is where the value of a key comes from: "default", or the name of the file, the variable or the flag.
func (s *Static) Origin(name string) string {
	if e := s.find(name); e != nil {
		return e.origin
	}
	return "default"
}

// Has says whether a key has a value: set or by default.
func (s *Static) Has(name string) bool { return s.IsSet(name) || !known(name).Null }

// String is the value as text; "" where there is none.
func (s *Static) String(name string) string {
	if e := s.find(name); e != nil {
		return e.value
	}
	return known(name).Default
}

// Int is the value of an Int or Short; 0 where there is none.
func (s *Static) Int(name string) int { return int(s.Int64(name)) }

// Int64 is the value of an Int, Short or Long; 0 where there is none.
func (s *Static) Int64(name string) int64 { return toInt64(name, s.String(name)) }

// Bool is the value of a Boolean; false where there is none.
func (s *Static) Bool(name string) bool { return strings.EqualFold(s.String(name), "true") }

// Float is the value of a Double; 0 where there is none.
func (s *Static) Float(name string) float64 { return toFloat(name, s.String(name)) }

// List is the value of a List, taken apart, without repetition; nil where it is empty.
func (s *Static) List(name string) []string { return unique(SplitList(s.String(name))) }

// NodeID is node.id, by its old name broker.id too.
func (s *Static) NodeID() int32 { return int32(s.Int("node.id")) }

// WithNodeID returns s with another node.id: one that the cluster gave, or that the data has.
func (s *Static) WithNodeID(id int32, origin string) *Static {
	out := &Static{}
	for _, key := range [...]string{"broker.id", "node.id"} {
		out.set = append(out.set, entry{key, strconv.Itoa(int(id)), origin, key})
	}
	if s != nil {
		for _, e := range s.set {
			if e.key != "broker.id" && e.key != "node.id" {
				out.set = append(out.set, e)
			}
		}
	}
	sort.Slice(out.set, func(i, j int) bool { return out.set[i].key < out.set[j].key })
	return out
}

// ClusterID is the id that the cluster must have or get; "" leaves it to what the data says or to chance.
func (s *Static) ClusterID() string { return strings.TrimSuffix(s.String("cluster.id"), "==") }

// LogDirs is log.dirs, else log.dir; never empty.
func (s *Static) LogDirs() []string {
	if dirs := s.List("log.dirs"); len(dirs) > 0 {
		return dirs
	}
	return s.List("log.dir")
}

// MetadataLogDir is metadata.log.dir, else the first of LogDirs.
func (s *Static) MetadataLogDir() string {
	if dir := s.String("metadata.log.dir"); dir != "" {
		return dir
	}
	return s.LogDirs()[0]
}

// All returns every known setting, and the unknown ones that were set, sorted by name.
func (s *Static) All() []Value {
	rows := Settings(BrokerScope)
	all := make([]Value, 0, len(rows))
	for _, row := range rows {
		v := Value{Name: row.Name, Value: row.Default, Null: row.Null, Sensitive: row.Sensitive(), Origin: "default"}
		if e := s.find(row.Name); e != nil {
			v.Value, v.Null, v.Origin = e.value, false, e.origin
		} else if row.Internal {
			continue
		}
		all = append(all, v)
	}
	if s != nil {
		for _, e := range s.set {
			if Lookup(BrokerScope, e.key) == nil {
				base := lookupBase(e.key)
				all = append(all, Value{Name: e.key, Value: e.value, Sensitive: base == nil || base.Sensitive(), Origin: e.origin})
			}
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

func known(name string) *Setting {
	s := Lookup(BrokerScope, name)
	if s == nil {
		panic("config: no broker setting is called " + name)
	}
	return s
}

func toInt64(name, text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		panic("config: " + name + " is no whole number: " + text)
	}
	return n
}

func toFloat(name, text string) float64 {
	if text == "" {
		return 0
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		panic("config: " + name + " is no number: " + text)
	}
	return f
}

// lookupBase finds the setting of a key that may be prefixed for one listener (listener.name.<listener>.) and one SASL mechanism.
func lookupBase(key string) *Setting {
	if s := Lookup(BrokerScope, key); s != nil {
		return s
	}
	base, ok := listenerBase(key)
	if !ok {
		return nil
	}
	if s := Lookup(BrokerScope, base); s != nil {
		return s
	}
	if _, rest, ok := strings.Cut(base, "."); ok {
		for _, name := range mechanismSettings {
			if rest == name {
				return Lookup(BrokerScope, rest)
			}
		}
	}
	return nil
}

// mechanismSettings can be set for one SASL mechanism of a listener.
var mechanismSettings = [...]string{
	"connections.max.reauth.ms", "sasl.jaas.config", "sasl.login.callback.handler.class", "sasl.login.class",
	"sasl.server.callback.handler.class",
}

// listenerBase cuts listener.name.<listener>. off.
func listenerBase(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, "listener.name.")
	if !ok {
		return "", false
	}
	_, base, ok := strings.Cut(rest, ".")
	return base, ok
}
