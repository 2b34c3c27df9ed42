package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// assignDirs decides AssignReplicasToDirs (KIP-858): a broker says in which of its directories a replica is.
func (c *Controller) assignDirs(in Input, q *kmsg.AssignReplicasToDirsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.AssignReplicasToDirsResponse)
	b, code := checkBrokerEpoch(in.Image, q.BrokerID, q.BrokerEpoch)
	if code != protocol.None {
		r.ErrorCode = int16(code)
		return r, nil
	}
	base := c.topicDefaults(in.Image)
	var records []Record
	seen := map[*Partition]bool{}
	for i := range q.Directories {
		dir := protocol.UUID(q.Directories[i].ID)
		d := kmsg.NewAssignReplicasToDirsResponseDirectory()
		d.ID = dir
		online := reservedDir(dir) || b.hasOnlineDir(dir)
		for _, t := range q.Directories[i].Topics {
			topic := in.Image.TopicByID(t.TopicID)
			a := kmsg.NewAssignReplicasToDirsResponseDirectoryTopic()
			a.TopicID = t.TopicID
			for _, want := range t.Partitions {
				p := kmsg.NewAssignReplicasToDirsResponseDirectoryTopicPartition()
				p.Partition = want.Partition
				old := topic.Partition(want.Partition)
				switch {
				case topic == nil:
					p.ErrorCode = int16(protocol.UnknownTopicID)
				case old == nil:
					p.ErrorCode = int16(protocol.UnknownTopicOrPartition)
				case !slices.Contains(old.Replicas, q.BrokerID):
					p.ErrorCode = int16(protocol.NotLeaderOrFollower)
				case seen[old]:
					p.ErrorCode = int16(protocol.InvalidRequest)
				default:
					seen[old] = true
					if rec := assignDir(in.Image, topic, want.Partition, b, dir, online, electionOf(in.Image, topic, base)); rec != nil {
						records = append(records, rec)
					}
				}
				a.Partitions = append(a.Partitions, p)
			}
			d.Topics = append(d.Topics, a)
		}
		r.Directories = append(r.Directories, d)
	}
	return r, records
}

// assignDir moves a broker's replica to a directory; one that is offline costs it the ISR and the leadership.
func assignDir(m *Image, topic *Topic, id int32, b *Broker, dir protocol.UUID, online bool, kind election) *PartitionChangeRecord {
	change := changeOf(m, topic, id)
	change.election = kind
	change.dirs = map[int32]protocol.UUID{b.ID: dir}
	if !online || dir == DirLost {
		change.acceptable = change.acceptor(func(r int32) bool { return r != b.ID && m.Active(r) })
		change.isr = without(change.old.ISR, b.ID)
	}
	return change.build()
}
