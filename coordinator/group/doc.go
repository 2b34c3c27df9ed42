// Package group is the group coordinator as a pure state machine: classic groups, consumer groups (KIP-848) and committed offsets. It
// implements coordinator.Machine for one partition of __consumer_offsets.
//
// It is not a server and has no clock: requests, time, member ids and the cluster's metadata are arguments, and what an operation causes
// comes back as coordinator.Effects. Hard state is what the log says: the offsets, the last GroupMetadata record of a classic group, the
// records of a consumer group. Only Replay and ReplayMarker change it. Soft state is the rest of a classic group: members that join,
// requests that wait, timers. A load makes it anew from hard state, in Elected.
//
// Start reading at machine.go (what there is), step.go (one operation), replay.go (what the log means), then classic.go or consumer.go or
// offsets.go.
package group
