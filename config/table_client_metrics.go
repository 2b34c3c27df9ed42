package config

// clientMetricsTable holds settings of client metrics subscriptions, sorted by name.
var clientMetricsTable = []Setting{
	{Name: "interval.ms", Type: Int, Default: "300000", Scope: ClientMetricsScope,
		Doc: ""},
	{Name: "match", Type: List, Scope: ClientMetricsScope,
		Doc: ""},
	{Name: "metrics", Type: List, Scope: ClientMetricsScope,
		Doc: ""},
}
