package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// actClassic is what a client of the classic protocol does next: it joins, or syncs, or heartbeats.
func (w *consumerWalk) actClassic(c *consumerClient, lost bool) {
	if c.joining {
		return
	}
	if w.mode == "cooperative" && w.consumer() == nil {
		return // clients that keep what they read while they join are safe in a consumer group; in a classic one it is the leader's affair
	}
	switch {
	case c.epoch == 0 || c.changed:
		w.joinClassic(c, lost)
	case !c.synced:
		w.syncClassic(c, lost)
	default:
		resp := w.op(c, func(m *Machine, t coordinator.Token) coordinator.Effects {
			return m.Heartbeat(w.now, t, &kmsg.HeartbeatRequest{Version: 4, Group: "g", MemberID: c.id, InstanceID: c.instance, Generation: c.epoch})
		})
		if !lost {
			w.classicAnswer(c, resp)
		}
	}
}

func (w *consumerWalk) joinClassic(c *consumerClient, lost bool) {
	if g := w.consumer(); c.eager || c.epoch == 0 || g != nil && g.member(c.id) == nil {
		// Eager clients stop reading first. Who is no member any more has lost all it had: it would hear so with the next heartbeat.
		c.reads = map[partitionID]bool{}
	}
	sub := kmsg.NewConsumerMemberMetadata()
	sub.Version, sub.Topics = 3, c.names
	for id := range c.reads {
		if name, ok := w.md.TopicName(id.topic); ok {
			sub.OwnedPartitions = append(sub.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: name, Partitions: []int32{id.partition}})
		}
	}
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.ProtocolType = 9, "g", c.id, c.instance, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 6000, 3000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: sub.AppendTo(nil)}}
	w.names++
	client := Client{ID: "classic", Host: "/host", NewID: "k" + string(rune('0'+w.names%10)) + "-" + describeInt(w.names)}
	resp := w.op(c, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.JoinGroup(w.now, t, client, r) })
	w.answered(c, resp, lost)
}

func describeInt(n int) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append(b, byte('0'+n%10))
	}
	slices.Reverse(b)
	return string(b)
}

// answered: no answer yet is one that comes later, lost or not.
func (w *consumerWalk) answered(c *consumerClient, resp any, lost bool) {
	switch {
	case resp == nil:
		c.joining = true
	case !lost:
		w.classicAnswer(c, resp)
	}
}

// syncClassic asks for the assignment. The leader of a classic group deals out all partitions of its topics, one after another.
func (w *consumerWalk) syncClassic(c *consumerClient, lost bool) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 5, "g", c.id, c.instance, c.epoch
	if len(c.leader) > 0 {
		shares := make([]kmsg.ConsumerMemberAssignment, len(c.leader))
		n := 0
		for _, name := range c.names {
			for p := range w.md.Partitions(name) {
				s := &shares[n%len(shares)]
				s.Topics = append(s.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: name, Partitions: []int32{p}})
				n++
			}
		}
		for i, id := range c.leader {
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: shares[i].AppendTo(nil)})
		}
	}
	resp := w.op(c, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.SyncGroup(w.now, t, r) })
	w.answered(c, resp, lost)
}

func (w *consumerWalk) classicAnswer(c *consumerClient, resp any) {
	var code protocol.Code
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		if code = protocol.Code(r.ErrorCode); code == protocol.None {
			c.id, c.epoch, c.changed, c.synced, c.leader = r.MemberID, r.Generation, false, false, nil
			for _, m := range r.Members {
				c.leader = append(c.leader, m.MemberID)
			}
			if c.epoch == 0 { // a downgrade with a stale assignment answers so; it must join again
				c.changed = true
			}
		}
		if code == protocol.MemberIDRequired {
			c.id = r.MemberID
		}
	case *kmsg.SyncGroupResponse:
		if code = protocol.Code(r.ErrorCode); code == protocol.None {
			w.assigned(c, r.MemberAssignment)
		}
	case *kmsg.HeartbeatResponse:
		code = protocol.Code(r.ErrorCode)
	}
	switch code {
	case protocol.None, protocol.MemberIDRequired:
	case protocol.RebalanceInProgress:
		c.changed = true
	case protocol.FencedInstanceID:
		w.remove(c)
	case protocol.UnknownMemberID, protocol.IllegalGeneration, protocol.GroupMaxSizeReached,
		protocol.InconsistentGroupProtocol, protocol.NotCoordinator:
		if code != protocol.IllegalGeneration && code != protocol.NotCoordinator {
			c.id = ""
		}
		if code == protocol.NotCoordinator {
			c.changed = true // it keeps what it reads, and asks again
			return
		}
		c.epoch, c.reads, c.synced = 0, map[partitionID]bool{}, false
	default:
		w.t.Fatalf("%T: %v", resp, code)
	}
}

// assigned takes over an assignment. Cooperative clients that lose something join again once they have stopped reading it.
func (w *consumerWalk) assigned(c *consumerClient, b []byte) {
	before := c.reads
	c.reads, c.synced = map[partitionID]bool{}, true
	a, ok := decodeAssignment(b)
	if !ok {
		a = &kmsg.ConsumerMemberAssignment{}
	}
	for _, t := range a.Topics {
		if id, ok := w.md.TopicID(t.Topic); ok {
			for _, p := range t.Partitions {
				c.reads[partitionID{id, p}] = true
			}
		}
	}
	for id := range before {
		if !c.eager && !c.reads[id] {
			c.changed = true
		}
	}
}
