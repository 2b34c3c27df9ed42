package config

import (
	"strings"
	"testing"
)

func TestWithoutEffect(t *testing.T) {
	for _, test := range []struct {
		name, sets, want string
	}{
		{"acted on", "num.partitions=3 listener.name.a.max.connections=5", ""},
		{"the default", "num.io.threads=8 log.cleaner.enable=TRUE sasl.enabled.mechanisms=GSSAPI log.cleaner.io.buffer.load.factor=0.90", ""},
		{"empty, and without a default", "authorizer.class.name=", ""},
		{"not yet", "sasl.enabled.mechanisms=PLAIN authorizer.class.name=a", "known, but without effect yet: authorizer.class.name, sasl.enabled.mechanisms"},
		{"not needed", "num.io.threads=9 queued.max.requests=1000", "known, but not needed here: num.io.threads, queued.max.requests"},
		{"both", "num.io.threads=9 authorizer.class.name=a", "known, but without effect yet: authorizer.class.name; known, but not needed here: num.io.threads"},
		{"the authorizer's", "super.users=User:a allow.everyone.if.no.acl.found=true", "known, but without effect yet: allow.everyone.if.no.acl.found, super.users"},
		{"for one listener what is for all", "listener.name.a.num.partitions=3", "known, but without effect yet: listener.name.a.num.partitions"},
		{"a cluster of one", "controller.quorum.voters=1@localhost:9093", ""},
	} {
		source, err := FromSets(strings.Fields(test.sets))
		if err != nil {
			t.Fatal(err)
		}
		_, warnings, err := Resolve(source)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := ""
		for _, w := range warnings {
			got += w.Text
		}
		if got != test.want || len(warnings) > 1 {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// A setting is acted on, or needless, or to come.
func TestNeedless(t *testing.T) {
	for _, scope := range scopes {
		for _, s := range Settings(scope) {
			if s.Needless != "" && s.Honoured {
				t.Errorf("%s is acted on and needless", s.Name)
			}
			for _, syn := range s.Synonyms {
				if b := Lookup(BrokerScope, syn.Name); (b.Needless != "") != (s.Needless != "") || b.Honoured != s.Honoured && scope == TopicScope {
					t.Errorf("%s and %s differ in whether they have an effect", s.Name, b.Name)
				}
			}
		}
	}
}
