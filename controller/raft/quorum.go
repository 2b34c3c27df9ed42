package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// MaxVoters is how many nodes vote at most. Further ones follow the log.
const MaxVoters = 5

// Server is one node of the quorum's configuration.
type Server struct {
	ID      int32
	Address string // host:port; of a single node that has no port it is just a name
	Voter   bool
}

// Servers are the nodes of the newest configuration that this node knows, committed or not, by id.
func (n *Node) Servers() []Server {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return serversOf(f.Configuration().Servers)
}

func serversOf(list []raft.Server) []Server {
	var out []Server
	for _, s := range list {
		if id, err := strconv.ParseInt(string(s.ID), 10, 32); err == nil {
			out = append(out, Server{int32(id), string(s.Address), s.Suffrage == raft.Voter})
		}
	}
	slices.SortFunc(out, func(a, b Server) int { return int(a.ID) - int(b.ID) })
	return out
}

// voters is how many nodes vote.
func (n *Node) voters() int {
	count := 0
	for _, s := range n.Servers() {
		if s.Voter {
			count++
		}
	}
	return count
}

// Voter says whether this node votes.
func (n *Node) Voter() bool {
	return slices.ContainsFunc(n.Servers(), func(s Server) bool { return s.ID == n.cfg.NodeID && s.Voter })
}

// LeaderAddress is where the active controller is reached; "" while none is known.
func (n *Node) LeaderAddress() (id int32, address string) {
	a, server := n.raft.LeaderWithID()
	v, err := strconv.ParseInt(string(server), 10, 32)
	if err != nil || a == "" {
		return -1, ""
	}
	if n.cfg.AddressOf != nil {
		if now, ok := n.cfg.AddressOf(int32(v)); ok {
			return int32(v), now
		}
	}
	return int32(v), string(a)
}

// Serving says whether this node is the active controller and has what its predecessors committed.
func (n *Node) Serving() bool { return n.serving.Load() }

// LastIndex, CommitIndex and AppliedIndex are how far this node's log goes, how much of it is known to be committed, and how much is in its
// image.
func (n *Node) LastIndex() int64 { return int64(n.raft.LastIndex()) }

// CommitIndex is the last entry that this node knows to be committed.
func (n *Node) CommitIndex() int64 { return int64(n.raft.CommitIndex()) }

// AppliedIndex is the last entry that this node has applied.
func (n *Node) AppliedIndex() int64 { return int64(n.raft.AppliedIndex()) }

// WaitImage waits until an image of a cluster is published that goes at least to an offset.
func (n *Node) WaitImage(ctx context.Context, offset int64) error {
	defer context.AfterFunc(ctx, n.publisher.wake.Broadcast)()
	if !n.publisher.waitFor(ctx, offset) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New("closed")
	}
	return nil
}

// ErrDuplicate says that a node id is another node's.
var ErrDuplicate = errors.New("the node id is in use")

// ErrNotLeader says that somebody else, or nobody, leads.
var ErrNotLeader = raft.ErrNotLeader

// Admit has the configuration name a node, at an address, and returns its id: a free one where id is -1. A node that is there already keeps
// its vote, unless it is empty: it has lost its log, and with it what it voted for. free says whether an id is nobody's as far as the metadata
// goes. Only the leader can, and calls must not overlap.
func (n *Node) Admit(id int32, address string, empty bool, free func(id int32) bool) (int32, error) {
	if n.raft.State() != raft.Leader {
		return -1, raft.ErrNotLeader
	}
	servers := n.Servers()
	at := func(ok func(Server) bool) int { return slices.IndexFunc(servers, ok) }
	if id < 0 {
		// It may have asked before and not heard the answer.
		if i := at(func(s Server) bool { return s.Address == address && !s.Voter && free(s.ID) }); i >= 0 {
			return servers[i].ID, nil
		}
		for id = 1; !free(id) || at(func(s Server) bool { return s.ID == id }) >= 0; id++ {
		}
	}
	for i, s := range servers {
		if s.ID == id && s.Voter && empty {
			if err := n.Demote(id); err != nil {
				return -1, err
			}
			servers[i].Voter = false
		}
		if s.ID == id && s.Address == address {
			return id, nil
		}
		if s.Address == address { // whoever had this address is not there any more; a voter has to be removed by name
			if s.Voter {
				return -1, fmt.Errorf("%w: node %d, a voter, is at %s", ErrDuplicate, s.ID, address)
			}
			if err := n.raft.RemoveServer(serverID(s.ID), 0, applyTimeout).Error(); err != nil {
				return -1, err
			}
		}
	}
	voter := at(func(s Server) bool { return s.ID == id && s.Voter }) >= 0
	change := n.raft.AddNonvoter
	if voter {
		change = n.raft.AddVoter
	}
	n.others.Store(true)
	return id, change(serverID(id), raft.ServerAddress(address), 0, applyTimeout).Error()
}

// Promote gives a node a vote. Only the leader can.
func (n *Node) Promote(id int32) error {
	for _, s := range n.Servers() {
		if s.ID == id {
			return n.raft.AddVoter(serverID(id), raft.ServerAddress(s.Address), 0, applyTimeout).Error()
		}
	}
	return fmt.Errorf("node %d is not there", id)
}

// Demote takes a node's vote. Only the leader can.
func (n *Node) Demote(id int32) error {
	return n.raft.DemoteVoter(serverID(id), 0, applyTimeout).Error()
}

// Remove forgets a node that does not vote. Only the leader can.
func (n *Node) Remove(id int32) error {
	return n.raft.RemoveServer(serverID(id), 0, applyTimeout).Error()
}

// settle makes the configuration say where this node is: it had no port when it founded its cluster, or has another one now.
func (n *Node) settle() error {
	for _, s := range n.Servers() {
		if s.ID == n.cfg.NodeID && s.Voter && s.Address != string(n.address()) && n.cfg.Streams != nil {
			return n.raft.AddVoter(serverID(s.ID), n.address(), 0, applyTimeout).Error()
		}
	}
	return nil
}

// Retired says whether this node had a vote, when it led or was asked this before, and was relieved of it since: it does not ask for one
// again.
func (n *Node) Retired() bool {
	if n.Voter() {
		n.voted.Store(true)
		return false
	}
	return n.voted.Load()
}

// spread lets the others know at once that what they have is committed: they hear it with the next entry only.
func (n *Node) spread() {
	if n.spreading.Swap(true) {
		return
	}
	go func() {
		defer n.spreading.Store(false)
		select {
		case <-n.down:
		default:
			n.raft.Barrier(0)
		}
	}()
}

// refound writes the first entry of a cluster that was founded when the process ended before it could.
func (n *Node) refound(log *logStore, term uint64, servers []raft.Server) error {
	if term > 1 {
		return errors.New("the log is lost: remove the directory and let the node join again")
	}
	n.bootstrap = true
	return log.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers})})
}

// How an election is hastened: voters give up a leader that is provably gone after the time that it may have had the lease for, and the one
// that is to be elected a moment later, for nobody votes while it knows a leader.
const (
	hastenAfter = leaderLease + 5*time.Millisecond
	hastenLast  = 30 * time.Millisecond
	hastenLimit = 2 * time.Second
)

// Hasten has this voter look for a new leader sooner than it would: the process of the one it had is no more. candidate says that it is this
// node that the others should elect. It returns when there is another leader, or after a while.
func (n *Node) Hasten(ctx context.Context, candidate bool) {
	_, gone := n.raft.LeaderWithID()
	if gone == "" || n.raft.State() != raft.Follower || n.hastening.Swap(true) {
		return
	}
	defer n.hastening.Store(false)
	wait := time.Until(n.raft.LastContact().Add(hastenAfter))
	if candidate {
		wait += hastenLast
	}
	t := time.NewTimer(max(wait, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	if _, now := n.raft.LeaderWithID(); now != gone && now != "" {
		return
	}
	n.timeout(leaderLease)
	defer n.timeout(heartbeatTimeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(hastenLimit); time.Now().Before(limit); {
		if _, now := n.raft.LeaderWithID(); now != gone && now != "" {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-n.down:
			return
		}
	}
}

// timeout sets how long a leader may be silent. A change wakes a follower at once.
func (n *Node) timeout(d time.Duration) {
	rc := n.raft.ReloadableConfig()
	rc.HeartbeatTimeout = d
	if err := n.raft.ReloadConfig(rc); err != nil {
		n.cfg.Logger.Debug("metadata quorum: time-out not set", "error", err)
	}
}
