// Package proxy stands in front of a Kafka cluster: clients see its addresses only. It forwards frames, rewrites the addresses in
// answers, and runs filters (package filter) on what they ask for.
//
// It stores nothing and knows nothing of a broker's inside. Start reading at proxy.go (what is opened and closed), then conn.go (the way
// of a request and of its response), source.go (how bytes pass without being copied), addresses.go (which answers are rewritten).
package proxy
