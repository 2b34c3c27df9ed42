package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/controller/raft"
	"weir/membership/stream"
	"weir/protocol"
)

// joiner is what a node says that wants to be let in, or is in and says that it is still there.
type joiner struct {
	Cluster     string // "": any
	Node        int32  // -1: a free one
	Address     string // how others reach it
	Incarnation string
	Votes       bool  // it may have a vote
	Ready       bool  // it has all that it knows to be committed
	Index       int64 // how far it has applied the log
	Empty       bool  // it has no log at all
}

// admitted is the leader's answer. Refused says why not; Leader says who to ask instead.
type admitted struct {
	Cluster string
	Node    int32
	Leader  string `json:",omitempty"`
	Refused string `json:",omitempty"`
}

// quorum is this node's part in saying who follows the metadata, and who votes: as the leader it decides, else it asks the leader. It is a part
// of the broker.
type quorum struct {
	*Broker

	mu    sync.Mutex
	ready map[int32]time.Time // nodes without a vote that could have one, and when they said so
}

// readyFor is how long a node's word that it is ready counts.
const readyFor = 15 * time.Second

// promoteLag is how many entries a node may be behind that gets a vote.
const promoteLag = 1000

// admit lets a node in: the quorum's configuration names it, without a vote at first. It answers for the leader only.
func (b *quorum) admit(j joiner) admitted {
	img := b.node.Image()
	id, address := b.node.LeaderAddress()
	switch {
	case id < 0:
		return admitted{Leader: b.hub.Address()} // which is nobody else: there is none
	case id != b.nodeID:
		return admitted{Leader: address}
	case !b.node.Serving() || img.ClusterID == "":
		return admitted{Leader: b.hub.Address()}
	case j.Cluster != "" && j.Cluster != img.ClusterID:
		return admitted{Refused: fmt.Sprintf("this is cluster %s, not %s", img.ClusterID, j.Cluster)}
	case j.Address == "":
		return admitted{Refused: "it has no address"}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if why := b.taken(j); why != "" {
		b.log.Warn("a node was not let in", "node", j.Node, "address", j.Address, "reason", why)
		return admitted{Refused: why}
	}
	node, err := b.node.Admit(j.Node, j.Address, j.Empty, b.isFree)
	if err == nil {
		err = b.promote(node, j)
	}
	switch {
	case errors.Is(err, raft.ErrDuplicate):
		return admitted{Refused: err.Error()}
	case err != nil:
		b.log.Debug("a node was not let in yet", "node", j.Node, "address", j.Address, "error", err.Error())
		return admitted{Leader: b.hub.Address()}
	}
	b.meetOthers()
	select {
	case b.peers.wake <- struct{}{}:
	default:
	}
	return admitted{Cluster: img.ClusterID, Node: node}
}

// taken says why a node cannot have the id that it asks for: another process has it and answers.
func (b *quorum) taken(j joiner) string {
	if j.Node < 0 {
		return ""
	}
	for _, s := range b.node.Servers() {
		if s.ID != j.Node || s.Address == j.Address {
			continue
		}
		if s.ID == b.nodeID {
			return fmt.Sprintf("node id %d is that of the node at %s", j.Node, b.hub.Address())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		nc, who, err := b.hub.Open(ctx, stream.Watch, s.Address)
		if err != nil {
			return ""
		}
		nc.Close()
		if who.Node == j.Node && protocol.UUID(who.Incarnation).String() != j.Incarnation {
			return fmt.Sprintf("node id %d is that of the node at %s", j.Node, s.Address)
		}
	}
	return ""
}

// isFree says whether a node id is nobody's: no broker is registered with it, and no partition names it.
func (b *quorum) isFree(id int32) bool {
	img := b.node.Image()
	if img.Broker(id) != nil {
		return false
	}
	for t := range img.Topics() {
		for _, p := range t.Partitions {
			if slices.Contains(p.Replicas, id) {
				return false
			}
		}
	}
	return true
}

// promote gives votes while there are few: to a node alone where the number of voters is even, else to two together, for with one more an
// even number tolerates no more failures, but needs one more to agree. The lock is held.
func (b *quorum) promote(node int32, j joiner) error {
	votes := b.electorate()
	if votes[node] || !j.Votes || !j.Ready || j.Index < b.node.CommitIndex()-promoteLag {
		delete(b.ready, node)
		return nil
	}
	now := b.cfg.Now()
	b.ready[node] = now
	var able []int32
	for id, said := range b.ready {
		if now.Sub(said) < readyFor && !votes[id] {
			able = append(able, id)
		}
	}
	slices.Sort(able)
	count := 1
	if len(votes)%2 == 1 {
		count = 2
	}
	if len(able) < count || len(votes)+count > raft.MaxVoters {
		return nil
	}
	for _, id := range able[:count] {
		if err := b.node.Promote(id); err != nil {
			return err
		}
		delete(b.ready, id)
		b.log.Info("a node has a vote now", "node", id)
	}
	return nil
}

// electorate is who votes.
func (b *quorum) electorate() map[int32]bool {
	votes := map[int32]bool{}
	for _, s := range b.node.Servers() {
		if s.Voter {
			votes[s.ID] = true
		}
	}
	return votes
}

// attend says to the leader, now and then, that this node is there, where, and how far it is: it may have another address, or be ready for a
// vote.
func (b *quorum) attend() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-t.C:
		}
		t.Reset(b.attendOnce(b.ctx))
	}
}

// attendOnce returns when to do it again. Where no leader is known, and none may know where this node is, any other node is asked for it.
func (b *quorum) attendOnce(ctx context.Context) time.Duration {
	const soon, later = 100 * time.Millisecond, 5 * time.Second
	id, address := b.node.LeaderAddress()
	if id == b.nodeID {
		return later
	}
	ask := []string{address}
	if id < 0 {
		ask = b.members.seeds()
	}
	ready := !b.node.Retired() && b.node.CommitIndex() > 0 && b.node.AppliedIndex() >= b.node.CommitIndex()-1
	for _, address := range ask {
		_, err := b.entry.ask(ctx, address, b.entry.joiner(ready))
		if err == nil {
			if !ready {
				return soon
			}
			return later
		}
		if errors.Is(err, errNotAdmitted) {
			b.log.Warn("the cluster does not want this node", "error", err.Error())
			return later
		}
	}
	return soon
}
