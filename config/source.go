package config

import (
	"fmt"
	"strings"

	"github.com/magiconair/properties"
)

// Source is what one place sets: a properties file, the environment, the flags. The zero Source sets nothing.
type Source struct {
	Values map[string]string // what a properties file says, as it stands there; nil for other sources; not to be written to

	entries []entry
	kind    sourceKind
}

type sourceKind int8

const (
	kindFile sourceKind = iota
	kindEnv
	kindFlag
)

type entry struct {
	key, value string
	origin     string // a file's name, a variable's name, --set
	written    string // the key that was written, where it is another name of key
}

// FromProperties reads a file in the format of Java properties, in UTF-8 (or Latin-1 by \u escapes). Nothing in values is
// expanded. name is what messages call it.
func FromProperties(name string, text []byte) (Source, error) {
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := loader.LoadBytes(text)
	if err != nil {
		return Source{}, fmt.Errorf("%s: %w", name, err)
	}
	s := Source{kind: kindFile, Values: p.Map()}
	for _, key := range p.Keys() {
		value, _ := p.Get(key)
		s.entries = append(s.entries, entry{key: key, value: value, origin: name})
	}
	return s, nil
}

// FromSets reads key=value texts, as --set takes them. Of equal keys the last counts.
func FromSets(sets []string) (Source, error) {
	s := Source{kind: kindFlag}
	for _, set := range sets {
		key, value, ok := strings.Cut(set, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return Source{}, fmt.Errorf("--set %s: allowed is key=value", set)
		}
		s.entries = append(s.entries, entry{key: key, value: value, origin: "--set"})
	}
	return s, nil
}
