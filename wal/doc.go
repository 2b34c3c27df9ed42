// Package wal is a partition's log on tidwall/wal: segments, a sparse offset and time index, recovery, retention, compaction,
// group commit.
//
// It knows of Kafka only the record batch, and looks into one only to compact. It does not know topics, leaders or producers: that
// is broker/partition. What tidwall/wal does badly or not at all (see docs/decisions) is hidden here, each trap with a test. Start
// reading at dir.go (one log directory: lock, checkpoint, handles), then log.go (one partition's log); compaction is in clean.go.
package wal
