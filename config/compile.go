package config

import "strings"

// TopicConfig compiles what a partition reads: the topic's own settings over the broker's. The layers' values must have passed the
// checks. With an empty Topic it is the configuration of a topic without overrides; Topic.With is cheaper for further topics.
func (l *Layers) TopicConfig() *Topic {
	t := new(Topic)
	for i := range topicTable {
		if s := &topicTable[i]; !s.Internal {
			t.set(s.Name, strings.TrimSpace(l.topicText(s)))
		}
	}
	return t
}

// With is the configuration of a topic with overrides over t, which is that of one without; t itself where there are none. The
// values must have passed the checks.
func (t *Topic) With(overrides map[string]string) *Topic {
	if len(overrides) == 0 {
		return t
	}
	made := *t
	for name, value := range overrides {
		made.set(name, strings.TrimSpace(value))
	}
	return &made
}

// set gives one field its value. Settings that partitions do not read have none.
func (t *Topic) set(name, value string) {
	switch name {
	case "cleanup.policy":
		policies := SplitList(value)
		t.CleanupDelete, t.CleanupCompact = has(policies, "delete"), has(policies, "compact")
	case "compression.type":
		t.CompressionType = value
		if value == "uncompressed" {
			t.CompressionType = "none"
		}
	case "message.timestamp.type":
		t.LogAppendTime = value == "LogAppendTime"
	case "min.cleanable.dirty.ratio":
		t.MinCleanableDirtyRatio = toFloat(name, value)
	case "unclean.leader.election.enable":
		t.UncleanLeaderElection = strings.EqualFold(value, "true")
	case "preallocate":
		t.Preallocate = strings.EqualFold(value, "true")
	case "compression.gzip.level":
		t.CompressionGzipLevel = int(toInt64(name, value))
	case "compression.lz4.level":
		t.CompressionLz4Level = int(toInt64(name, value))
	case "compression.zstd.level":
		t.CompressionZstdLevel = int(toInt64(name, value))
	case "index.interval.bytes":
		t.IndexIntervalBytes = int32(toInt64(name, value))
	case "max.decompressed.message.bytes":
		t.MaxDecompressedMessageBytes = int32(toInt64(name, value))
	case "max.message.bytes":
		t.MaxMessageBytes = int32(toInt64(name, value))
	case "min.insync.replicas":
		t.MinInsyncReplicas = int32(toInt64(name, value))
	default:
		if field := t.long(name); field != nil {
			*field = toInt64(name, value)
		}
	}
}

// long is the field of a setting that is a time or an amount of 64 bits.
func (t *Topic) long(name string) *int64 {
	switch name {
	case "delete.retention.ms":
		return &t.DeleteRetentionMs
	case "file.delete.delay.ms":
		return &t.FileDeleteDelayMs
	case "flush.messages":
		return &t.FlushMessages
	case "flush.ms":
		return &t.FlushMs
	case "max.compaction.lag.ms":
		return &t.MaxCompactionLagMs
	case "message.timestamp.after.max.ms":
		return &t.MessageTimestampAfterMaxMs
	case "message.timestamp.before.max.ms":
		return &t.MessageTimestampBeforeMaxMs
	case "min.compaction.lag.ms":
		return &t.MinCompactionLagMs
	case "retention.bytes":
		return &t.RetentionBytes
	case "retention.ms":
		return &t.RetentionMs
	case "segment.bytes":
		return &t.SegmentBytes
	case "segment.jitter.ms":
		return &t.SegmentJitterMs
	case "segment.ms":
		return &t.SegmentMs
	}
	return nil
}
