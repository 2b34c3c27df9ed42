package config

// metricsTable holds metrics, quotas and telemetry, sorted by name.
var metricsTable = []Setting{
	{Name: "client.quota.callback.class", Type: Class, Null: true, Needless: noClasses,
		Doc: "Java class that computes client quotas. Weir loads no classes."},
	{Name: "kafka.metrics.polling.interval.secs", Type: Int, Default: "10", Rule: &atLeast1, Needless: noClasses,
		Doc: "How often Java metrics reporters are polled. Weir loads no classes."},
	{Name: "kafka.metrics.reporters", Type: List, Needless: noClasses,
		Doc: "Java metrics reporters of the old kind. Weir loads no classes."},
	{Name: "metric.reporters", Type: List, Default: "org.apache.kafka.common.metrics.JmxReporter", Update: ClusterWide, Needless: noClasses,
		Doc: "Java classes that report metrics. Weir loads no classes."},
	{Name: "metrics.num.samples", Type: Int, Default: "2", Rule: &atLeast1,
		Doc: "How many samples are kept to compute a metric."},
	{Name: "metrics.recording.level", Type: String, Default: "INFO",
		Doc: "The detail of metrics: INFO, DEBUG or TRACE."},
	{Name: "metrics.sample.window.ms", Type: Long, Default: "30000", Rule: &atLeast1,
		Doc: "Length of one sample of a metric."},
	{Name: "quota.window.num", Type: Int, Default: "11", Rule: &atLeast1,
		Doc: "How many samples are kept to measure client quotas."},
	{Name: "quota.window.size.seconds", Type: Int, Default: "1", Rule: &atLeast1,
		Doc: "Length of one sample of client quotas."},
	{Name: "telemetry.max.bytes", Type: Int, Default: "1048576", Rule: &atLeast1,
		Doc: "Largest push of client metrics."},
}
