package differential

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetch is a request for one partition that does not wait. From version 13 on a topic goes by its id.
func (s *session) fetch(version int16, name string, partition int32, offset int64) *kmsg.FetchRequest {
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.MaxBytes, request.SessionEpoch = -1, 50<<20, -1
	request.Topics = []kmsg.FetchRequestTopic{s.fetchTopic(version, name, s.fetchPartition(partition, offset))}
	return request
}

func (s *session) fetchTopic(version int16, name string, partitions ...kmsg.FetchRequestTopicPartition) kmsg.FetchRequestTopic {
	topic := kmsg.FetchRequestTopic{Topic: s.topic(name), Partitions: partitions}
	if version >= 13 {
		topic.TopicID = s.ids[name]
	}
	return topic
}

func (s *session) fetchPartition(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	return p
}

// readAll compares all that a partition holds.
func (s *session) readAll(what, name string, partition int32) {
	s.t.Helper()
	s.ask(what, 12, s.fetch(12, name, partition, 0))
}

func listOffsets(topic string, partition int32, time int64) *kmsg.ListOffsetsRequest {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, time
	request.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return request
}

var fetchScripts = []script{
	{"one partition", 1, 4, 18, func(s *session, v int16) {
		s.create("a", 2)
		s.fill("a", 0, 6)
		for _, offset := range []int64{0, 1, 5, 6, 7, -1, math.MaxInt64} {
			s.ask("from "+itoa(int(offset)), v, s.fetch(v, "a", 0, offset))
		}
		s.ask("an empty partition", v, s.fetch(v, "a", 1, 0))
		s.ask("an unknown partition", v, s.fetch(v, "a", 9, 0))
		s.ask("a negative partition", v, s.fetch(v, "a", -1, 0))
		if v < 13 {
			s.ask("an unknown topic", v, s.fetch(v, "none", 0, 0))
		} else {
			unknown := s.fetch(v, "a", 0, 0)
			unknown.Topics[0].TopicID = noSuchID
			s.ask("an unknown id", v, unknown)
			unknown.Topics[0].TopicID = [16]byte{}
			s.ask("no id", v, unknown)
		}
		for _, limit := range []int32{0, 1, 80, 160, -1} {
			request := s.fetch(v, "a", 0, 2)
			request.MaxBytes = limit
			s.ask("at most "+itoa(limit), v, request)
			request = s.fetch(v, "a", 0, 2)
			request.Topics[0].Partitions[0].PartitionMaxBytes = limit
			s.ask("of the partition at most "+itoa(limit), v, request)
		}
		committed := s.fetch(v, "a", 0, 0)
		committed.IsolationLevel = 1
		s.ask("committed ones", v, committed)
		strange := s.fetch(v, "a", 0, 0)
		strange.IsolationLevel = 7
		s.ask("isolation 7", v, strange)
		none := s.fetch(v, "a", 0, 0)
		none.Topics = nil
		s.ask("nothing", v, none)
		for _, limit := range []int32{-1, math.MinInt32} {
			request := s.fetch(v, "a", 0, 6) // where nothing is to be read
			request.MaxBytes = limit
			s.ask("at the end at most "+itoa(limit), v, request)
			request = s.fetch(v, "a", 1, 0)
			request.MaxBytes, request.Topics[0].Partitions[0].PartitionMaxBytes = limit, limit
			s.ask("of nothing at most "+itoa(limit), v, request)
			request = s.fetch(v, "a", 0, 2)
			request.MinBytes = limit
			s.ask("at least "+itoa(limit), v, request)
			request = s.fetch(v, "a", 0, 2)
			request.MaxWaitMillis, request.MinBytes = limit, 1<<20
			s.ask("a wait of "+itoa(limit), v, request)
		}
		waiting := s.fetch(v, "a", 0, 6)
		waiting.MaxWaitMillis, waiting.MinBytes = 50, 1
		s.ask("a wait for more", v, waiting)
		waiting = s.fetch(v, "a", 0, 0)
		waiting.MaxWaitMillis, waiting.MinBytes = 50, 1<<20
		s.ask("a wait for much more", v, waiting)
		waiting = s.fetch(v, "a", 9, 0)
		waiting.MaxWaitMillis, waiting.MinBytes = 20_000, 1<<20
		s.ask("an error does not wait", v, waiting)
	}},
	{"many partitions", 1, 4, 18, func(s *session, v int16) {
		s.create("a", 3)
		s.create("b", 1)
		for p := range int32(3) {
			s.fill("a", p, 3)
		}
		s.fill("b", 0, 2)
		request := s.fetch(v, "a", 0, 0)
		request.Topics = []kmsg.FetchRequestTopic{
			s.fetchTopic(v, "b", s.fetchPartition(0, 1)),
			s.fetchTopic(v, "a", s.fetchPartition(2, 0), s.fetchPartition(0, 1), s.fetchPartition(1, 3), s.fetchPartition(7, 0)),
		}
		s.ask("all", v, request)
		for _, limit := range []int32{1, 90, 200, 400} {
			request.MaxBytes = limit
			s.ask("at most "+itoa(limit), v, request)
		}
		request.MaxBytes = -1
		s.ask("at most -1", v, request)
		request.IsolationLevel = 3
		s.ask("isolation 3", v, request)
		request.IsolationLevel = 0
		request.MaxBytes = 1 << 20
		request.Topics = append(request.Topics, s.fetchTopic(v, "b", s.fetchPartition(0, 0)))
		s.ask("a topic twice", v, request)
	}},
	{"leader epochs", 1, 9, 18, func(s *session, v int16) {
		s.create("a", 1)
		s.fill("a", 0, 3)
		for _, epoch := range []int32{-1, 0, 1, 100, -2} {
			request := s.fetch(v, "a", 0, 0)
			request.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			s.ask("current epoch "+itoa(epoch), v, request)
		}
		if v < 12 {
			return
		}
		for _, epoch := range []int32{-1, 0, 1, 100, -2} {
			for _, offset := range []int64{0, 2, 3, 9} {
				request := s.fetch(v, "a", 0, offset)
				request.Topics[0].Partitions[0].LastFetchedEpoch = epoch
				s.ask("last epoch "+itoa(epoch)+" at "+itoa(int(offset)), v, request)
			}
		}
	}},
	{"a log that begins later", 1, 4, 18, func(s *session, v int16) {
		s.create("a", 1)
		s.fill("a", 0, 6)
		request := kmsg.NewPtrDeleteRecordsRequest()
		request.TimeoutMillis = 10_000
		request.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: s.topic("a"), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 4}}}}
		s.ask("cut", 2, request)
		for _, offset := range []int64{0, 3, 4, 5, 6, 7} {
			s.ask("from "+itoa(int(offset)), v, s.fetch(v, "a", 0, offset))
		}
		if v >= 12 {
			early := s.fetch(v, "a", 0, 2)
			early.Topics[0].Partitions[0].LastFetchedEpoch = 0
			s.ask("before the start, last epoch 0", v, early)
		}
	}},
	{"zstd for old clients", 1, 4, 18, func(s *session, v int16) {
		s.create("z", 1, "compression.type", "zstd")
		s.ask("an empty one", v, s.fetch(v, "z", 0, 0))
		packed := batch{records: some(2), first: s.start, attributes: 4}
		packed.rawRecords = zstded(packed.encodeRecords())
		s.ask("written", 9, s.produce(9, "z", 0, packed.encode()))
		s.ask("read", v, s.fetch(v, "z", 0, 0))
		s.create("p", 1)
		s.ask("written where the producer chooses", 9, s.produce(9, "p", 0, packed.encode()))
		s.ask("read where the producer chooses", v, s.fetch(v, "p", 0, 0))
	}},
	{"sessions of another version", 1, 13, 18, func(s *session, v int16) {
		s.create("a", 1)
		s.fill("a", 0, 1)
		open := func(version int16) int32 {
			request := s.fetch(version, "a", 0, 0)
			request.SessionEpoch = 0
			if r, ok := s.ask("opened with v"+itoa(version), version, request).(*kmsg.FetchResponse); ok {
				return r.SessionID
			}
			return 0
		}
		for _, two := range [][2]int16{{12, v}, {v, 12}} {
			next := s.fetch(two[1], "a", 0, 0)
			next.SessionID, next.SessionEpoch = open(two[0]), 1
			s.ask("opened with v"+itoa(two[0])+", followed with v"+itoa(two[1]), two[1], next)
			next.Topics = nil
			next.SessionEpoch = 2
			s.ask("and again", two[1], next)
		}
		request := s.fetch(v, "a", 0, 0)
		request.SessionEpoch = 0
		request.Topics = append(request.Topics, kmsg.FetchRequestTopic{TopicID: noSuchID, Partitions: request.Topics[0].Partitions})
		id := int32(0)
		if r, ok := s.ask("a session with an unknown id", v, request).(*kmsg.FetchResponse); ok {
			id = r.SessionID
		}
		request.Topics, request.SessionID, request.SessionEpoch = nil, id, 1
		s.ask("goes on", v, request)
	}},
	{"followers that are none", 1, 4, 18, func(s *session, v int16) {
		s.create("a", 1)
		s.fill("a", 0, 2)
		for _, id := range []int32{1, 5, -2} {
			request := s.fetch(v, "a", 0, 0)
			request.ReplicaID = id
			if v >= 15 {
				request.ReplicaState = kmsg.FetchRequestReplicaState{ID: id, Epoch: -1}
			}
			s.ask("replica "+itoa(id), v, request)
		}
	}},
	{"sessions", 1, 7, 18, func(s *session, v int16) {
		s.create("a", 3)
		s.create("b", 1)
		s.fill("a", 0, 2)
		request := s.fetch(v, "a", 0, 0)
		request.SessionEpoch = 0
		request.Topics[0].Partitions = append(request.Topics[0].Partitions, s.fetchPartition(1, 0), s.fetchPartition(7, 0))
		var id int32
		if first, ok := s.ask("opened", v, request).(*kmsg.FetchResponse); ok {
			id = first.SessionID
		}
		follow := func(what string, epoch int32, topics ...kmsg.FetchRequestTopic) {
			next := s.fetch(v, "a", 0, 0)
			next.SessionID, next.SessionEpoch, next.Topics = id, epoch, topics
			s.ask(what, v, next)
		}
		follow("nothing new asked", 1)
		follow("read on", 2, s.fetchTopic(v, "a", s.fetchPartition(0, 2)))
		follow("nothing new there", 3)
		s.fill("a", 1, 1)
		follow("one has more", 4)
		follow("a topic more", 5, s.fetchTopic(v, "b", s.fetchPartition(0, 0)))
		forget := s.fetch(v, "a", 0, 0)
		forget.SessionID, forget.SessionEpoch, forget.Topics = id, 6, nil
		forgotten := kmsg.FetchRequestForgottenTopic{Topic: s.topic("a"), Partitions: []int32{1, 7}}
		if v >= 13 {
			forgotten.TopicID = s.ids["a"]
		}
		forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{forgotten}
		s.ask("two less", v, forget)
		s.fill("a", 1, 1)
		s.fill("b", 0, 1)
		follow("what is left", 7)
		follow("an old epoch", 3)
		follow("an epoch too far", 12)
		follow("the right epoch again", 8)
		id++
		follow("another session", 8)
		id--
		id, closing := 0, id
		follow("no session, epoch 5", 5)
		id = closing
		follow("closed", -1, s.fetchTopic(v, "a", s.fetchPartition(0, 0)))
		follow("after the close", 9)
		empty := s.fetch(v, "a", 0, 0)
		empty.SessionEpoch, empty.Topics = 0, nil
		s.ask("a session of nothing", v, empty)
	}},
	{"offsets by time", 2, 1, 11, func(s *session, v int16) {
		s.create("a", 2)
		s.fill("a", 0, 6)
		three := batch{records: some(3), first: s.start + 10_000, attributes: 1}
		three.rawRecords = gzipped(three.encodeRecords())
		s.ask("a packed batch", 9, s.produce(9, "a", 0, three.encode()))
		late := batch{records: some(1), first: s.start + 2000} // not the largest, though the last
		s.ask("a late one", 9, s.produce(9, "a", 0, late.encode()))
		for _, time := range []int64{-1, -2, -3, -4, -5, -6, -7, -100, 0, 1, s.start - 1, s.start, s.start + 1, s.start + 1000, s.start + 1001, s.start + 5001,
			s.start + 10_000, s.start + 10_010, s.start + 10_011, s.start + 10_020, s.start + 10_021, math.MaxInt64} {
			what := "time " + itoa(int(time))
			if time > 1 && time < math.MaxInt64 {
				what = "the start and " + itoa(int(time-s.start))
			}
			s.ask(what, v, listOffsets(s.topic("a"), 0, time))
			s.ask(what+", empty", v, listOffsets(s.topic("a"), 1, time))
		}
		s.ask("an unknown topic", v, listOffsets(s.topic("none"), 0, -1))
		s.ask("an unknown partition", v, listOffsets(s.topic("a"), 9, -1))
		s.ask("a negative partition", v, listOffsets(s.topic("a"), -1, -1))
		twice := listOffsets(s.topic("a"), 0, -1)
		twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0], listOffsets("", 1, -2).Topics[0].Partitions[0])
		s.ask("twice", v, twice)
		topics := listOffsets(s.topic("a"), 0, -1)
		topics.Topics = append(topics.Topics, listOffsets(s.topic("a"), 1, -1).Topics[0], listOffsets(s.topic("none"), 1, -1).Topics[0])
		s.ask("a topic twice", v, topics)
		s.ask("a bad name", v, listOffsets("not legal", 0, -1))
		s.ask("no name", v, listOffsets("", 0, -1))
		none := listOffsets(s.topic("a"), 0, -1)
		none.Topics = nil
		s.ask("nothing", v, none)
		for _, id := range []int32{-2, 1, 5} {
			request := listOffsets(s.topic("a"), 0, -1)
			request.ReplicaID = id
			s.ask("replica "+itoa(id), v, request)
		}
		if v >= 2 {
			request := listOffsets(s.topic("a"), 0, -1)
			request.IsolationLevel = 1
			s.ask("committed", v, request)
			request.IsolationLevel = 9
			s.ask("isolation 9", v, request)
		}
		if v >= 4 {
			for _, epoch := range []int32{0, 1, 50, -2} {
				request := listOffsets(s.topic("a"), 0, -1)
				request.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
				s.ask("current epoch "+itoa(epoch), v, request)
			}
		}
	}},
	{"ends of epochs", 23, 2, 4, func(s *session, v int16) {
		s.create("a", 2)
		s.fill("a", 0, 4)
		ends := func(what, name string, partition, epoch, current, replica int32) {
			request := kmsg.NewPtrOffsetForLeaderEpochRequest()
			request.ReplicaID = replica
			request.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: s.topic(name), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
				{Partition: partition, CurrentLeaderEpoch: current, LeaderEpoch: epoch}}}}
			s.ask(what, v, request)
		}
		for _, epoch := range []int32{0, 1, 9, -1, -2} {
			ends("epoch "+itoa(epoch), "a", 0, epoch, -1, -2)
			ends("epoch "+itoa(epoch)+", empty", "a", 1, epoch, -1, -2)
		}
		for _, current := range []int32{0, 1, 9, -2} {
			ends("current epoch "+itoa(current), "a", 0, 0, current, -2)
		}
		ends("a follower that is none", "a", 0, 0, -1, 5)
		ends("this broker as its follower", "a", 0, 0, -1, 1)
		ends("the most negative epoch", "a", 0, math.MinInt32, -1, -2)
		ends("the largest epoch", "a", 0, math.MaxInt32, -1, -2)
		ends("a negative partition", "a", -1, 0, -1, -2)
		ends("no name", "", 0, 0, -1, -2)
		twice := kmsg.OffsetForLeaderEpochRequestTopic{Topic: s.topic("a"), Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
			{Partition: 0, CurrentLeaderEpoch: -1}, {Partition: 1, CurrentLeaderEpoch: -1}, {Partition: 0, CurrentLeaderEpoch: -1, LeaderEpoch: 4}}}
		request := kmsg.NewPtrOffsetForLeaderEpochRequest()
		request.ReplicaID, request.Topics = -2, []kmsg.OffsetForLeaderEpochRequestTopic{twice}
		s.ask("a partition twice", v, request)
		request.Topics = append(request.Topics, kmsg.OffsetForLeaderEpochRequestTopic{Topic: s.topic("a"), Partitions: twice.Partitions[1:2]})
		s.ask("a topic twice", v, request)
		request.Topics = nil
		s.ask("none", v, request)
		ends("an unknown partition", "a", 9, 0, -1, -2)
		ends("an unknown topic", "none", 0, 0, -1, -2)
	}},
}
