// Package differential sends the same requests to Apache Kafka and to the broker under test and compares the answers field by
// field.
//
// It has only tests. A case (cases_*_test.go) is a script of requests that runs against each broker in turn, under the same topic
// names; rules_test.go says which fields may differ for any two brokers (ids, addresses, times) and which differences
// docs/compatibility.md owns up to. Cases of bytes that are no request are in raw_test.go. Start reading at differential_test.go.
//
// With WEIR_COMPAT_KAFKA set both sides are Kafka, and every difference is a fault of a case or of the rules.
package differential
