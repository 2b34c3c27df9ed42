package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
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

// quorumRequest answers what is asked of the quorum itself, on its leader.
func (b *quorum) quorumRequest(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if !b.node.Serving() {
		return nil, protocol.NotController
	}
	switch q := req.(type) {
	case *kmsg.DescribeQuorumRequest:
		return b.describeQuorum(ctx, q), nil
	case *kmsg.AddRaftVoterRequest:
		resp := q.ResponseKind().(*kmsg.AddRaftVoterResponse)
		resp.ErrorCode, resp.ErrorMessage = b.changeVoters(ctx, q.ClusterID, q.VoterID, q.VoterDirectoryID, b.addVoter)
		return resp, nil
	case *kmsg.RemoveRaftVoterRequest:
		resp := q.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
		resp.ErrorCode, resp.ErrorMessage = b.changeVoters(ctx, q.ClusterID, q.VoterID, q.VoterDirectoryID, b.removeVoter)
		return resp, nil
	}
	return nil, fmt.Errorf("a %T is not the quorum's to answer", req)
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

// changeVoters has change give a node a vote, or take it. What it returns is the error code and message of the response.
func (b *quorum) changeVoters(ctx context.Context, cluster *string, id int32, dir protocol.UUID, change func(id int32, votes map[int32]bool) (protocol.Code, string)) (int16, *string) {
	code, why := b.voterProblem(ctx, cluster, id, dir)
	if code == protocol.None {
		b.mu.Lock()
		defer b.mu.Unlock()
		code, why = change(id, b.electorate())
	}
	if code == protocol.None {
		return 0, nil
	}
	return int16(code), &why
}

func (b *quorum) addVoter(id int32, votes map[int32]bool) (protocol.Code, string) {
	switch {
	case votes[id]:
		return protocol.DuplicateVoter, fmt.Sprintf("The voter id for %d is already part of the set of voters.", id)
	case !slices.ContainsFunc(b.node.Servers(), func(s raft.Server) bool { return s.ID == id }):
		return protocol.InvalidRequest, fmt.Sprintf("node %d does not follow the metadata: start it with cluster.join first", id)
	case len(votes) >= raft.MaxVoters:
		return protocol.InvalidRequest, fmt.Sprintf("there are %d voters already", len(votes))
	}
	if err := b.node.Promote(id); err != nil {
		return protocol.RequestTimedOut, err.Error()
	}
	return protocol.None, ""
}

func (b *quorum) removeVoter(id int32, votes map[int32]bool) (protocol.Code, string) {
	switch {
	case !votes[id]:
		return protocol.VoterNotFound, fmt.Sprintf("Cannot remove voter %d because it is not in the set of voters.", id)
	case len(votes) == 1:
		return protocol.InvalidRequest, "the only voter cannot be removed"
	}
	delete(b.ready, id)
	if err := b.node.Demote(id); err != nil {
		return protocol.RequestTimedOut, err.Error()
	}
	return protocol.None, ""
}
