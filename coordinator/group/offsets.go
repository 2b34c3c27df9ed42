package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// offsets is the committed offsets of one group.
type offsets struct{}

// OffsetCommit (8): the reply is a *kmsg.OffsetCommitResponse. Topics have names, and ids as far as the client sent them or knows
// them by: the handler looked both up.
func (m *Machine) OffsetCommit(now int64, t coordinator.Token, r *kmsg.OffsetCommitRequest) coordinator.Effects {
	return m.begin(now).e
}

// TxnOffsetCommit (28): the reply is a *kmsg.TxnOffsetCommitResponse.
func (m *Machine) TxnOffsetCommit(now int64, t coordinator.Token, r *kmsg.TxnOffsetCommitRequest) coordinator.Effects {
	return m.begin(now).e
}

// OffsetFetch (9) of one group, in the form of version 8 and later: the reply is a *kmsg.OffsetFetchResponseGroup. Topics nil: all. The
// handler has given the topics their names, and ids where it knows them.
func (m *Machine) OffsetFetch(now int64, t coordinator.Token, version int16, r *kmsg.OffsetFetchRequestGroup, requireStable bool) coordinator.Effects {
	return m.begin(now).e
}

// OffsetDelete (47): the reply is a *kmsg.OffsetDeleteResponse.
func (m *Machine) OffsetDelete(now int64, t coordinator.Token, r *kmsg.OffsetDeleteRequest) coordinator.Effects {
	return m.begin(now).e
}

// DeleteTopicOffsets forgets what groups committed for topics that were deleted.
func (m *Machine) DeleteTopicOffsets(now int64, topics []string) coordinator.Effects {
	return m.begin(now).e
}
