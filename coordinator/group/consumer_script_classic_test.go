package group

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// runClassic runs a command of the classic protocol. A member is named as the script likes; the id that it got is remembered.
func (s *consumerScript) runClassic(d *datadriven.TestData) string {
	group, name := argOr(d, "group", "g"), argOr(d, "member", "")
	key := group + "/" + name
	c := s.classic[key]
	if c == nil {
		c = &scriptMember{}
		s.classic[key] = c
	}
	if v, ok := arg(d, "id"); ok {
		c.id = v
	}
	instance := argText(d, "instance")
	generation := int32(argInt(d, "generation", int64(c.generation)))
	var resp any
	switch d.Cmd {
	case "join":
		client := Client{ID: name, Host: "/127.0.0.1", NewID: "id-" + name}
		r := s.joinRequest(d, group, c, instance)
		resp = s.do(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.JoinGroup(s.h.now, t, client, r) })
	case "sync":
		r := kmsg.NewPtrSyncGroupRequest()
		r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 5, group, c.id, instance, generation
		r.ProtocolType, r.Protocol = argText(d, "type"), argText(d, "protocol")
		if v, ok := arg(d, "assign"); ok {
			r.GroupAssignment = s.assignments(v, group, argOr(d, "data", ""))
		}
		resp = s.do(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.SyncGroup(s.h.now, t, r) })
	case "beat":
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 4, group, c.id, instance, generation
		resp = s.do(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.Heartbeat(s.h.now, t, r) })
	case "leave":
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Version, r.Group, r.MemberID = int16(argInt(d, "version", 5)), group, c.id
		r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.id, InstanceID: instance}}
		resp = s.do(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.LeaveGroup(s.h.now, t, r) })
	default:
		s.t.Fatalf("unknown command %s", d.Cmd)
	}
	if resp == nil {
		s.waiting[s.tokens] = key
		return "waits\n" + s.late()
	}
	return s.classicAnswer(key, resp) + s.late()
}

func (s *consumerScript) joinRequest(d *datadriven.TestData, group string, c *scriptMember, instance *string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.ProtocolType = 9, group, c.id, instance, argOr(d, "type", "consumer")
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 30000, 20000
	sub := kmsg.NewConsumerMemberMetadata()
	sub.Version, sub.Topics, sub.OwnedPartitions = 3, argList(d, "topics"), c.owned
	b := sub.AppendTo(nil)
	if _, bad := arg(d, "malformed"); bad {
		b = b[:3]
	}
	for _, p := range strings.Split(argOr(d, "protocols", "range"), ",") {
		r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: b})
	}
	return r
}

// assignments reads "a=t/0,1 b=t/2" as a leader's assignment; members are named as the script names them.
func (s *consumerScript) assignments(text, group, data string) []kmsg.SyncGroupRequestGroupAssignment {
	var out []kmsg.SyncGroupRequestGroupAssignment
	for _, one := range strings.Split(text, ";") {
		var name, topic string
		var from, to int32
		if _, err := fmt.Sscanf(strings.NewReplacer(":", " ", "-", " ").Replace(one), "%s %s %d %d", &name, &topic, &from, &to); err != nil {
			s.t.Fatalf("%s: %v", one, err)
		}
		v := kmsg.ConsumerMemberAssignment{UserData: []byte(data)}
		t := kmsg.ConsumerMemberAssignmentTopic{Topic: topic}
		for p := from; p <= to; p++ {
			t.Partitions = append(t.Partitions, p)
		}
		v.Topics = append(v.Topics, t)
		out = append(out, kmsg.SyncGroupRequestGroupAssignment{MemberID: s.classic[group+"/"+name].id, MemberAssignment: v.AppendTo(nil)})
	}
	return out
}

// classicAnswer prints an answer and remembers what the member has to.
func (s *consumerScript) classicAnswer(key string, resp any) string {
	c := s.classic[key]
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		if r.MemberID != "" {
			c.id = r.MemberID
		}
		if r.ErrorCode != 0 {
			return fmt.Sprintf("%s %s\n", code(r.ErrorCode), r.MemberID)
		}
		c.generation = r.Generation
		return fmt.Sprintf("%s joined %d protocol=%s leader=%t members=%d\n", r.MemberID, r.Generation, text(r.Protocol), r.LeaderID == r.MemberID, len(r.Members))
	case *kmsg.SyncGroupResponse:
		if r.ErrorCode != 0 {
			return code(r.ErrorCode) + "\n"
		}
		a, ok := decodeAssignment(r.MemberAssignment)
		if !ok {
			return fmt.Sprintf("synced: %x\n", r.MemberAssignment)
		}
		out := ""
		c.owned = nil
		for _, t := range a.Topics {
			out += fmt.Sprintf(" %s%v", t.Topic, t.Partitions)
			c.owned = append(c.owned, kmsg.ConsumerMemberMetadataOwnedPartition(t))
		}
		return "reads:" + out + "\n"
	case *kmsg.HeartbeatResponse:
		return code(r.ErrorCode) + "\n"
	case *kmsg.LeaveGroupResponse:
		if r.Version <= 2 {
			return code(r.ErrorCode) + "\n"
		}
		return code(r.Members[0].ErrorCode) + "\n"
	}
	return fmt.Sprintf("%T\n", resp)
}
