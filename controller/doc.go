// Package controller is the cluster's metadata as a pure state machine: records in, image out; requests in, records out.
//
// The leader decides and writes Kafka's own metadata records; every node only merges them into its image. There is no clock,
// randomness or I/O in it: those are arguments. It is not consensus: that is controller/raft. Start reading at image.go, then
// controller.go (which request becomes which records).
package controller
