package differential

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// marker ends a transaction of a producer in one partition.
func (s *session) marker(id int64, epoch int16, commit bool, coordinatorEpoch int32, version int8, name string, partitions ...int32) kmsg.WriteTxnMarkersRequestMarker {
	return kmsg.WriteTxnMarkersRequestMarker{
		ProducerID: id, ProducerEpoch: epoch, Committed: commit, CoordinatorEpoch: coordinatorEpoch, TransactionVersion: version,
		Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: s.topic(name), Partitions: partitions}},
	}
}

func writeMarkers(markers ...kmsg.WriteTxnMarkersRequestMarker) *kmsg.WriteTxnMarkersRequest {
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	request.Markers = markers
	return request
}

func describeProducers(topic string, partitions ...int32) *kmsg.DescribeProducersRequest {
	request := kmsg.NewPtrDescribeProducersRequest()
	request.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: partitions}}
	return request
}

var txnScripts = []script{
	{"markers", 27, 1, 2, func(s *session, v int16) {
		s.create("a", 3)
		const id = 4_000_000_100
		produce := func(what string, partition int32, epoch int16, sequence int32) {
			b := batch{records: some(1), first: s.start, producer: id, epoch: epoch, sequence: sequence}
			s.ask(what, 11, s.produce(11, "a", partition, b.encode()))
		}
		mark := func(what string, partition int32, epoch int16, commit bool, coordinatorEpoch int32, version int8) {
			s.ask(what, v, writeMarkers(s.marker(id, epoch, commit, coordinatorEpoch, version, "a", partition)))
			s.ask("producers after "+what, 0, describeProducers(s.topic("a"), partition))
			s.ask("the end after "+what, 7, listOffsets(s.topic("a"), partition, -1))
		}
		mark("of a stranger", 0, 3, true, 1, 0)
		mark("again", 0, 3, true, 1, 0)
		mark("an older coordinator", 0, 3, true, 0, 0)
		mark("an older epoch", 0, 2, false, 1, 0)
		mark("a newer coordinator", 0, 3, false, 7, 0)
		mark("a newer epoch", 0, 4, false, 7, 1)
		produce("an older epoch", 0, 3, 0)
		produce("the epoch of the marker, not from 0", 0, 4, 5)
		produce("the epoch of the marker", 0, 4, 0)
		produce("and on", 0, 4, 1)
		mark("a marker without a transaction", 0, 4, true, 7, 1)
		produce("on after it", 0, 4, 2)
		mark("version 2, the same epoch", 0, 4, true, 7, 2)
		mark("version 2, a lower epoch", 0, 3, true, 7, 2)
		mark("version 2, a higher epoch", 0, 5, true, 7, 2)
		mark("version 2, an older coordinator", 0, 6, true, 6, 2)
		mark("version 2, far ahead", 0, math.MaxInt16, true, 7, 2)
		mark("the largest epoch again", 0, math.MaxInt16, true, 7, 2)
		mark("a version that there is not", 0, math.MaxInt16, true, 7, 3)
		mark("a negative epoch", 1, -1, true, 7, 0)
		mark("a negative coordinator", 2, 0, true, -1, 0)
	}},
	{"places of markers", 27, 1, 2, func(s *session, v int16) {
		s.create("a", 2)
		s.ask("none", v, writeMarkers())
		s.ask("no topics", v, writeMarkers(kmsg.WriteTxnMarkersRequestMarker{ProducerID: 1}))
		s.ask("an unknown topic", v, writeMarkers(s.marker(1, 0, true, 0, 0, "none", 0)))
		s.ask("an unknown partition", v, writeMarkers(s.marker(1, 0, true, 0, 0, "a", 2)))
		s.ask("a negative partition", v, writeMarkers(s.marker(1, 0, true, 0, 0, "a", -1)))
		s.ask("a negative producer", v, writeMarkers(s.marker(-1, 0, true, 0, 0, "a", 0)))
		s.ask("no epoch", v, writeMarkers(s.marker(4_000_000_200, -1, true, 0, 0, "a", 0)))
		s.ask("less than none", v, writeMarkers(s.marker(4_000_000_200, -2, true, 0, 0, "a", 0)))
		s.ask("less than no coordinator", v, writeMarkers(s.marker(4_000_000_200, 0, true, -2, 0, "a", 0)))
		s.ask("a producer less than none", v, writeMarkers(s.marker(-2, 0, true, 0, 0, "a", 1)))
		s.ask("two producers", v, writeMarkers(s.marker(4_000_000_200, 1, true, 0, 0, "a", 0)))
		s.ask("the end", 7, listOffsets(s.topic("a"), 0, -1))
	}},
	{"producers", 61, 0, 0, func(s *session, v int16) {
		s.create("a", 3)
		b := batch{records: some(3), first: s.start, producer: 4_000_000_300, epoch: 2, sequence: 0}
		s.quiet(9, s.produce(9, "a", 0, b.encode()))
		s.ask("one", v, describeProducers(s.topic("a"), 0))
		s.ask("nothing", v, describeProducers(s.topic("a"), 1))
		s.ask("all, and partitions that there are not", v, describeProducers(s.topic("a"), 2, 1, 0, 3, -1))
		s.ask("an unknown topic", v, describeProducers(s.topic("none"), 0))
		s.ask("a bad name", v, describeProducers("a b", 0))
		s.ask("no name", v, describeProducers("", 0))
		s.ask("no partitions", v, describeProducers(s.topic("a")))
		s.ask("no topics", v, kmsg.NewPtrDescribeProducersRequest())
	}},
}
