package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/broker/peer"
	"weir/broker/replica"
	"weir/protocol"
)

// interBroker is how other brokers are reached.
type interBroker struct{ b *Broker }

// maxPeerFrame is the longest answer that another broker is believed: what it sends of records came in a request once.
func (p interBroker) maxFrame() int {
	return p.b.static.Int("socket.request.max.bytes") + p.b.static.Int("replica.fetch.response.max.bytes")
}

// listener is the name of the listener that brokers use among themselves.
func (p interBroker) listener() string {
	for i := range p.b.endpoints {
		if p.b.endpoints[i].InterBroker {
			return p.b.endpoints[i].Name
		}
	}
	return ""
}

// dial connects to the inter-broker listener of a broker, where the metadata says that it is.
func (p interBroker) dial(id int32, timeout time.Duration) (net.Conn, error) {
	b := p.b
	other := b.node.Image().Broker(id)
	if other == nil {
		return nil, fmt.Errorf("broker %d is not registered", id)
	}
	e, ok := other.Endpoint(p.listener())
	if !ok {
		return nil, fmt.Errorf("broker %d has no listener %s", id, p.listener())
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, connectTimeout))
	defer cancel()
	return b.cfg.Dial(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
}

// pool are connections on which goroutines ask other brokers for something.
func (p interBroker) pool(purpose string) *peer.Pool {
	return peer.NewPool(peer.Config{Dial: p.dial, ClientID: p.clientID(purpose), MaxFrame: p.maxFrame(),
		Timeout: time.Duration(p.b.static.Int64("request.timeout.ms")) * time.Millisecond})
}

func (p interBroker) clientID(purpose string) string {
	return "broker-" + strconv.Itoa(int(p.b.nodeID)) + "-" + purpose
}

// leader connects to a broker to fetch from it.
func (p interBroker) leader(id int32) (replica.Leader, error) {
	b := p.b
	timeout := time.Duration(b.static.Int64("replica.socket.timeout.ms")) * time.Millisecond
	nc, err := p.dial(id, timeout)
	if err != nil {
		return nil, err
	}
	l := &leaderConn{Conn: peer.NewConn(nc, p.clientID("fetcher"), p.maxFrame()), timeout: timeout}
	l.fetch.Version = fetchVersion
	return l, nil
}

const (
	// connectTimeout is how long a broker is waited for that does not answer at all.
	connectTimeout = 3 * time.Second
	// fetchVersion is that of followers' Fetch requests: the newest that says something to a follower.
	fetchVersion       = 17
	listOffsetsVersion = 8 // the first that knows the earliest local offset
)

// leaderConn is a replica.Leader on a connection.
type leaderConn struct {
	*peer.Conn
	timeout time.Duration
	fetch   kmsg.FetchRequest
	self    int32
}

// Fetch implements replica.Leader.
func (l *leaderConn) Fetch(q *replica.FetchRequest, each func(p *protocol.FetchedPartition)) (protocol.FetchedHead, error) {
	k := &l.fetch
	l.self = q.ReplicaID
	k.ReplicaState.ID, k.ReplicaState.Epoch = q.ReplicaID, q.BrokerEpoch
	k.MaxWaitMillis, k.MinBytes, k.MaxBytes = int32(q.MaxWait/time.Millisecond), q.MinBytes, q.MaxBytes
	k.SessionID, k.SessionEpoch = q.SessionID, q.SessionEpoch
	k.Topics, k.ForgottenTopics = k.Topics[:0], k.ForgottenTopics[:0]
	for i := range q.Want {
		w := &q.Want[i]
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch = w.ID.Partition, w.LeaderEpoch, w.Offset, w.LastEpoch
		p.LogStartOffset, p.PartitionMaxBytes = w.LogStart, w.MaxBytes
		t := topicOf(&k.Topics, w.ID.Topic)
		t.Partitions = append(t.Partitions, p)
	}
	for _, id := range q.Forget {
		t := kmsg.NewFetchRequestForgottenTopic()
		t.TopicID, t.Partitions = id.Topic, []int32{id.Partition}
		k.ForgottenTopics = append(k.ForgottenTopics, t)
	}
	body, err := l.Exchange(k, q.MaxWait+l.timeout)
	if err != nil {
		return protocol.FetchedHead{}, err
	}
	return protocol.ReadFetchResponse(body, each)
}

// topicOf returns the last topic of a request, a new one where that is another. Memory of requests before is used again.
func topicOf(topics *[]kmsg.FetchRequestTopic, id protocol.UUID) *kmsg.FetchRequestTopic {
	n := len(*topics)
	if n > 0 && (*topics)[n-1].TopicID == id {
		return &(*topics)[n-1]
	}
	if n < cap(*topics) {
		*topics = (*topics)[:n+1]
	} else {
		*topics = append(*topics, kmsg.FetchRequestTopic{})
	}
	t := &(*topics)[n]
	t.TopicID, t.Partitions = id, t.Partitions[:0]
	return t
}

// ListOffset implements replica.Leader.
func (l *leaderConn) ListOffset(topic string, n int32, timestamp int64, leaderEpoch int32) (partition.OffsetResult, error) {
	q := kmsg.NewPtrListOffsetsRequest()
	q.Version, q.ReplicaID = listOffsetsVersion, l.self
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = n, timestamp, leaderEpoch
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	body, err := l.Exchange(q, l.timeout)
	if err != nil {
		return partition.OffsetResult{}, err
	}
	resp, err := peer.Read(q, body)
	if err != nil {
		return partition.OffsetResult{}, err
	}
	r := resp.(*kmsg.ListOffsetsResponse)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return partition.OffsetResult{}, fmt.Errorf("%w: ListOffsets answers other partitions than were asked for", protocol.ErrMalformed)
	}
	a := &r.Topics[0].Partitions[0]
	return partition.OffsetResult{Code: protocol.Code(a.ErrorCode), Offset: a.Offset, TimestampMs: a.Timestamp, LeaderEpoch: a.LeaderEpoch}, nil
}
