package config

import "strings"

// TopicConfig compiles what a partition reads: the topic's own settings over the broker's. The layers' values must have passed the
// checks. With an empty Topic it is the configuration of a topic without overrides.
func (l *Layers) TopicConfig() *Topic {
	text := func(name string) string { return strings.TrimSpace(l.topicText(Lookup(TopicScope, name))) }
	whole := func(name string) int64 { return toInt64(name, text(name)) }
	yes := func(name string) bool { return strings.EqualFold(text(name), "true") }
	t := &Topic{
		CompressionType:             text("compression.type"),
		CompressionGzipLevel:        int(whole("compression.gzip.level")),
		CompressionLz4Level:         int(whole("compression.lz4.level")),
		CompressionZstdLevel:        int(whole("compression.zstd.level")),
		DeleteRetentionMs:           whole("delete.retention.ms"),
		FileDeleteDelayMs:           whole("file.delete.delay.ms"),
		FlushMessages:               whole("flush.messages"),
		FlushMs:                     whole("flush.ms"),
		MaxCompactionLagMs:          whole("max.compaction.lag.ms"),
		MinCompactionLagMs:          whole("min.compaction.lag.ms"),
		MaxMessageBytes:             int32(whole("max.message.bytes")),
		LogAppendTime:               text("message.timestamp.type") == "LogAppendTime",
		MessageTimestampBeforeMaxMs: whole("message.timestamp.before.max.ms"),
		MessageTimestampAfterMaxMs:  whole("message.timestamp.after.max.ms"),
		MinCleanableDirtyRatio:      toFloat("min.cleanable.dirty.ratio", text("min.cleanable.dirty.ratio")),
		MinInsyncReplicas:           int32(whole("min.insync.replicas")),
		RetentionBytes:              whole("retention.bytes"),
		RetentionMs:                 whole("retention.ms"),
		SegmentBytes:                whole("segment.bytes"),
		SegmentMs:                   whole("segment.ms"),
		SegmentJitterMs:             whole("segment.jitter.ms"),
		UncleanLeaderElection:       yes("unclean.leader.election.enable"),
		MaxDecompressedMessageBytes: int32(whole("max.decompressed.message.bytes")),
		IndexIntervalBytes:          int32(whole("index.interval.bytes")),
		Preallocate:                 yes("preallocate"),
	}
	if t.CompressionType == "uncompressed" {
		t.CompressionType = "none"
	}
	for _, policy := range SplitList(text("cleanup.policy")) {
		t.CleanupDelete = t.CleanupDelete || policy == "delete"
		t.CleanupCompact = t.CleanupCompact || policy == "compact"
	}
	return t
}
