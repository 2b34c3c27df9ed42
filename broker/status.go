package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// ClusterStatus is what a member says of its cluster.
type ClusterStatus struct {
	ClusterID  string            `json:"clusterId"`
	Leader     int32             `json:"leader"` // of the metadata quorum, the active controller; -1: there is none
	Term       int32             `json:"term"`
	Committed  int64             `json:"committed"` // entries of the metadata's log
	Members    []MemberStatus    `json:"members"`
	Partitions int               `json:"partitions"`
	Troubled   []PartitionStatus `json:"underReplicated"` // with fewer replicas in sync than it has
}

// MemberStatus is one node.
type MemberStatus struct {
	ID      int32  `json:"id"`
	Address string `json:"address"` // for clients, or of the listener of a controller
	Rack    string `json:"rack,omitempty"`
	Broker  string `json:"broker"` // alive, fenced, or - where it is none
	Voter   bool   `json:"voter"`
	Lag     int64  `json:"lag"`   // entries of the metadata that it does not have; -1: it does not answer
	Leads   int    `json:"leads"` // partitions
}

// PartitionStatus is one partition that has fewer replicas in sync than it has.
type PartitionStatus struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
}

// ReadClusterStatus asks any broker at an address, host:port, by Kafka's own requests.
func ReadClusterStatus(ctx context.Context, address string) (*ClusterStatus, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })()
	c := kafkaCaller{nc: nc}

	mq := kmsg.NewPtrMetadataRequest()
	mq.Version = 12
	dq := kmsg.NewPtrDescribeClusterRequest()
	dq.Version, dq.EndpointType, dq.IncludeFencedBrokers = 2, 1, true
	qq := kmsg.NewPtrDescribeQuorumRequest()
	qq.Version = 2
	qq.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	meta, err := callKafka[*kmsg.MetadataResponse](&c, mq)
	if err != nil {
		return nil, err
	}
	nodes, err := callKafka[*kmsg.DescribeClusterResponse](&c, dq)
	if err == nil && nodes.ErrorCode != 0 {
		err = protocol.Code(nodes.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	s := &ClusterStatus{ClusterID: nodes.ClusterID, Leader: -1}
	s.brokers(nodes)
	s.partitions(meta)
	quorum, err := callKafka[*kmsg.DescribeQuorumResponse](&c, qq)
	if err != nil {
		return nil, err
	}
	if code := protocol.Code(quorum.ErrorCode); code != protocol.None && code != protocol.RequestTimedOut { // without a leader the rest is worth knowing
		return nil, code
	}
	s.quorum(quorum)
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return int(a.ID) - int(b.ID) })
	return s, nil
}

func (s *ClusterStatus) member(id int32) *MemberStatus {
	i := slices.IndexFunc(s.Members, func(m MemberStatus) bool { return m.ID == id })
	if i < 0 {
		i = len(s.Members)
		s.Members = append(s.Members, MemberStatus{ID: id, Broker: "-", Lag: -1})
	}
	return &s.Members[i]
}

func (s *ClusterStatus) brokers(r *kmsg.DescribeClusterResponse) {
	for _, b := range r.Brokers {
		m := s.member(b.NodeID)
		m.Address, m.Broker = net.JoinHostPort(b.Host, fmt.Sprint(b.Port)), "alive"
		if b.Rack != nil {
			m.Rack = *b.Rack
		}
		if b.IsFenced {
			m.Broker = "fenced"
		}
	}
}

func (s *ClusterStatus) partitions(r *kmsg.MetadataResponse) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			s.Partitions++
			if p.Leader >= 0 {
				s.member(p.Leader).Leads++
			}
			if len(p.ISR) < len(p.Replicas) && t.Topic != nil {
				s.Troubled = append(s.Troubled, PartitionStatus{*t.Topic, p.Partition, p.Leader, p.Replicas, p.ISR})
			}
		}
	}
}

func (s *ClusterStatus) quorum(r *kmsg.DescribeQuorumResponse) {
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return
	}
	p := r.Topics[0].Partitions[0]
	s.Leader, s.Term, s.Committed = p.LeaderID, p.LeaderEpoch, p.HighWatermark
	for i, list := range [][]kmsg.DescribeQuorumResponseTopicPartitionReplicaState{p.CurrentVoters, p.Observers} {
		for _, v := range list {
			m := s.member(v.ReplicaID)
			m.Voter = i == 0
			if v.LogEndOffset >= 0 {
				m.Lag = max(0, p.HighWatermark-v.LogEndOffset)
			}
		}
	}
	for _, n := range r.Nodes {
		if m := s.member(n.NodeID); m.Address == "" && len(n.Listeners) > 0 {
			m.Address = net.JoinHostPort(n.Listeners[0].Host, fmt.Sprint(n.Listeners[0].Port))
		}
	}
}

// kafkaCaller makes requests one after the other on a connection.
type kafkaCaller struct {
	nc net.Conn
	id int32
}

// maxStatusFrame bounds an answer.
const maxStatusFrame = 256 << 20

func callKafka[R kmsg.Response](c *kafkaCaller, q kmsg.Request) (R, error) {
	var none R
	c.id++
	if _, err := c.nc.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("weir")).AppendRequest(nil, q, c.id)); err != nil {
		return none, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return none, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	if n < 5 || n > maxStatusFrame {
		return none, fmt.Errorf("%w: an answer of %d bytes", protocol.ErrMalformed, n)
	}
	b, err := io.ReadAll(io.LimitReader(c.nc, n))
	if err != nil {
		return none, err
	}
	if int64(len(b)) < n || int32(binary.BigEndian.Uint32(b)) != c.id {
		return none, errors.New("the answer is cut short, or another request's")
	}
	b = b[4:]
	if q.IsFlexible() {
		b = b[1:] // no tags
	}
	r := q.ResponseKind()
	r.SetVersion(q.GetVersion())
	return r.(R), r.ReadFrom(b)
}
