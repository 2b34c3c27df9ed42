package txn

// Config is the settings of the broker that transactions go by. It is never changed once a machine has it: SetConfig hands a new one.
type Config struct {
	MaxTimeoutMs      int32 // transaction.max.timeout.ms
	AbortCheckMs      int64 // transaction.abort.timed.out.transaction.cleanup.interval.ms
	ExpirationMs      int64 // transactional.id.expiration.ms
	ExpirationCheckMs int64 // transaction.remove.expired.transaction.cleanup.interval.ms
	TwoPhaseCommit    bool  // transaction.two.phase.commit.enable

	// MaxRecordBytes is how large a record may be: what max.message.bytes of the topic leaves of a batch. 0: any.
	MaxRecordBytes int
	// Version is the finalized level of the feature transaction.version.
	Version int16
}

// Metadata is what the machine asks of the cluster's metadata. It knows every topic that has ever been named to the machine, unless it is
// gone. MetadataChanged hands a new one, or says that the same knows more.
type Metadata interface {
	// Leader returns the broker that leads a partition, -1 while nobody does. ok says whether there is such a partition.
	Leader(topic string, partition int32) (node int32, ok bool)
}

// TwoPhase is the fields of InitProducerId that version 6 brought (KIP-939).
type TwoPhase struct {
	Enable       bool // Enable2Pc
	KeepPrepared bool // KeepPreparedTxn
}
