package config

import "math"

const (
	minutes = 60 * 1000
	hours   = 60 * minutes
)

// The rules that many rows share.
var (
	atLeastMinus2 = Rule{Min: -2, Max: math.MaxInt64}
	atLeastMinus1 = Rule{Min: -1, Max: math.MaxInt64}
	atLeast0      = Rule{Min: 0, Max: math.MaxInt64}
	atLeast1      = Rule{Min: 1, Max: math.MaxInt64}
	nonEmpty      = Rule{NonEmpty: true}

	gzipLevel         = Rule{Custom: checkGzipLevel, CustomAllows: "-1 or a whole number from 1 to 9"}
	throttledReplicas = Rule{Custom: checkThrottled, CustomAllows: "* or a list of partition:broker, separated by commas"}
	quorumVoters      = Rule{Custom: checkVoters, CustomAllows: "a list of id@host:port, separated by commas"}
	hostsAndPorts     = Rule{Custom: checkHostPorts, CustomAllows: "a list of host:port, separated by commas"}
	shareReset        = Rule{Custom: checkShareReset, CustomAllows: "latest, earliest or by_duration:PnDTnHnMn.nS"}
	connectionLimits  = Rule{Custom: checkConnectionLimits, CustomAllows: "a list of host:number, separated by commas"}
	clusterKey        = Rule{Custom: checkClusterKey, CustomAllows: "at least 16 characters"}
	clusterID         = Rule{Custom: checkClusterID, CustomAllows: "16 bytes in URL-safe base64: 22 characters"}
)

// Why settings are needless: what they steer in Kafka is not there.
const (
	noThreads  = "there are no pools of threads: goroutines are made as work comes"
	noClasses  = "no Java classes are loaded"
	noPurge    = "what waits is removed when it ends, not by counting"
	smallIndex = "an index has an entry about every 32 KiB of a file, and a file no more than 64 MiB"
	smallFiles = "a file has no more than 64 MiB and grows by appending"
	openFiles  = "who reads a segment holds its file open: it can be unlinked at once, and its space is free when nobody reads it"
	lazyLogs   = "a log is looked through when it is first used, not at the start"
	atOnce     = "what is safe on the disk is noted when it is, not from time to time"
	noQueue    = "a connection serves its own requests, at most 128 ahead of their answers: there is no queue for all"
)

// The table is these tables: each is sorted, so that nothing has to be built when the process starts.
var (
	brokerTables = [...][]Setting{
		listenersTable, networkTable, clusterTable, logTable, topicsTable, replicationTable, groupsTable, coordinatorsTable,
		transactionsTable, securityTable, saslTable, remoteTable, metricsTable,
	}
	topicTables   = [...][]Setting{topicTable}
	groupTables   = [...][]Setting{groupTable}
	metricsTables = [...][]Setting{clientMetricsTable}
)

func tables(scope Scope) [][]Setting {
	switch scope {
	case BrokerScope:
		return brokerTables[:]
	case TopicScope:
		return topicTables[:]
	case GroupScope:
		return groupTables[:]
	case ClientMetricsScope:
		return metricsTables[:]
	}
	return nil
}
