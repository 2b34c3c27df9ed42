package group

// The record types: the int16 that a key begins with.
const (
	typeLegacyOffsetCommit   int16 = 0
	typeOffsetCommit         int16 = 1
	typeGroupMetadata        int16 = 2
	typeConsumerMetadata     int16 = 3
	typeConsumerPartition    int16 = 4 // before 4.1; tombstones only
	typeConsumerMember       int16 = 5
	typeConsumerTarget       int16 = 6
	typeConsumerTargetMember int16 = 7
	typeConsumerCurrent      int16 = 8
	typeConsumerRegex        int16 = 16
)

// recordKey is a decoded key of any type.
type recordKey struct {
	kind      int16
	group     string
	topic     string // of an offset
	partition int32  // of an offset
	member    string // 5, 7, 8; the regular expression of 16
}
