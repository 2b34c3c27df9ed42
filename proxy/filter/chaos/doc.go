// Package chaos is a filter that makes things go wrong: requests come late, are answered with an error code, or end the connection, each at a
// rate. Which ones is decided by a seed, so that the same requests in the same order meet the same faults. Slow fetches are a delay of Fetch, and a
// leader that has moved is the code NOT_LEADER_OR_FOLLOWER for Produce and Fetch.
//
// A request that is answered with a code has not reached the cluster.
package chaos
