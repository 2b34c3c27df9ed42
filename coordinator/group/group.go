package group

import (
	"weir/coordinator"
	"weir/protocol"
)

// group is everything that one group id names. At most one of classic and consumer is there; a group with offsets alone has neither
// until somebody asks for its members, and then it is an empty classic group.
type group struct {
	id string

	metadata []byte         // hard: the value of the last GroupMetadata record, nil: none
	offsets  offsets        // hard
	consumer *consumerGroup // hard, but for what its own comments name soft

	classic *classicGroup // soft: made from metadata
}

// protocolGroup is the members' side of a group, as offsets and the admin operations see it: a classic group or a consumer group.
type protocolGroup interface {
	// kind is what ListGroups calls the group's type: "classic" or "consumer".
	kind() string
	// typeName is the protocol type: "consumer", "connect", "" if no member ever joined.
	typeName() string
	stateName() string
	empty() bool
	// checkCommit says whether that member may commit now, and which check each partition must still pass: nil is none.
	checkCommit(memberID string, instanceID *string, generation int32, transactional bool, version int16) (partitionCheck, protocol.Code)
	checkFetch(memberID *string, epoch int32) protocol.Code
	checkDelete() protocol.Code      // of offsets
	checkDeleteGroup() protocol.Code // of the whole group
	// subscribed says whether a member may be interested in the topic: its offsets are neither deleted nor expired.
	subscribed(topic string) bool
	// expiresFrom returns since when the group's offsets age: ok is false when they don't. byCommit: each since it was committed.
	expiresFrom() (since int64, byCommit, ok bool)
	// tombstones appends the records that end the group.
	tombstones(s *step)
}

// partitionCheck is a check of a commit that depends on the partition (KIP-1251).
type partitionCheck interface {
	check(topic string, id protocol.UUID, partition int32) protocol.Code
}

// protocol returns the members' side of the group, nil when it has none yet.
func (g *group) protocol() protocolGroup {
	switch {
	case g.consumer != nil:
		return g.consumer
	case g.classic != nil:
		return g.classic
	}
	return nil
}

// The kinds of coordinator.TimerKey. Name is the group and Part the member.
const (
	timerExpire            uint8 = iota + 1 // offsets, of all groups
	timerDeleted                            // more offsets of deleted topics to forget
	timerClassicSession                     // a member's heartbeat, or a member id that was handed out and not used
	timerClassicJoin                        // the end of a join phase
	timerClassicSync                        // members that did not send SyncGroup
	timerConsumerSession                    // a member's heartbeat
	timerConsumerRebalance                  // a member that does not revoke
	timerConsumerSync                       // a classic member of a consumer group that does not send SyncGroup
	timerConsumerJoin                       // the same, that does not join again
	timerConsumerRegex                      // regular expressions to resolve
)

func timer(kind uint8, group, member string) coordinator.TimerKey {
	return coordinator.TimerKey{Kind: kind, Name: group, Part: member}
}
