package config

// topicsTable holds topics in general, sorted by name.
var topicsTable = []Setting{
	{Name: "alter.config.policy.class.name", Type: Class, Null: true,
		Doc: ""},
	{Name: "auto.create.topics.enable", Type: Boolean, Default: "true",
		Doc: ""},
	{Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true",
		Doc: ""},
	{Name: "create.topic.policy.class.name", Type: Class, Null: true,
		Doc: ""},
	{Name: "default.replication.factor", Type: Int, Default: "1",
		Doc: ""},
	{Name: "delete.topic.enable", Type: Boolean, Default: "true",
		Doc: ""},
	{Name: "leader.imbalance.check.interval.seconds", Type: Long, Default: "300", Rule: &atLeast1,
		Doc: ""},
	{Name: "min.insync.replicas", Type: Int, Default: "1", Update: ClusterWide, Rule: &atLeast1,
		Doc: ""},
	{Name: "num.partitions", Type: Int, Default: "1", Rule: &atLeast1,
		Doc: ""},
	{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Update: ClusterWide,
		Doc: ""},
	{Name: "unclean.leader.election.interval.ms", Type: Long, Default: "300000", Internal: true, Rule: &atLeast1,
		Doc: ""},
}
