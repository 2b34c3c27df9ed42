package broker

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller/raft"
	"weir/protocol"
)

// nodeStatus is what a node says of its part in the quorum.
type nodeStatus struct {
	Directory string // the id of its metadata directory
	End       int64  // its log's last entry
	Applied   int64
}

// statusLimit bounds how long a node is waited for that is asked for its status.
const statusLimit = 500 * time.Millisecond

func (b *quorum) status() nodeStatus {
	return nodeStatus{Directory: b.dirAt(b.static.MetadataLogDir()).id.String(), End: b.node.LastIndex(), Applied: b.node.AppliedIndex()}
}

// statuses asks all nodes at once. One that does not answer is missing.
func (b *quorum) statuses(ctx context.Context, servers []raft.Server) map[int32]nodeStatus {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	out := map[int32]nodeStatus{b.nodeID: b.status()}
	for _, s := range servers {
		if s.ID == b.nodeID {
			continue
		}
		all.Go(func() {
			var st nodeStatus
			if err := b.calls.askOne(ctx, b.peers.nodeAddress(s.ID), callStatus, struct{}{}, &st); err == nil {
				mu.Lock()
				out[s.ID] = st
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return out
}

// quorumRequest answers what is asked of the quorum itself, on its leader; ok is false where req is something else.
func (b *quorum) quorumRequest(ctx context.Context, req kmsg.Request) (resp kmsg.Response, err error, ok bool) {
	switch req.(type) {
	case *kmsg.DescribeQuorumRequest, *kmsg.AddRaftVoterRequest, *kmsg.RemoveRaftVoterRequest:
	default:
		return nil, nil, false
	}
	if !b.node.Serving() {
		return nil, protocol.NotController, true
	}
	switch q := req.(type) {
	case *kmsg.DescribeQuorumRequest:
		resp = b.describeQuorum(ctx, q)
	case *kmsg.AddRaftVoterRequest:
		resp = b.addVoter(ctx, q)
	case *kmsg.RemoveRaftVoterRequest:
		resp = b.removeVoter(ctx, q)
	}
	return resp, nil, true
}

// isQuorumKey says whether quorumRequest answers requests with this key.
func isQuorumKey(key int16) bool { return key == 55 || key == 80 || key == 81 }

func (b *quorum) describeQuorum(ctx context.Context, q *kmsg.DescribeQuorumRequest) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.DescribeQuorumResponse)
	servers := b.node.Servers()
	known := b.statuses(ctx, servers)
	_, term, _ := b.node.Leader()
	now := b.cfg.Now().UnixMilli()
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = b.nodeID, term, b.node.CommitIndex()+1
	name, _, _ := b.clusterEndpoint()
	for _, s := range servers {
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.LogEndOffset = s.ID, -1
		if st, ok := known[s.ID]; ok {
			// Kafka's offsets are those of the next entry.
			r.LogEndOffset, r.LastFetchTimestamp = st.End+1, now
			if st.End >= b.node.CommitIndex() {
				r.LastCaughtUpTimestamp = now
			}
			if id, err := protocol.ParseUUID(st.Directory); err == nil {
				r.ReplicaDirectoryID = id
			}
		}
		if !s.Voter {
			p.Observers = append(p.Observers, r)
			continue
		}
		p.CurrentVoters = append(p.CurrentVoters, r)
		n := kmsg.NewDescribeQuorumResponseNode()
		n.NodeID = s.ID
		if host, port, err := splitAddress(s.Address); err == nil {
			n.Listeners = []kmsg.DescribeQuorumResponseNodeListener{{Name: name, Host: host, Port: port}}
		}
		resp.Nodes = append(resp.Nodes, n)
	}
	t := kmsg.NewDescribeQuorumResponseTopic()
	t.Topic, t.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumResponseTopicPartition{p}
	resp.Topics = []kmsg.DescribeQuorumResponseTopic{t}
	return resp
}

func splitAddress(address string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return host, uint16(port), err
}

// voterProblem is what is wrong with a request that names a voter: the cluster, or a directory that is not the node's.
func (b *quorum) voterProblem(ctx context.Context, cluster *string, id int32, dir protocol.UUID) (protocol.Code, string) {
	if cluster != nil && *cluster != b.clusterID {
		return protocol.InconsistentClusterID, fmt.Sprintf("The given id %q doesn't match the cluster id %q", *cluster, b.clusterID)
	}
	if id < 0 {
		return protocol.InvalidRequest, "The request didn't include a valid voter"
	}
	if st, ok := b.statuses(ctx, []raft.Server{{ID: id}})[id]; ok && dir != (protocol.UUID{}) && st.Directory != dir.String() {
		return protocol.InvalidVoterKey, fmt.Sprintf("node %d has directory id %s", id, st.Directory)
	}
	return protocol.None, ""
}

func (b *quorum) addVoter(ctx context.Context, q *kmsg.AddRaftVoterRequest) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.AddRaftVoterResponse)
	fail := func(code protocol.Code, message string) kmsg.Response {
		message = cmp.Or(message, code.Message())
		resp.ErrorCode, resp.ErrorMessage = int16(code), &message
		return resp
	}
	if code, why := b.voterProblem(ctx, q.ClusterID, q.VoterID, q.VoterDirectoryID); code != protocol.None {
		return fail(code, why)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	voters, known := 0, false
	for _, s := range b.node.Servers() {
		if s.Voter {
			voters++
		}
		if s.ID != q.VoterID {
			continue
		}
		if known = true; s.Voter {
			return fail(protocol.DuplicateVoter, fmt.Sprintf("The voter id for %d is already part of the set of voters.", q.VoterID))
		}
	}
	switch {
	case !known:
		return fail(protocol.InvalidRequest, fmt.Sprintf("node %d does not follow the metadata: start it with cluster.join first", q.VoterID))
	case voters >= raft.MaxVoters:
		return fail(protocol.InvalidRequest, fmt.Sprintf("there are %d voters already", voters))
	}
	if err := b.node.Promote(q.VoterID); err != nil {
		return fail(protocol.RequestTimedOut, err.Error())
	}
	return resp
}

func (b *quorum) removeVoter(ctx context.Context, q *kmsg.RemoveRaftVoterRequest) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	fail := func(code protocol.Code, message string) kmsg.Response {
		message = cmp.Or(message, code.Message())
		resp.ErrorCode, resp.ErrorMessage = int16(code), &message
		return resp
	}
	if code, why := b.voterProblem(ctx, q.ClusterID, q.VoterID, q.VoterDirectoryID); code != protocol.None {
		return fail(code, why)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	voters, vote := 0, false
	for _, s := range b.node.Servers() {
		if s.Voter {
			voters++
			vote = vote || s.ID == q.VoterID
		}
	}
	switch {
	case !vote:
		return fail(protocol.VoterNotFound, fmt.Sprintf("Cannot remove voter %d because it is not in the set of voters.", q.VoterID))
	case voters == 1:
		return fail(protocol.InvalidRequest, "the only voter cannot be removed")
	}
	delete(b.ready, q.VoterID)
	if err := b.node.Demote(q.VoterID); err != nil {
		return fail(protocol.RequestTimedOut, err.Error())
	}
	return resp
}
