package config

// Topic is the effective configuration of one topic, compiled: what partitions read on their hot paths. It is never changed
// after it was made; a change of configuration makes a new one. Units are in the names; -1 is no limit where Kafka says so.
type Topic struct {
	CleanupDelete, CleanupCompact bool
	CompressionType               string // producer, none (uncompressed), gzip, snappy, lz4, zstd
	CompressionGzipLevel          int
	CompressionLz4Level           int
	CompressionZstdLevel          int
	DeleteRetentionMs             int64
	FileDeleteDelayMs             int64
	FlushMessages                 int64
	FlushMs                       int64
	MaxCompactionLagMs            int64
	MinCompactionLagMs            int64
	MaxMessageBytes               int32
	LogAppendTime                 bool // message.timestamp.type
	MessageTimestampBeforeMaxMs   int64
	MessageTimestampAfterMaxMs    int64
	MinCleanableDirtyRatio        float64
	MinInsyncReplicas             int32
	RetentionBytes                int64
	RetentionMs                   int64
	SegmentBytes                  int64
	SegmentMs                     int64
	SegmentJitterMs               int64
	UncleanLeaderElection         bool
	MaxDecompressedMessageBytes   int32 // KIP-1119: the most that a compressed batch may grow to
	IndexIntervalBytes            int32
	Preallocate                   bool
}
