package config

import (
	"slices"
	"sort"
	"strings"
)

// Warning is something about the settings that a person should know and that does not keep the broker from starting.
type Warning struct {
	Key  string // "" where it is about several
	Text string // one line
}

func (w Warning) String() string { return w.Text }

// Resolve lays sources over the defaults, the later over the earlier: pass file, environment, flags in this order. An error is
// one line and names key, value and what is allowed.
func Resolve(sources ...Source) (*Static, []Warning, error) {
	byKey := map[string]entry{}
	for _, source := range sources {
		if err := source.mergeInto(byKey); err != nil {
			return nil, nil, err
		}
	}
	s := &Static{set: make([]entry, 0, len(byKey))}
	for _, e := range byKey {
		s.set = append(s.set, e)
	}
	sort.Slice(s.set, func(i, j int) bool { return s.set[i].key < s.set[j].key })
	warnings, err := s.checkValues()
	if err != nil {
		return nil, warnings, err
	}
	s.nameNode()
	if err := s.checkTogether(); err != nil {
		return nil, warnings, err
	}
	return s, warnings, nil
}

// nameNode gives broker.id the value of node.id where that is set: tools still read the old name.
func (s *Static) nameNode() {
	if id := s.find("node.id"); id != nil {
		at := sort.Search(len(s.set), func(i int) bool { return s.set[i].key >= "broker.id" })
		s.set = slices.Insert(s.set, at, entry{"broker.id", id.value, id.origin, id.written})
	}
}

// mergeInto lays one source over what earlier ones set. node.id and its old name broker.id are one setting: the later counts, and one
// source must not say both things.
func (source *Source) mergeInto(byKey map[string]entry) error {
	var id *entry
	for i := range source.entries {
		e := source.entries[i]
		e.value = strings.TrimSpace(e.value)
		switch e.key {
		case "broker.id", "node.id":
			if e.key == "broker.id" && e.value == "-1" {
				continue
			}
			if source.kind != kindFlag && id != nil && id.value != e.value && id.key != e.key {
				return &BadValue{Key: e.key, Value: e.value, Allowed: id.value + ", as " + id.key + " says", Origin: e.origin}
			}
			id = &source.entries[i]
			byKey["node.id"] = entry{"node.id", e.value, e.origin, e.key}
		case "listeners", "advertised.listeners":
			e.value = strings.TrimRight(e.value, ", \t")
			byKey[e.key] = e
		default:
			byKey[e.key] = e
		}
	}
	return nil
}

// checkValues holds each value against its row and says what is not known.
func (s *Static) checkValues() ([]Warning, error) {
	var warnings []Warning
	var ignored []string
	var idle withoutEffect
	for _, e := range s.set {
		row := lookupBase(e.key)
		switch {
		case row != nil:
			if row.Check(e.value) == "" {
				s.noteEffect(&idle, &e, row)
				continue
			}
			bad := &BadValue{Key: e.key, Value: e.value, Allowed: row.Allowed(), Origin: e.origin}
			if row.Sensitive() {
				bad.Value = "[hidden]"
			}
			if e.written != "" {
				bad.Key = e.written
			}
			return warnings, bad
		case has(authorizerKeys[:], e.key):
			idle.yet = append(idle.yet, e.key)
		case foreign(e.key):
			ignored = append(ignored, e.key)
		default:
			warnings = append(warnings, unknownKey(e))
		}
	}
	if len(ignored) > 0 {
		warnings = append(warnings, Warning{Text: "ignored, because only ZooKeeper, the JVM, older versions or Confluent's additions use it: " +
			strings.Join(ignored, ", ")})
	}
	if text := idle.text(); text != "" {
		warnings = append(warnings, Warning{Text: text})
	}
	return warnings, nil
}
