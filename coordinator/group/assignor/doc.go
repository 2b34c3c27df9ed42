// Package assignor computes which member of a consumer group (KIP-848) reads which partition: the server assignors uniform and range, with
// Kafka's rules. An assignor is a function of its Spec: the same spec gives the same assignment.
//
// It keeps no state and knows no epochs: what is assigned is a target, and how members move there is the affair of package group.
//
// Start reading at Spec in assignor.go.
package assignor
