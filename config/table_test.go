package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var scopes = map[string]Scope{
	"AbstractKafkaConfig": BrokerScope, "LogConfig": TopicScope, "GroupConfig": GroupScope, "ClientMetricsConfigs": ClientMetricsScope,
}

// dynamicOnly are not in Kafka's ConfigDef of brokers: they are known when they are changed, and described when they are set.
var dynamicOnly = []string{
	"follower.replication.throttled.rate", "leader.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second",
}

// The table has every setting of Kafka's ConfigDefs, with its type, default and valid values, and none of its own but those marked.
func TestTableAsKafka(t *testing.T) {
	emptyLists := map[string][]string{}
	for _, row := range golden(t, "lists.tsv") {
		emptyLists[row[0]] = row[1:]
	}
	seen := map[Scope]map[string]bool{BrokerScope: {}, TopicScope: {}, GroupScope: {}, ClientMetricsScope: {}}
	for _, row := range golden(t, "configdef.tsv") {
		scope, name := scopes[row[0]], row[1]
		s := Lookup(scope, name)
		if s == nil {
			t.Errorf("%s %s is missing", row[0], name)
			continue
		}
		seen[scope][name] = true
		if s.Type.String() != row[2] {
			t.Errorf("%s: type %s, Kafka's is %s", name, s.Type, row[2])
		}
		null := row[3] == "<null>" || row[3] == "<NODEFAULT>"
		if want := strings.TrimPrefix(strings.TrimPrefix(row[3], "<null>"), "<NODEFAULT>"); s.Default != want || s.Null != null {
			if otherDefaults[name] == "" || scope != BrokerScope {
				t.Errorf("%s: default %q (null: %t), Kafka's is %q", name, s.Default, s.Null, row[3])
			}
		} else if scope == BrokerScope && otherDefaults[name] != "" {
			t.Errorf("%s: is Kafka's default after all", name)
		}
		if s.Internal != (row[5] == "true") {
			t.Errorf("%s: internal is %t", name, s.Internal)
		}
		if got, want := validValues(s), kafkaValid(row[4], emptyLists[name]); got != want {
			t.Errorf("%s: valid is %q, Kafka's is %q", name, got, want)
		}
	}
	for _, name := range dynamicOnly {
		seen[BrokerScope][name] = true
	}
	for scope, names := range seen {
		for _, s := range Settings(scope) {
			if !names[s.Name] != s.Weir {
				t.Errorf("%s: Weir's own is %t", s.Name, s.Weir)
			}
		}
	}
}

// kafkaValid is what a ConfigDef says about valid values, lists as ValidList has them.
func kafkaValid(text string, list []string) string {
	if list == nil {
		text = strings.Replace(text, "non-null string", "", 1)
		return strings.TrimPrefix(strings.Replace(text, "null", "", 1), "non-empty list")
	}
	return "[" + list[0] + "] empty:" + list[1]
}

// validValues writes a rule as Kafka's validators do.
func validValues(s *Setting) string {
	r := s.Rule
	if r == nil {
		r = &Rule{}
	}
	switch {
	case r == &gzipLevel:
		return "[1,...,9] or -1"
	case r == &throttledReplicas:
		return "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
	case r == &shareReset:
		return "[latest, earliest, by_duration:PnDTnHnMn.nS]"
	case r.Custom != nil:
		return ""
	case s.Type == List:
		return "[" + strings.Join(r.Words, ", ") + "] empty:" + strconv.FormatBool(!r.NonEmpty)
	case r.Fold:
		return "(case insensitive) [" + strings.Join(r.Words, ", ") + "]"
	case len(r.Words) > 0:
		return "[" + strings.Join(r.Words, ", ") + "]"
	case r.NonEmpty:
		return "non-empty string"
	case r.MinF != 0 || r.MaxF != 0:
		return "[" + formatDouble(r.MinF) + ",...," + formatDouble(r.MaxF) + "]"
	case r.Min == 0 && r.Max == 0:
		return ""
	case r.Max == atLeast0.Max:
		return "[" + strconv.FormatInt(r.Min, 10) + ",...]"
	}
	return "[" + strconv.FormatInt(r.Min, 10) + ",...," + strconv.FormatInt(r.Max, 10) + "]"
}

// What may be changed while the broker runs, and for whom, is what Kafka says.
func TestUpdateModesAsKafka(t *testing.T) {
	want := map[string]Update{}
	for _, row := range golden(t, "updates.tsv") {
		want[row[0]] = map[string]Update{"per-broker": PerBroker, "cluster-wide": ClusterWide}[row[1]]
	}
	for _, s := range Settings(BrokerScope) {
		if s.Update != want[s.Name] {
			t.Errorf("%s: update mode %d, want %d", s.Name, s.Update, want[s.Name])
		}
		delete(want, s.Name)
	}
	if len(want) > 0 {
		t.Errorf("not in the table: %v", slices.Sorted(maps.Keys(want)))
	}
}

// Every row says what it means, has a default that it allows itself, and can say what it allows. Tables are sorted, or Lookup would
// not find what is there.
func TestRows(t *testing.T) {
	for _, scope := range scopes {
		for _, table := range tables(scope) {
			for i := range table {
				s := &table[i]
				if i > 0 && table[i-1].Name >= s.Name {
					t.Errorf("%s stands behind %s", s.Name, table[i-1].Name)
				}
				if Lookup(scope, s.Name) != s {
					t.Errorf("Lookup does not find %s", s.Name)
				}
				if s.Scope != scope {
					t.Errorf("%s: scope %d in a table of %d", s.Name, s.Scope, scope)
				}
				if len(s.Doc) < 20 || !strings.HasSuffix(s.Doc, ".") {
					t.Errorf("%s: no documentation: %q", s.Name, s.Doc)
				}
				if s.Allowed() == "" || s.Type == Unknown {
					t.Errorf("%s: no type or nothing allowed", s.Name)
				}
				if wrong := s.Check(s.Default); !s.Null && wrong != "" {
					t.Errorf("%s: its default is refused: %s", s.Name, wrong)
				}
				if !s.Null && s.Canonical(s.Default) != s.Default {
					t.Errorf("%s: default %q is shown as %q", s.Name, s.Default, s.Canonical(s.Default))
				}
				for _, syn := range s.Synonyms {
					if b := Lookup(BrokerScope, syn.Name); b == nil || b.Type != s.Type && syn.Times == 0 && s.Name != "streams.assignor.name" {
						t.Errorf("%s: synonym %s is no broker setting of its type", s.Name, syn.Name)
					}
				}
			}
		}
	}
	if n := len(Settings(TopicScope)); n != 38 {
		t.Errorf("%d topic settings, want 38: 37 that are described and 1 internal", n)
	}
	if all := Settings(BrokerScope); !slices.IsSortedFunc(all, func(a, b *Setting) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("Settings is not sorted")
	}
}

// What a partition reads comes from the table: each setting that is honoured for topics reaches Topic, by another value at least.
func TestHonouredTopicSettings(t *testing.T) {
	base := (&Layers{}).TopicConfig()
	for _, s := range Settings(TopicScope) {
		if !s.Honoured {
			continue
		}
		other := map[Type]string{Int: "1234567", Long: "1234567", Boolean: "true", Double: "0.25"}[s.Type]
		switch s.Name {
		case "cleanup.policy":
			other = "compact"
		case "compression.type":
			other = "lz4"
		case "message.timestamp.type":
			other = "LogAppendTime"
		case "compression.gzip.level", "compression.lz4.level", "compression.zstd.level":
			other = "7"
		}
		if err := CheckTopic(s.Name, other); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		with := base.With(map[string]string{s.Name: other})
		if *with == *base {
			t.Errorf("%s=%s changes nothing that a partition reads", s.Name, other)
		}
		if whole := (&Layers{Topic: map[string]string{s.Name: other}}).TopicConfig(); *whole != *with {
			t.Errorf("%s: With and TopicConfig differ", s.Name)
		}
	}
	if base.With(nil) != base {
		t.Error("With copies although there is nothing to change")
	}
}
