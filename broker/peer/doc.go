// Package peer is how a broker asks another: connections that carry Kafka's own requests over the inter-broker listener. A Conn belongs to
// one goroutine, which waits for each answer, and is what a follower fetches with; a Pool has one connection to each broker that many
// goroutines share, with any number of requests under way.
//
// It knows neither partitions nor metadata: where a broker is, and how its listener is spoken to, is the dialer's to know. Start reading at
// conn.go.
package peer
