package group

// Config is the settings of the broker that groups go by. It is never changed once a machine has it: SetConfig hands a new one.
type Config struct {
	MinSessionMs            int32 // group.min.session.timeout.ms
	MaxSessionMs            int32 // group.max.session.timeout.ms
	InitialRebalanceDelayMs int32 // group.initial.rebalance.delay.ms
	MaxSize                 int32 // group.max.size

	OffsetMetadataMaxBytes  int32 // offset.metadata.max.bytes
	OffsetsRetentionMs      int64 // offsets.retention.minutes
	OffsetsRetentionCheckMs int64 // offsets.retention.check.interval.ms

	ConsumerMaxSize         int32    // group.consumer.max.size
	ConsumerAssignors       []string // group.consumer.assignors, the first is the default
	ConsumerMigrationPolicy string   // group.consumer.migration.policy, lower case
	ConsumerRegexRefreshMs  int32    // group.consumer.regex.refresh.interval.ms

	// Group returns the settings of one group: its own ones (resource type GROUP) over those of the broker, within the broker's bounds.
	Group func(id string) GroupConfig
}

// GroupConfig is the settings that a group may have of its own.
type GroupConfig struct {
	ConsumerSessionMs    int32 // consumer.session.timeout.ms
	ConsumerHeartbeatMs  int32 // consumer.heartbeat.interval.ms
	ConsumerAssignmentMs int32 // consumer.assignment.interval.ms
}
