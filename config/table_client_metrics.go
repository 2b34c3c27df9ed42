package config

// clientMetricsTable holds settings of client metrics subscriptions, sorted by name.
var clientMetricsTable = []Setting{
	{Name: "interval.ms", Type: Int, Default: "300000", Scope: ClientMetricsScope,
		Doc: "How often clients that this subscription matches push their metrics."},
	{Name: "match", Type: List, Scope: ClientMetricsScope,
		Doc: "Which clients push: name=regular expression for client_id, client_instance_id, client_software_name and others."},
	{Name: "metrics", Type: List, Scope: ClientMetricsScope,
		Doc: "What they push: prefixes of metric names; * is all, empty is none."},
}
