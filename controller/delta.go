package controller

// Delta names what a batch changed between two images, in the order of first change. A publisher looks up the details in the
// images.
type Delta struct {
	Topics  []TopicDelta // changed or created, and still there
	Deleted []*Topic     // as they were in the old image
	Brokers []int32      // registered, changed or gone
	Configs []Resource   // changed or gone, those of deleted topics included
	// Features and ProducerIDs say whether finalized features or the next producer id changed.
	Features, ProducerIDs bool
}

// TopicDelta is one topic that a batch created or changed.
type TopicDelta struct {
	Topic      *Topic  // as it is in the new image
	Old        *Topic  // as it was, nil if the batch created it
	Partitions []int32 // created or changed, ascending
}

// Empty says whether nothing changed.
func (d *Delta) Empty() bool {
	return len(d.Topics) == 0 && len(d.Deleted) == 0 && len(d.Brokers) == 0 && len(d.Configs) == 0 && !d.Features && !d.ProducerIDs
}
