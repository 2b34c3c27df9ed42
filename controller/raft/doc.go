// Package raft carries the controller's records: hashicorp/raft with a log store on tidwall/wal, the image it builds, and the
// one goroutine that runs the controller on the leader.
//
// It decides nothing about metadata: that is package controller. Start reading at node.go.
package raft
