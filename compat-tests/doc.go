// Package compat runs stock Kafka clients against a broker: what they were written for is the only definition of compatible that
// counts.
//
// It is a Go module of its own, so that the clients never become dependencies of the broker. This package holds the harness
// (broker.go: start, stop, kill -9, start again on the same data) and the three Go clients behind one interface (client.go); its
// tests need nothing but Go. Beside it, with more needs: tools (kcat, Kafka's own tools and the programs of java/, big files), image (a Docker
// daemon) and differential (the same requests to Apache Kafka and to this broker).
//
// Every test can be proved on Apache Kafka itself, and a test that fails there is wrong: WEIR_COMPAT_KAFKA=4.4.0 starts that
// version for each test, WEIR_COMPAT_BROKER=host:port takes one that runs already.
package compat
