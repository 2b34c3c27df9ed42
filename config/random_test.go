package config

import (
	"math/rand/v2"
	"testing"
)

var junk = []string{
	"", " ", "0", "1", "-1", "-2", "2", "+3", "7", "100", "60000", "1048577", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "0.5",
	"1e3", "NaN", "Infinity", "0x10", "1_000", "true", "FALSE", "delete", "compact,delete", ",", "a,,b", "a:1", "1@a:1", "PLAINTEXT://h:1", "SSL://h:1",
	"PLAINTEXT", "*", "::", "lz4", "broker", "by_duration:PT1H", "\x00", "\xff\xfe",
}

func randomSet(random *rand.Rand, scope Scope, most int) map[string]string {
	rows := Settings(scope)
	set := map[string]string{}
	for range random.IntN(most) {
		name := rows[random.IntN(len(rows))].Name
		if random.IntN(20) == 0 {
			name = "listener.name.x." + name
		}
		set[name] = junk[random.IntN(len(junk))]
	}
	return set
}

// Whatever the checks let through can be read, compiled and described without a panic.
func TestWhatIsAcceptedCanBeRead(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 3))
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("seed %d: %v", seed, r)
		}
	}()
	accepted := map[string]int{}
	for range 1500 {
		source := Source{}
		for name, value := range randomSet(random, BrokerScope, 4) {
			source.entries = append(source.entries, entry{key: name, value: value})
		}
		s, _, err := Resolve(source)
		if err != nil {
			continue
		}
		accepted["static"]++
		l := Layers{Static: s}
		if l.Cluster = randomSet(random, BrokerScope, 3); l.CheckBrokerSet(true) != nil {
			l.Cluster = nil
		}
		if l.Broker = randomSet(random, BrokerScope, 3); l.CheckBrokerSet(false) != nil || l.CheckBrokerSteps(&Layers{Static: s}) != nil {
			l.Broker = nil
		}
		if l.Topic = randomSet(random, TopicScope, 3); l.CheckTopicSet() != nil {
			l.Topic = nil
		} else if len(l.Topic) > 0 {
			accepted["topic"]++
		}
		if l.Group = randomSet(random, GroupScope, 3); l.CheckGroupSet() != nil {
			l.Group = nil
		} else if len(l.Group) > 0 {
			accepted["group"]++
		}
		l.TopicConfig().With(l.Topic)
		l.DescribeTopic(nil, true, true)
		l.DescribeBroker(nil, true, true)
		l.DescribeGroup(nil, true, true)
		l.DescribeClusterDefault(nil, true, true)
		s.All()
		for _, row := range Settings(BrokerScope) {
			switch row.Type {
			case Int, Short, Long:
				s.Int64(row.Name)
				l.Int64(row.Name)
			case Double:
				s.Float(row.Name)
				l.Float(row.Name)
			}
		}
	}
	for _, what := range []string{"static", "topic", "group"} {
		if accepted[what] < 10 {
			t.Errorf("seed %d: %s: only %d accepted: nothing was tried", seed, what, accepted[what])
		}
	}
}
