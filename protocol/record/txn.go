package record

// AbortedTxn is a transaction of a producer that was aborted.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64 // of its first batch in the partition
	LastOffset  int64 // of the marker that ended it
}

// MaxMarker is more than any control batch of a transaction takes: 78 bytes, and fields that may be added.
const MaxMarker = 256

// ReadMarker reads what a whole control batch says of a transaction. ok is false where it ends none: compaction has emptied it, or it is
// of another kind.
func ReadMarker(b Batch) (control int16, coordinatorEpoch int32, ok bool) {
	if len(b) <= HeaderSize || b.Count() < 1 || b.Codec() != Uncompressed {
		return 0, 0, false
	}
	var raw rawRecord
	if raw.read(b.Body()) == nil {
		return 0, 0, false
	}
	r := Record{Key: raw.key, Value: raw.value}
	return ParseMarker(&r)
}
