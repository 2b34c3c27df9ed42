package broker

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/peer"
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
	ctx, cancel := context.WithTimeout(ctx, maxStatusTime)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	c := peer.NewConn(nc, "weir", maxStatusFrame)

	mq := kmsg.NewPtrMetadataRequest()
	mq.Version = 12
	dq := kmsg.NewPtrDescribeClusterRequest()
	dq.Version, dq.EndpointType, dq.IncludeFencedBrokers = 2, 1, true
	qq := kmsg.NewPtrDescribeQuorumRequest()
	qq.Version = 2
	qq.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	meta, err := callKafka[*kmsg.MetadataResponse](ctx, c, mq)
	if err != nil {
		return nil, err
	}
	nodes, err := callKafka[*kmsg.DescribeClusterResponse](ctx, c, dq)
	if err == nil && nodes.ErrorCode != 0 {
		err = protocol.Code(nodes.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	s := &ClusterStatus{ClusterID: nodes.ClusterID, Leader: -1}
	s.brokers(nodes)
	s.partitions(meta)
	quorum, err := callKafka[*kmsg.DescribeQuorumResponse](ctx, c, qq)
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

// maxStatusFrame bounds an answer.
const maxStatusFrame = 256 << 20

// maxStatusTime bounds the time for all answers, where the caller does not.
const maxStatusTime = 10 * time.Minute

func callKafka[R kmsg.Response](ctx context.Context, c *peer.Conn, q kmsg.Request) (R, error) {
	var none R
	deadline, _ := ctx.Deadline()
	body, err := c.Exchange(q, time.Until(deadline))
	if err != nil {
		return none, cmp.Or(ctx.Err(), err)
	}
	r, err := peer.Read(q, body)
	if err != nil {
		return none, err
	}
	return r.(R), nil
}
