// Package txn is the transaction coordinator as a pure state machine: producer ids and epochs of transactional ids, which partitions a
// transaction has, how it ends, and the markers that say so in those partitions. It implements coordinator.Machine for one partition of
// __transaction_state.
//
// It is not a server and has no clock: requests, time, producer ids and who leads which partition are arguments, and what an operation
// causes comes back as coordinator.Effects. It does not write markers: it sends WriteTxnMarkers to the brokers that lead the partitions,
// and the answers come back. Offsets in a transaction are the group coordinator's; last stable offsets and the index of aborted
// transactions are the partition's.
//
// Hard state is the last record of each transactional id; only Replay changes it. Soft state is which markers are written, requests that
// wait for producer ids, and the epoch before the last bump. A load makes the markers anew, all of them: they can be written twice.
//
// A transactional id goes from Empty or a completed transaction to Ongoing with its first partition, to PrepareCommit or PrepareAbort when
// the outcome is decided, which answers the client, and to CompleteCommit or CompleteAbort when all markers are written. While a
// transaction is being prepared, nobody may do anything with the id: CONCURRENT_TRANSACTIONS. Kafka gives that answer, too, while a record
// is on its way to the replicas; here the next operation goes on from it, and its reply waits for both.
//
// The level of the feature transaction.version is Config.Version. It decides what the coordinator does by itself: from 1 on records are
// of version 1, and from 2 on it aborts as an EndTxn of version 5 does. How a client works is said by the versions of its requests: EndTxn 5
// and AddPartitionsToTxn 4 are version 2, and are accepted at any level, for a client that has heard of level 2 goes on with it after a
// downgrade. A client uses version 2 when ApiVersions says that level 2 is finalized: that, the implicit AddPartitionsToTxn of Produce 12
// and TxnOffsetCommit 5, and the verification of partitions (level 1 and 2 alike, as Kafka has it since 3.6) belong to the broker.
//
// Start reading at txn.go (what there is and how it changes), then machine.go, then init.go, add.go and end.go (what clients ask), then
// markers.go.
package txn
