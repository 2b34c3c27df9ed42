package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// trio is three brokers: partition p of topic t is led by broker p%3+1, and a group or transactional id is coordinated by the broker that its
// last digit says.
func trio(t *testing.T) []*fake {
	all := []*fake{newFake(t), newFake(t), newFake(t)}
	for i, f := range all {
		id := int32(i + 1)
		f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
			switch q := req.(type) {
			case *kmsg.MetadataRequest:
				r := metadataOf(all...)
				r.Version = h.Version
				r.ControllerID = 2
				topic := kmsg.NewMetadataResponseTopic()
				topic.Topic, topic.TopicID = kmsg.StringPtr("t"), [16]byte{7}
				for p := range int32(9) {
					part := kmsg.NewMetadataResponseTopicPartition()
					part.Partition, part.Leader = p, p%3+1
					topic.Partitions = append(topic.Partitions, part)
				}
				r.Topics = append(r.Topics, topic)
				return r
			case *kmsg.FindCoordinatorRequest:
				r := q.ResponseKind().(*kmsg.FindCoordinatorResponse)
				if r.NodeID = 1; strings.ContainsAny(q.CoordinatorKey, "23") {
					r.NodeID = int32(q.CoordinatorKey[len(q.CoordinatorKey)-1]) % 3 // '1' is 49
				}
				if r.NodeID == 0 {
					r.NodeID = 3
				}
				r.Host, r.Port = all[r.NodeID-1].hostPort()
				return r
			case *kmsg.ListGroupsRequest:
				r := q.ResponseKind().(*kmsg.ListGroupsResponse)
				r.Groups = []kmsg.ListGroupsResponseGroup{{Group: fmt.Sprint("g", id)}}
				return r
			case *kmsg.CreateTopicsRequest:
				r := q.ResponseKind().(*kmsg.CreateTopicsResponse)
				r.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: fmt.Sprint("by ", id)}}
				return r
			case *kmsg.FetchRequest:
				if q.SessionID != 0 || q.SessionEpoch != -1 {
					return filter.Refusal(req, protocol.InvalidFetchSessionEpoch, "")
				}
				r := filter.Refusal(req, 0, "").(*kmsg.FetchResponse)
				r.ErrorCode = 0
				for i := range r.Topics {
					for j := range r.Topics[i].Partitions {
						p := &r.Topics[i].Partitions[j]
						p.RecordBatches = bytes.Repeat([]byte{byte(id)}, int(p.Partition)*10_000)
					}
				}
				return r
			case *kmsg.ApiVersionsRequest:
				r := q.ResponseKind().(*kmsg.ApiVersionsResponse)
				if q.NodeID != -1 || q.ClusterID != nil {
					r.ErrorCode = int16(protocol.RebootstrapRequired)
				}
				return r
			case *kmsg.ProduceRequest:
				if q.Acks == 0 {
					return nil
				}
			}
			return filter.Refusal(req, protocol.Code(id), "") // the code says who answered
		}
		f.run(t)
	}
	return all
}

func produceTo(acks int16, partitions ...int32) *kmsg.ProduceRequest {
	r := version(kmsg.NewPtrProduceRequest(), 11)
	r.Acks = acks
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	for _, n := range partitions {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = n, []byte{1, 2, 3}
		topic.Partitions = append(topic.Partitions, p)
	}
	r.Topics = append(r.Topics, topic)
	return r
}

// who is the partitions of a Produce answer and who answered, as "partition:broker".
func who(r kmsg.Response) string {
	var all []string
	for _, t := range r.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			all = append(all, fmt.Sprintf("%d:%d", p.Partition, p.ErrorCode))
		}
	}
	return fmt.Sprint(len(r.(*kmsg.ProduceResponse).Topics), " ", strings.Join(all, " "))
}

// Each part of a request goes to the broker that answers for it, and the answers come back as one.
func TestSingleSplits(t *testing.T) {
	all := trio(t)
	p, _ := start(t, Cluster{Single: true}, all[0].addr())
	c := dial(t, p.Addr())
	if got := c.ask(version(kmsg.NewPtrMetadataRequest(), 12)).(*kmsg.MetadataResponse); len(got.Brokers) != 3 ||
		fmt.Sprintf("%s:%d", got.Brokers[2].Host, got.Brokers[2].Port) != p.Addr() {
		t.Errorf("%+v", got.Brokers)
	}
	if got := who(c.ask(produceTo(1, 4))); got != "1 4:2" {
		t.Error(got)
	}
	if got := who(c.ask(produceTo(1, 5, 0, 3, 1, 2))); got != "1 0:1 3:1 1:2 5:3 2:3" {
		t.Error(got)
	}
	if got := who(c.ask(produceTo(1, 77))); got != "1 77:1" { // there is none: any broker says so
		t.Error(got)
	}
	if _, err := c.Write(requestFrame(produceTo(0, 1, 2, 3), 99, "")); err != nil {
		t.Fatal(err)
	}
	fetch := version(kmsg.NewPtrFetchRequest(), 15) // by topic id
	fetch.SessionEpoch = 0
	ft := kmsg.NewFetchRequestTopic()
	ft.TopicID = [16]byte{7}
	for n := range int32(6) {
		fp := kmsg.NewFetchRequestTopicPartition()
		fp.Partition = n
		ft.Partitions = append(ft.Partitions, fp)
	}
	fetch.Topics = append(fetch.Topics, ft)
	f := c.ask(fetch).(*kmsg.FetchResponse)
	if f.ErrorCode != 0 || f.SessionID != 0 || len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 6 {
		t.Fatalf("%d %d %d", f.ErrorCode, f.SessionID, len(f.Topics))
	}
	for _, fp := range f.Topics[0].Partitions {
		if len(fp.RecordBatches) != int(fp.Partition)*10_000 || fp.Partition > 0 && fp.RecordBatches[9] != byte(fp.Partition%3+1) {
			t.Errorf("partition %d: %d bytes", fp.Partition, len(fp.RecordBatches))
		}
	}
	fetch.SessionID = 5
	if f := c.ask(fetch).(*kmsg.FetchResponse); f.ErrorCode != int16(protocol.FetchSessionIDNotFound) {
		t.Errorf("%+v", f)
	}
	if g := c.ask(version(kmsg.NewPtrListGroupsRequest(), 4)).(*kmsg.ListGroupsResponse); len(g.Groups) != 3 {
		t.Errorf("%+v", g)
	}
	if r := c.ask(version(kmsg.NewPtrCreateTopicsRequest(), 5)).(*kmsg.CreateTopicsResponse); r.Topics[0].Topic != "by 2" {
		t.Errorf("%+v", r)
	}
	d := version(kmsg.NewPtrDescribeGroupsRequest(), 5)
	d.Groups = []string{"x3", "x1", "y3"}
	if r := c.ask(d).(*kmsg.DescribeGroupsResponse); len(r.Groups) != 3 || r.Groups[0].Group != "x1" || r.Groups[0].ErrorCode != 1 || r.Groups[2].Group != "y3" || r.Groups[2].ErrorCode != 3 {
		t.Errorf("%+v", r)
	}
	e := version(kmsg.NewPtrEndTxnRequest(), 3)
	e.TransactionalID = "tx2"
	if r := c.ask(e).(*kmsg.EndTxnResponse); r.ErrorCode != 2 {
		t.Errorf("%+v", r)
	}
	s := version(kmsg.NewPtrSASLHandshakeRequest(), 1)
	if r := c.ask(s).(*kmsg.SASLHandshakeResponse); r.ErrorCode != int16(protocol.UnsupportedSaslMechanism) {
		t.Errorf("%+v", r)
	}
}

// A client that says which broker it means (KIP-1242) is believed for what only a broker itself can answer.
func TestSingleNode(t *testing.T) {
	all := trio(t)
	p, _ := start(t, Cluster{Single: true}, all[0].addr())
	dial(t, p.Addr()).ask(version(kmsg.NewPtrMetadataRequest(), 12))
	c := dial(t, p.Addr())
	v := version(kmsg.NewPtrApiVersionsRequest(), 5)
	v.ClientSoftwareName, v.ClientSoftwareVersion, v.ClusterID, v.NodeID = "a", "1", kmsg.StringPtr("c"), 3
	if r := c.ask(v).(*kmsg.ApiVersionsResponse); r.ErrorCode != 0 {
		t.Errorf("%+v", r)
	}
	if g := c.ask(version(kmsg.NewPtrListGroupsRequest(), 4)).(*kmsg.ListGroupsResponse); len(g.Groups) != 1 || g.Groups[0].Group != "g3" {
		t.Errorf("%+v", g)
	}
}

// Order is kept whoever answers first.
func TestSingleOrder(t *testing.T) {
	all := trio(t)
	p, _ := start(t, Cluster{Single: true}, all[1].addr())
	c := dial(t, p.Addr())
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 7))
	var sent []*kmsg.ProduceRequest
	var want []string
	for range 500 {
		a, b := int32(g.IntN(9)), int32(g.IntN(9))
		sent = append(sent, produceTo(1, a, b))
		parts := map[int32]string{}
		for _, n := range []int32{a, b} {
			parts[n%3] += fmt.Sprintf(" %d:%d", n, n%3+1)
		}
		want = append(want, "1"+parts[0]+parts[1]+parts[2])
	}
	go func() {
		for i, r := range sent {
			if _, err := c.Write(requestFrame(r, int32(i), "")); err != nil {
				return
			}
		}
	}()
	for i, r := range sent {
		resp, err := c.answer(r, int32(i))
		if err != nil {
			t.Fatal(i, err)
		}
		if got := who(resp); got != want[i] {
			t.Fatalf("%d: %s, want %s", i, got, want[i])
		}
	}
}

// A broker that is gone, or goes while it is asked, or lies, costs its own partitions: the client is told to look again. What else is asked
// is answered.
func TestSingleBrokerGone(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"closes":  func(nc net.Conn) { readFrame(nc) },
		"lies":    func(nc net.Conn) { readFrame(nc); nc.Write([]byte{0xff, 0xff, 0, 0}) },
		"cuts":    func(nc net.Conn) { readFrame(nc); nc.Write([]byte{0, 0, 0xff, 0, 0, 0, 0, 1}) },
		"is gone": nil,
	} {
		t.Run(name, func(t *testing.T) {
			all := trio(t)
			p, l := start(t, Cluster{Single: true}, all[0].addr())
			c := dial(t, p.Addr())
			c.ask(version(kmsg.NewPtrMetadataRequest(), 12))
			if all[1].serve.Store(&serve); serve == nil {
				all[1].l.Close()
			}
			for range 20 {
				if got := who(c.ask(produceTo(1, 0, 1, 2))); got != fmt.Sprintf("1 0:1 1:%d 2:3", protocol.NetworkException) {
					t.Error(got)
				}
			}
			if n := strings.Count(l.String(), "level=WARN"); n == 0 || n > 5 {
				t.Errorf("%d lines:\n%s", n, l)
			}
			c.Close()
			p.Close()
			for _, b := range []*budget{&p.requests.frames, &p.requests.decoded, &p.answers.frames, &p.answers.decoded} {
				if n := b.held(); n != 0 {
					t.Errorf("%d bytes are taken", n)
				}
			}
		})
	}
}

// A broker that has left the cluster is asked nothing any more.
func TestSingleBrokerLeft(t *testing.T) {
	stays, leaves := newFake(t), newFake(t)
	var left atomic.Bool
	stays.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
		if h.Key != int16(kmsg.Metadata) {
			return filter.Refusal(req, 0, "")
		}
		r := metadataOf(stays, leaves)
		if r.Version = h.Version; left.Load() {
			r.Brokers = r.Brokers[:1]
		}
		return r
	}
	stays.run(t)
	p, _ := start(t, Cluster{Single: true}, stays.addr())
	c := dial(t, p.Addr())
	c.ask(version(kmsg.NewPtrMetadataRequest(), 12))
	leaves.l.Close()
	left.Store(true)
	c.ask(version(kmsg.NewPtrListGroupsRequest(), 4))
}

// TestSplits splits a request of each key that is split, and puts refusals of the parts together again: everything that was asked is
// answered once.
func TestSplits(t *testing.T) {
	for _, a := range protocol.APIs {
		if a.Listeners&protocol.OnBroker == 0 || a.Answers != protocol.PartitionLeader || a.Name == "WriteTxnMarkers" {
			continue
		}
		req := protocol.NewRequest(protocol.Header{Key: a.Key, Version: a.Max})
		topics := reflect.ValueOf(req).Elem().FieldByName("Topics")
		topics.Set(reflect.MakeSlice(topics.Type(), 2, 2))
		for i := range 2 {
			if f := topics.Index(i).FieldByName("Topic"); f.IsValid() {
				f.SetString(fmt.Sprint("t", i))
			}
			if f := topics.Index(i).FieldByName("TopicID"); f.IsValid() {
				f.Set(reflect.ValueOf([16]byte{byte(i + 1)}))
			}
			ps := topics.Index(i).FieldByName("Partitions")
			ps.Set(reflect.MakeSlice(ps.Type(), 4, 4))
			for j := range 4 {
				if p := ps.Index(j); p.Kind() == reflect.Struct {
					p.FieldByName("Partition").SetInt(int64(j))
				} else {
					p.SetInt(int64(j))
				}
			}
		}
		parts := splitPartitions(req, func(_ string, _ [16]byte, partition int32) int32 { return partition % 3 })
		if len(parts) != 3 {
			t.Errorf("%s: %d parts", a.Name, len(parts))
		}
		var answers []kmsg.Response
		for id := range int32(3) {
			answers = append(answers, filter.Refusal(parts[id], protocol.Code(id+1), ""))
		}
		seen := map[string]int{}
		got := reflect.ValueOf(merge(answers)).Elem().FieldByName("Topics")
		for i := range got.Len() {
			name, id := topicOf(got.Index(i))
			ps := got.Index(i).FieldByName("Partitions")
			for j := range ps.Len() {
				n := partitionOf(ps.Index(j))
				seen[fmt.Sprint(name, id, n)]++
				if code := ps.Index(j).FieldByName("ErrorCode").Int(); code != int64(n%3+1) {
					t.Errorf("%s: partition %d is answered by %d", a.Name, n, code)
				}
			}
		}
		if got.Len() != 2 || len(seen) != 8 {
			t.Errorf("%s: %d topics, %v", a.Name, got.Len(), seen)
		}
	}
	for key, list := range lists {
		req := kmsg.RequestForKey(key)
		if f := reflect.ValueOf(req).Elem().FieldByName(list); !f.IsValid() || f.Kind() != reflect.Slice {
			t.Errorf("key %d has no list %s", key, list)
		}
	}
}
