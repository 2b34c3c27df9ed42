// Package config is every setting of Weir in one table: name, type, default, range, scope, documentation, and whether it can be
// changed while the broker runs. It is pure: properties text, environment and flags are handed to it as values.
//
// From the table come parsing, validation, the effective configuration and its origins, and DescribeConfigs. Start reading at
// table.go (the settings), then resolve.go (how sources are merged) and topic.go (what a partition reads on its hot path).
package config
