package differential

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// noSuchID is a topic id that no topic has.
var noSuchID = [16]byte{0xaa, 0xbb, 15: 1}

var metadataScripts = []script{
	{"what is served", 18, 0, 5, func(s *session, v int16) {
		request := kmsg.NewPtrApiVersionsRequest()
		request.ClientSoftwareName, request.ClientSoftwareVersion = "differential", "1.0"
		s.ask("plain", v, request)
		if v < 3 {
			return
		}
		for _, name := range []string{"", "-dash-first", "dash-last-", "with space", "ümlaut", "a.b-c_d", strings.Repeat("x", 300)} {
			request.ClientSoftwareName = name
			s.ask(fmt.Sprintf("client name of %d bytes %.20s", len(name), name), v, request)
		}
		request.ClientSoftwareName, request.ClientSoftwareVersion = "ok", ""
		s.ask("no client version", v, request)
		request.ClientSoftwareVersion = "1.0"
		if v < 5 {
			return
		}
		request.NodeID = 7
		s.ask("another node id", v, request)
		request.NodeID, request.ClusterID = 1, ptr("another cluster")
		s.ask("another cluster id", v, request)
		request.NodeID = -1
		s.ask("another cluster id, no node id", v, request)
		request.ClusterID = ptr("")
		s.ask("an empty cluster id", v, request)
	}},
	{"a version from the future", 18, 6, 7, func(s *session, v int16) {
		s.ask("asked", v, kmsg.NewPtrApiVersionsRequest())
		s.ask("asked again", 0, kmsg.NewPtrApiVersionsRequest())
	}},
	{"topics", 3, 0, 13, func(s *session, v int16) {
		s.create("a", 2)
		s.create("b", 1)
		request := kmsg.NewPtrMetadataRequest()
		names := func(names ...string) *kmsg.MetadataRequest {
			request.Topics = []kmsg.MetadataRequestTopic{}
			for _, n := range names {
				request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: &n})
			}
			return request
		}
		s.ask("two", v, names(s.topic("b"), s.topic("a")))
		s.ask("twice", v, names(s.topic("a"), s.topic("a")))
		if v >= 4 { // before, the broker decides, and it creates
			s.ask("unknown", v, names(s.topic("none"), s.topic("a")))
			for _, bad := range []string{"", ".", "..", "a b", "a/b", "ü", strings.Repeat("x", 249), strings.Repeat("x", 250)} {
				s.ask("name "+bad, v, names(bad))
			}
		}
		if v >= 1 {
			s.ask("none", v, names())
			request.Topics = nil
			s.askOwn("all", v, request)
		} else {
			s.askOwn("all", v, names())
		}
		if v >= 8 {
			request.IncludeTopicAuthorizedOperations, request.IncludeClusterAuthorizedOperations = true, true
			s.ask("operations", v, names(s.topic("a"), s.topic("none")))
			request.IncludeTopicAuthorizedOperations, request.IncludeClusterAuthorizedOperations = false, false
		}
	}},
	{"topics by id", 3, 10, 13, func(s *session, v int16) {
		s.create("a", 2)
		request := kmsg.NewPtrMetadataRequest()
		for _, step := range []struct {
			what  string
			topic kmsg.MetadataRequestTopic
		}{
			{"id", kmsg.MetadataRequestTopic{TopicID: s.ids["a"]}},
			{"unknown id", kmsg.MetadataRequestTopic{TopicID: noSuchID}},
			{"id and name", kmsg.MetadataRequestTopic{TopicID: s.ids["a"], Topic: ptr(s.topic("a"))}},
			{"unknown id and name", kmsg.MetadataRequestTopic{TopicID: noSuchID, Topic: ptr(s.topic("a"))}},
			{"neither", kmsg.MetadataRequestTopic{}},
		} {
			request.Topics = []kmsg.MetadataRequestTopic{step.topic}
			s.ask(step.what, v, request)
		}
		request.Topics = []kmsg.MetadataRequestTopic{{TopicID: noSuchID}, {TopicID: s.ids["a"]}}
		s.ask("an unknown id beside a known one", v, request)
		request.Topics = []kmsg.MetadataRequestTopic{{TopicID: s.ids["a"]}, {Topic: ptr(s.topic("a"))}}
		s.ask("ids and names", v, request)
	}},
	{"creation by asking", 3, 0, 13, func(s *session, v int16) {
		request := kmsg.NewPtrMetadataRequest()
		request.AllowAutoTopicCreation = true
		request.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(s.topic("new"))}}
		s.ask("first", v, request)
		s.settle("new", 1)
		s.until(func() bool { return s.quiet(v, request).(*kmsg.MetadataResponse).Topics[0].ErrorCode == 0 })
		s.ask("later", v, request)
		request.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr("not legal")}, {Topic: ptr(s.topic("new"))}}
		s.ask("a bad name beside a good one", v, request)
	}},
	{"partitions", 75, 0, 0, func(s *session, v int16) {
		s.create("a", 3)
		s.create("b", 2)
		request := kmsg.NewPtrDescribeTopicPartitionsRequest()
		names := func(names ...string) {
			request.Topics = nil
			for _, n := range names {
				request.Topics = append(request.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
			}
		}
		a, b := s.topic("a"), s.topic("b")
		names(b, a)
		s.ask("two", v, request)
		names(a, a)
		s.ask("twice", v, request)
		names(s.topic("none"), a, "not legal", "..")
		s.ask("unknown ones", v, request)
		names("")
		s.ask("no name", v, request)
		names(a, "")
		s.ask("a name and none", v, request)
		names(a, b)
		for _, limit := range []int32{0, -1, 1, 2, 3, 4, 5, 3000} {
			request.ResponsePartitionLimit = limit
			s.ask("limit "+itoa(limit), v, request)
		}
		request.ResponsePartitionLimit = 2000
		for _, cursor := range []kmsg.DescribeTopicPartitionsRequestCursor{{Topic: a, Partition: 1}, {Topic: a, Partition: 3}, {Topic: b}, {Topic: b, Partition: 9},
			{Topic: s.topic("none"), Partition: 0}, {Topic: a, Partition: -1}, {Topic: "", Partition: 0}} {
			request.Cursor = &cursor
			s.ask("from "+strings.TrimPrefix(cursor.Topic, s.prefix)+" "+itoa(cursor.Partition), v, request)
		}
		request.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: a, Partition: 1}
		request.ResponsePartitionLimit = 1
		s.ask("a page", v, request)
	}},
	{"the cluster", 60, 0, 2, func(s *session, v int16) {
		request := kmsg.NewPtrDescribeClusterRequest()
		s.ask("plain", v, request)
		request.IncludeClusterAuthorizedOperations = true
		s.ask("operations", v, request)
		if v >= 1 {
			for _, kind := range []int8{0, 1, 2, 3, -1} {
				request.EndpointType = kind
				s.ask("endpoint type "+itoa(int16(kind)), v, request)
			}
		}
		if v >= 2 {
			request.EndpointType, request.IncludeFencedBrokers = 1, true
			s.ask("fenced ones too", v, request)
		}
	}},
}
