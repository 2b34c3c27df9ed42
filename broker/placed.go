package broker

import (
	"context"
	"maps"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/protocol"
)

// maxPlacements is how many partitions one AssignReplicasToDirs names, as in Kafka.
const maxPlacements = 2250

// placements are what the controller is to be told of log directories: where partitions were placed. Kafka's AssignmentsManager.
type placements struct {
	wake chan struct{}

	mu   sync.Mutex
	dirs map[partition.ID]protocol.UUID
}

func newPlacements() *placements {
	return &placements{wake: make(chan struct{}, 1), dirs: map[partition.ID]protocol.UUID{}}
}

// add notes that a partition is in a directory.
func (p *placements) add(id partition.ID, dir protocol.UUID) {
	p.mu.Lock()
	p.dirs[id] = dir
	p.mu.Unlock()
	p.kick()
}

// kick lets the next heartbeat be now.
func (p *placements) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// some returns a part of what is to be told.
func (p *placements) some() map[partition.ID]protocol.UUID {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[partition.ID]protocol.UUID{}
	for id, dir := range p.dirs {
		if out[id] = dir; len(out) == maxPlacements {
			break
		}
	}
	return out
}

// told forgets what was told, unless it has changed since. Errors of single partitions are final: the partition is gone.
func (p *placements) told(done map[partition.ID]protocol.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.dirs, func(id partition.ID, dir protocol.UUID) bool { return done[id] == dir })
}

// assignDirs tells the controller which directories partitions are in. What could not be told stays for the next heartbeat.
func (b *Broker) assignDirs(ctx context.Context, epoch int64) {
	for {
		some := b.placed.some()
		if len(some) == 0 {
			return
		}
		resp, err := b.control.Submit(ctx, assignment(b.nodeID, epoch, some))
		if err == nil {
			if code := protocol.Code(resp.(*kmsg.AssignReplicasToDirsResponse).ErrorCode); code != protocol.None {
				err = code
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				b.log.Warn("directories of partitions could not be told to the controller", "partitions", len(some), "error", err.Error())
			}
			return
		}
		b.placed.told(some)
	}
}

func assignment(node int32, epoch int64, where map[partition.ID]protocol.UUID) *kmsg.AssignReplicasToDirsRequest {
	tree := map[protocol.UUID]map[protocol.UUID][]int32{}
	for id, dir := range where {
		if tree[dir] == nil {
			tree[dir] = map[protocol.UUID][]int32{}
		}
		tree[dir][id.Topic] = append(tree[dir][id.Topic], id.Partition)
	}
	q := kmsg.NewPtrAssignReplicasToDirsRequest()
	q.BrokerID, q.BrokerEpoch = node, epoch
	for dir, topics := range tree {
		d := kmsg.NewAssignReplicasToDirsRequestDirectory()
		d.ID = dir
		for topic, partitions := range topics {
			t := kmsg.NewAssignReplicasToDirsRequestDirectoryTopic()
			t.TopicID = topic
			for _, n := range partitions {
				p := kmsg.NewAssignReplicasToDirsRequestDirectoryTopicPartition()
				p.Partition = n
				t.Partitions = append(t.Partitions, p)
			}
			d.Topics = append(d.Topics, t)
		}
		q.Directories = append(q.Directories, d)
	}
	return q
}
