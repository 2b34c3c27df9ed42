package config

// topicsTable holds topics in general, sorted by name.
var topicsTable = []Setting{
	{Name: "alter.config.policy.class.name", Type: Class, Null: true, Needless: noClasses,
		Doc: "Java class of a policy that may refuse changes of settings. Weir loads no classes."},
	{Name: "auto.create.topics.enable", Type: Boolean, Default: "true", Honoured: true,
		Doc: "Create a topic when a producer or consumer names one that does not exist."},
	{Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true", Honoured: true,
		Doc: "Give leadership back to the first replica of each partition from time to time."},
	{Name: "create.topic.policy.class.name", Type: Class, Null: true, Needless: noClasses,
		Doc: "Java class of a policy that may refuse new topics. Weir loads no classes."},
	{Name: "default.replication.factor", Type: Int, Default: "1", Honoured: true,
		Doc: "Replicas of a topic whose creator does not say how many."},
	{Name: "delete.topic.enable", Type: Boolean, Default: "true", Honoured: true,
		Doc: "Allow topics to be deleted."},
	{Name: "leader.imbalance.check.interval.seconds", Type: Long, Default: "300", Honoured: true, Rule: &atLeast1,
		Doc: "How often leadership is checked against the first replicas."},
	{Name: "min.insync.replicas", Type: Int, Default: "1", Update: ClusterWide, Honoured: true, Rule: &atLeast1,
		Doc: "Replicas that must have a record before acks=all is acknowledged; with fewer in sync, such writes are refused."},
	{Name: "num.partitions", Type: Int, Default: "1", Honoured: true, Rule: &atLeast1,
		Doc: "Partitions of a topic whose creator does not say how many."},
	{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Update: ClusterWide, Honoured: true,
		Doc: "Allow a replica that is not in sync to lead, at the price of lost records."},
	{Name: "unclean.leader.election.interval.ms", Type: Long, Default: "300000", Internal: true, Honoured: true, Rule: &atLeast1,
		Doc: "How often partitions without a leader are looked at for an unclean election."},
}
