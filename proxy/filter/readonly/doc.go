// Package readonly is a filter that lets clients read and refuses what changes topics, records, settings or rules, with
// CLUSTER_AUTHORIZATION_FAILED. Consumer groups work, with their commits, unless Groups is set.
//
// Before version 4 a Metadata request cannot say that it wants no topic made; where the cluster makes topics by itself, such a request may.
package readonly
