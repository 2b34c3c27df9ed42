// Package stream carries the talk between the nodes of a cluster: streams that share a port with Kafka's protocol. A stream begins with one byte
// that no Kafka frame and no TLS hello begins with, then both ends say who they are, and where there is a key prove that they have it.
// A node of another cluster is refused, with the reason on both sides. What is said on a stream is not its business. Start with Hub.
package stream
