package group

import (
	"fmt"
	"strings"
)

// hardConsumer describes the hard state of a consumer group, and what replay keeps of it.
func hardConsumer(c *consumerGroup) string {
	var b strings.Builder
	fmt.Fprintf(&b, " consumer epoch=%d hash=%x assigned=%d at=%d legacy=%t\n", c.epoch, c.metadataHash, c.assignmentEpoch, c.assignedAt, c.legacyMetadata)
	for _, m := range c.members {
		fmt.Fprintf(&b, "  member %s\n", describe(m))
	}
	for _, id := range sortedKeys(c.targets) {
		fmt.Fprintf(&b, "  target %s %v\n", id, c.targets[id])
	}
	for _, re := range sortedKeys(c.resolved) {
		fmt.Fprintf(&b, "  regex %s %v\n", re, c.resolved[re])
	}
	fmt.Fprintf(&b, "  static=%v votes=%v topics=%v regexes=%v classic=%d %v owners=%v", c.static, c.votes, c.topics, c.regexes, c.classicMembers, c.classicProtocols, c.owners)
	return b.String()
}

func describe(m *consumerMember) string {
	s := fmt.Sprintf("%s epoch=%d/%d state=%d instance=%s rack=%s client=%s%s topics=%v regex=%q rebalance=%d assignor=%s assigned=%v revoking=%v",
		m.id, m.epoch, m.previousEpoch, m.state, text(m.instanceID), text(m.rackID), m.clientID, m.clientHost, m.topics, *m.regex,
		m.rebalanceMs, text(m.assignor), m.assigned, m.revoking)
	if m.classic != nil {
		s += fmt.Sprintf(" classic=%v", *m.classic)
	}
	return s
}

// consumerCommands are commands of the classic scripts that are about consumer groups: they have scripts of their own.
var consumerCommands map[string]func(s *script, a args)

// describeConsumerRecord describes a record of a consumer group.
func describeConsumerRecord(head string, _ *recordKey, value []byte) string {
	return fmt.Sprintf("%s %x", head, value)
}
