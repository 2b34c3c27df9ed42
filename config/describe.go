package config

import (
	"sort"
	"strings"
)

// sameSetting are broker settings that Kafka takes for one, the strongest first (DynamicBrokerConfig.brokerConfigSynonyms).
var sameSetting = [...][]string{
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
}

// brokerSynonyms are the keys that can give a broker setting its value, the strongest first.
func brokerSynonyms(name string) []string {
	for _, group := range sameSetting {
		if contains(group, name) {
			return group
		}
	}
	if name == "log.flush.interval.ms" {
		return []string{name, "log.flush.scheduler.interval.ms"}
	}
	base, ok := listenerBase(name)
	if !ok {
		return []string{name}
	}
	for _, m := range mechanismSettings {
		if strings.HasSuffix(base, m) {
			return []string{name, m}
		}
	}
	return []string{name, base}
}

// places lists where a broker setting could come from, the strongest first, in Kafka's order: by layer, in a layer by synonym; what
// comes before the first mention of name itself is left out.
func (l *Layers) places(name string, sensitive bool) []DescribedSynonym {
	var found []DescribedSynonym
	keys := brokerSynonyms(name)
	add := func(key, value string, ok bool, source ValueSource) {
		if !ok || len(found) == 0 && key != name {
			return
		}
		d := DescribedSynonym{Name: key, Value: value, Source: source}
		if sensitive {
			d.Value, d.Null = "", true
		}
		found = append(found, d)
	}
	for _, key := range keys {
		v, ok := l.Broker[key]
		add(key, v, ok, FromBroker)
	}
	for _, key := range keys {
		v, ok := l.Cluster[key]
		add(key, v, ok, FromClusterDefault)
	}
	for _, key := range keys {
		if e := l.Static.find(key); e != nil {
			add(key, e.value, true, FromStatic)
		}
	}
	for _, key := range keys {
		if s := Lookup(BrokerScope, key); s != nil {
			add(key, s.Default, !s.Null, FromDefault)
		}
	}
	return found
}

// DescribeTopic shows the topic's settings: those of names, or all where names is empty, sorted by name. Names that do not exist are
// left out, as in Kafka.
func (l *Layers) DescribeTopic(names []string, synonyms, docs bool) []Described {
	var all []Described
	for _, s := range Settings(TopicScope) {
		own, ok := l.Topic[s.Name]
		if s.Internal && !ok || !wanted(names, s.Name) {
			continue
		}
		d := Described{Name: s.Name, Value: s.Canonical(l.topicText(s)), Type: s.Type}
		var places []DescribedSynonym
		if ok {
			places = append(places, DescribedSynonym{Name: s.Name, Value: s.Canonical(own), Source: FromTopic})
		}
		if len(s.Synonyms) > 0 {
			places = append(places, l.places(s.Synonyms[0].Name, false)...)
		}
		all = append(all, d.finish(places, s, synonyms, docs))
	}
	return all
}

// DescribeNewTopic shows all settings of a topic as the response that creates it does. There a synonym counts whatever its name: with
// log.retention.hours in the file retention.ms is from there, where DescribeTopic finds the default of log.retention.ms.
func (l *Layers) DescribeNewTopic() []Described {
	all := l.DescribeTopic(nil, false, false)
	for i := range all {
		if d := &all[i]; d.Source == FromDefault {
			d.Source = l.sourceOf(Lookup(TopicScope, d.Name))
			d.IsDefault = d.Source == FromDefault
		}
	}
	return all
}

// sourceOf is the strongest layer that has any of a topic setting's synonyms.
func (l *Layers) sourceOf(s *Setting) ValueSource {
	for _, layer := range []struct {
		has    func(key string) bool
		source ValueSource
	}{
		{func(key string) bool { _, ok := l.Broker[key]; return ok }, FromBroker},
		{func(key string) bool { _, ok := l.Cluster[key]; return ok }, FromClusterDefault},
		{func(key string) bool { return l.Static.find(key) != nil }, FromStatic},
	} {
		for _, synonym := range s.Synonyms {
			if layer.has(synonym.Name) {
				return layer.source
			}
		}
	}
	return FromDefault
}

// DescribeBroker shows the settings of this broker: those of names, or all where names is empty, sorted by name. Unknown keys of
// its files are shown as Kafka does: as secrets of unknown type.
func (l *Layers) DescribeBroker(names []string, synonyms, docs bool) []Described {
	var all []Described
	for _, s := range Settings(BrokerScope) {
		if s.Weir || s.Internal && !l.isSet(s.Name) || !wanted(names, s.Name) {
			continue
		}
		d := Described{Name: s.Name, ReadOnly: s.Update == ReadOnly, Sensitive: s.Sensitive(), Type: s.Type}
		v, ok := l.shownText(s.Name)
		if ok && !d.Sensitive {
			d.Value = s.Canonical(v)
		}
		d.Null = !ok || d.Sensitive
		all = append(all, d.finish(l.places(s.Name, d.Sensitive), s, synonyms, docs))
	}
	for _, name := range l.unknownKeys() {
		if wanted(names, name) {
			all = append(all, l.describePrefixed(name, synonyms))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// shownText is the value that Kafka shows for a broker setting. A dynamic value hides what is static for the same setting under another
// name: with log.retention.ms changed for the cluster, log.retention.hours shows its default. What is in force is the same.
func (l *Layers) shownText(name string) (string, bool) {
	dynamic := func(key string) bool {
		_, broker := l.Broker[key]
		_, cluster := l.Cluster[key]
		return broker || cluster
	}
	if dynamic(name) {
		return l.brokerText(name)
	}
	if name == "log.flush.scheduler.interval.ms" && dynamic("log.flush.interval.ms") {
		return known(name).Default, true
	}
	for _, group := range sameSetting {
		for _, key := range group {
			if has(group, name) && dynamic(key) {
				s := known(name)
				return s.Default, !s.Null
			}
		}
	}
	return l.brokerText(name)
}

// DescribeClusterDefault shows what is set as the default of all brokers (broker resource ""), sorted by name.
func (l *Layers) DescribeClusterDefault(names []string, synonyms, docs bool) []Described {
	var all []Described
	for name, value := range l.Cluster {
		if !wanted(names, name) {
			continue
		}
		s := Lookup(BrokerScope, name)
		d := Described{Name: name, ReadOnly: s == nil || s.Update == ReadOnly}
		if s == nil {
			s = &Setting{Name: name, Type: prefixedType(name)}
		}
		d.Type, d.Sensitive = s.Type, s.Type == Password || s.Type == Unknown
		d.Value, d.Null = value, d.Sensitive
		if d.Sensitive {
			d.Value = ""
		}
		only := []DescribedSynonym{{Name: name, Value: d.Value, Null: d.Sensitive, Source: FromClusterDefault}}
		all = append(all, d.finish(only, s, synonyms, docs))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// DescribeGroup shows the group's settings: those of names, or all where names is empty, sorted by name.
func (l *Layers) DescribeGroup(names []string, synonyms, docs bool) []Described {
	var all []Described
	for _, s := range Settings(GroupScope) {
		own, ok := l.Group[s.Name]
		if s.Internal && !ok || !wanted(names, s.Name) {
			continue
		}
		value := l.inherited(s)
		if ok {
			value = own
		}
		d := Described{Name: s.Name, Value: s.Canonical(value), Type: s.Type}
		var places []DescribedSynonym
		if ok {
			places = append(places, DescribedSynonym{Name: s.Name, Value: d.Value, Source: FromGroup})
		}
		if len(s.Synonyms) > 0 {
			places = append(places, l.places(s.Synonyms[0].Name, false)...)
		} else {
			places = append(places, DescribedSynonym{Name: s.Name, Value: s.Default, Source: FromDefault})
		}
		all = append(all, d.finish(places, s, synonyms, docs))
	}
	return all
}

// finish gives d the source of its strongest place and what else was asked for.
func (d Described) finish(places []DescribedSynonym, s *Setting, synonyms, docs bool) Described {
	d.Source = FromDefault
	if len(places) > 0 {
		d.Source = places[0].Source
	}
	d.IsDefault = d.Source == FromDefault
	if synonyms {
		d.Synonyms = places
	}
	if docs {
		d.Doc = s.Doc
	}
	return d
}

func (l *Layers) isSet(name string) bool {
	_, broker := l.Broker[name]
	_, cluster := l.Cluster[name]
	return broker || cluster || l.Static.IsSet(name)
}

// unknownKeys are the keys set for this broker that the table does not have, prefixed ones among them.
func (l *Layers) unknownKeys() []string {
	var keys []string
	add := func(key string) {
		if Lookup(BrokerScope, key) == nil && !contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if l.Static != nil {
		for _, e := range l.Static.set {
			add(e.key)
		}
	}
	for key := range l.Cluster {
		add(key)
	}
	for key := range l.Broker {
		add(key)
	}
	return keys
}

// describePrefixed shows a key that the table does not have: one of a single listener, or an unknown one.
func (l *Layers) describePrefixed(name string, synonyms bool) Described {
	d := Described{Name: name, ReadOnly: true, Type: prefixedType(name)}
	d.Sensitive = d.Type == Password || d.Type == Unknown
	d.Null = d.Sensitive
	places := l.places(name, d.Sensitive)
	if len(places) > 0 && !d.Sensitive {
		d.Value = places[0].Value
	}
	return d.finish(places, &Setting{}, synonyms, false)
}

func prefixedType(name string) Type {
	if base, ok := listenerBase(name); ok {
		if s := Lookup(BrokerScope, base); s != nil {
			return s.Type
		}
	}
	return Unknown
}

func wanted(names []string, name string) bool {
	if len(names) == 0 {
		return true
	}
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
