package config

// metricsTable holds metrics, quotas and telemetry, sorted by name.
var metricsTable = []Setting{
	{Name: "client.quota.callback.class", Type: Class, Null: true,
		Doc: ""},
	{Name: "kafka.metrics.polling.interval.secs", Type: Int, Default: "10", Rule: &atLeast1,
		Doc: ""},
	{Name: "kafka.metrics.reporters", Type: List,
		Doc: ""},
	{Name: "metric.reporters", Type: List, Default: "org.apache.kafka.common.metrics.JmxReporter", Update: ClusterWide,
		Doc: ""},
	{Name: "metrics.num.samples", Type: Int, Default: "2", Rule: &atLeast1,
		Doc: ""},
	{Name: "metrics.recording.level", Type: String, Default: "INFO",
		Doc: ""},
	{Name: "metrics.sample.window.ms", Type: Long, Default: "30000", Rule: &atLeast1,
		Doc: ""},
	{Name: "quota.window.num", Type: Int, Default: "11", Rule: &atLeast1,
		Doc: ""},
	{Name: "quota.window.size.seconds", Type: Int, Default: "1", Rule: &atLeast1,
		Doc: ""},
	{Name: "telemetry.max.bytes", Type: Int, Default: "1048576", Rule: &atLeast1,
		Doc: ""},
}
