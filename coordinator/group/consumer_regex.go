package group

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"

	"weir/protocol"
)

// Regular expressions are resolved by the coordinator: what they match is in the log, so that all that follows from it is the same after a
// load. Kafka does it in another thread; here it is an operation of its own, by a timer that is due at once.

const (
	// regexPauseMs is how long a group waits from one resolution to the next at least (Kafka's REGEX_BATCH_REFRESH_MIN_INTERVAL_MS).
	regexPauseMs = 10_000
	// maxRegexSize is how many instructions an expression may compile to. Every topic name is run through it, on the coordinator.
	maxRegexSize = 10_000
)

// How a heartbeat changed the member's regular expression.
type regexChange uint8

const (
	regexSame     regexChange = iota
	regexNew                  // changed, and what it matches is not known yet
	regexResolved             // changed, and what it matches is known
)

// updateRegex takes over a changed regular expression and asks for resolution where it is due.
func (o *change) updateRegex() (regexChange, *refusal) {
	c, before, after := o.c, *o.old.regex, *o.next.regex
	status, refresh := regexSame, false
	if before != after {
		status = regexNew
		if before != "" && c.regexes[before] == 1 {
			o.appendMember(typeConsumerRegex, before, nil)
		}
		_, resolved := c.resolved[after]
		switch {
		case after == "":
			status = regexResolved
		case c.regexes[after] == 0:
			if _, err := compileRegex(after); err != nil {
				return 0, refuse(protocol.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", after, describeRegex(err))
			}
			refresh = true
		case resolved:
			status = regexResolved
		}
	}
	if _, resolving := o.m.resolving[c.id]; resolving || !refresh && len(c.regexes) == 0 {
		return status, nil
	}
	version, when := c.lastResolved()
	if when > 0 && o.now <= when+regexPauseMs {
		return status, nil
	}
	want := maps.Clone(c.regexes)
	if before != "" {
		add(&want, before, -1)
	}
	if after != "" {
		add(&want, after, 1)
	}
	refresh = refresh || len(want) != len(c.resolved) || version < o.m.newTopics || o.now > when+int64(o.m.cfg.ConsumerRegexRefreshMs)
	if refresh && len(want) > 0 {
		o.regexTimer = true
	}
	return status, nil
}

// lastResolved is of the metadata, and of when: all expressions of a group are resolved together.
func (c *consumerGroup) lastResolved() (version, when int64) {
	for _, r := range c.resolved {
		version, when = max(version, r.version), max(when, r.when)
	}
	return version, when
}

// regexExpired: a group's expressions are to be resolved, if it is still there.
func (s *step) regexExpired(g *group, id string) {
	may := s.m.resolving[id]
	delete(s.m.resolving, id)
	if g != nil && g.consumer != nil {
		s.consumer(g.consumer).resolveRegexes(may)
	}
}

// resolveRegexes looks up what the group's expressions match now. If that is something else, the group gets a new epoch.
func (s consumerStep) resolveRegexes(may func(topic string) bool) {
	c := s.c
	topics, bump := maps.Clone(c.topics), false
	for _, regex := range sortedKeys(c.regexes) {
		v := consumerRegexValue{topics: s.m.matches(regex, may), version: s.m.md.Version(), timestamp: s.now}
		old := c.resolved[regex].topics
		if !slices.Equal(old, v.topics) {
			bump = true
			addRegexes(topics, old, -1)
			addRegexes(topics, v.topics, 1)
		}
		s.appendMember(typeConsumerRegex, regex, &v)
	}
	if len(s.e.Records) == 0 {
		return
	}
	hash := s.m.metadataHash(topics)
	if bump || hash != c.metadataHash {
		s.appendConsumer(typeConsumerMetadata, &consumerMetadataValue{c.epoch + 1, hash})
		c.checked = s.m.md.Version()
	}
}

// matches are the topics whose whole name the expression matches, sorted, of those that the client may describe.
func (m *Machine) matches(regex string, may func(topic string) bool) []string {
	re, err := compileRegex(regex)
	if err != nil {
		return nil // it is in the log, so it was valid once: it matches nothing
	}
	var out []string
	for name := range m.md.Topics() {
		if at := re.FindStringIndex(name); at != nil && at[0] == 0 && at[1] == len(name) && (may == nil || may(name)) {
			out = append(out, name)
		}
	}
	return out
}

// compileRegex compiles an expression, of RE2 as in Kafka.
func compileRegex(regex string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(regex, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if regexSize(tree) > maxRegexSize {
		return nil, &syntax.Error{Code: syntax.ErrLarge, Expr: regex}
	}
	re, err := regexp.Compile(regex)
	if err != nil {
		return nil, err
	}
	re.Longest() // a match of the whole name is the longest there is
	return re, nil
}

// regexSize is about how many instructions an expression compiles to, found without compiling it.
func regexSize(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += regexSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxRegexSize+1)
}

func describeRegex(err error) string {
	if e, ok := err.(*syntax.Error); ok {
		return string(e.Code)
	}
	return fmt.Sprint(err)
}

// noteNewTopics remembers the version of the metadata that last brought topics: expressions resolved before must be resolved again.
func (m *Machine) noteNewTopics(old Metadata) {
	for name := range m.md.Topics() {
		id, _ := m.md.TopicID(name)
		if before, ok := old.TopicID(name); !ok || before != id {
			m.newTopics = m.md.Version()
			return
		}
	}
}

// consumerMetadataChanged is called when s.m.md is new. Groups see it with the next heartbeat: their topics are hashed once for each version.
func (s *step) consumerMetadataChanged(old Metadata) {
	for _, g := range s.m.groups {
		if g.consumer != nil && len(g.consumer.regexes) > 0 {
			s.m.noteNewTopics(old)
			return
		}
	}
}
