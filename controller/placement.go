package controller

import (
	"cmp"
	"slices"
	"strconv"

	"weir/protocol"
)

// placer spreads replicas over racks and brokers: Kafka's StripedReplicaPlacer. Racks take turns, brokers in a rack take turns, each
// next partition begins one further, and unfenced brokers come first. It is made for one request and then dropped.
type placer struct {
	rand     Rand
	racks    []*rack
	brokers  int
	unfenced int
	epoch    int // how many partitions since the last shuffle
	offset   int // the rack that the next partition begins with
}

type rack struct {
	fenced, unfenced ring
}

// ring hands out the brokers of a rack in turn; each round of partitions (epoch) begins one further.
type ring struct {
	ids    []int32
	epoch  int
	index  int // how many were handed out in this epoch
	offset int // where this epoch begins
}

func newPlacer(m *Image, rand Rand) *placer {
	p := &placer{rand: rand}
	byName := map[string]*rack{}
	for _, b := range m.brokers {
		if b.ShuttingDown {
			continue
		}
		r := byName[b.Rack]
		if r == nil {
			r = &rack{}
			byName[b.Rack] = r
			p.racks = append(p.racks, r)
		}
		p.brokers++
		if b.Fenced {
			r.fenced.ids = append(r.fenced.ids, b.ID)
		} else {
			r.unfenced.ids = append(r.unfenced.ids, b.ID)
			p.unfenced++
		}
	}
	for _, r := range p.racks {
		r.fenced.start(rand)
		r.unfenced.start(rand)
	}
	shuffle(rand, p.racks)
	return p
}

// check says why a replication factor cannot be placed.
func (p *placer) check(factor int) string {
	switch {
	case factor <= 0:
		return "Invalid replication factor " + strconv.Itoa(factor) + ": the replication factor must be positive."
	case p.unfenced == 0:
		return "All brokers are currently fenced."
	case factor > p.brokers:
		return "The target replication factor of " + strconv.Itoa(factor) + " cannot be reached because only " + strconv.Itoa(p.brokers) +
			" broker(s) are registered or some brokers have all their log directories cordoned."
	}
	return ""
}

// place returns the replicas of one more partition; check has passed.
func (p *placer) place(factor int) []int32 {
	if p.epoch == p.unfenced && p.unfenced > 1 {
		shuffle(p.rand, p.racks)
		for _, r := range p.racks {
			r.fenced.shuffle(p.rand)
			r.unfenced.shuffle(p.rand)
		}
		p.epoch = 0
	}
	if p.offset == len(p.racks) {
		p.offset = 0
	}
	replicas := make([]int32, 0, factor)
	first := p.offset
	for {
		if id, ok := p.racks[first].unfenced.next(p.epoch); ok {
			replicas = append(replicas, id)
			break
		}
		first = (first + 1) % len(p.racks)
	}
	for at := p.offset; len(replicas) < factor; at = (at + 1) % len(p.racks) {
		if at == first {
			first = -1 // its turn was the leader's; from the next round on it is as the others
			continue
		}
		if id, ok := p.racks[at].next(p.epoch); ok {
			replicas = append(replicas, id)
		}
	}
	p.epoch++
	p.offset++
	return replicas
}

func (r *rack) next(epoch int) (int32, bool) {
	if id, ok := r.unfenced.next(epoch); ok {
		return id, true
	}
	return r.fenced.next(epoch)
}

func (r *ring) start(rand Rand) {
	r.epoch = -1
	r.shuffle(rand)
	if len(r.ids) > 0 {
		r.offset = below(rand, len(r.ids))
	}
}

func (r *ring) shuffle(rand Rand) {
	shuffle(rand, r.ids)
	r.epoch, r.index = -1, 0
}

// next hands out one broker, each once an epoch.
func (r *ring) next(epoch int) (int32, bool) {
	if len(r.ids) == 0 {
		return 0, false
	}
	if r.epoch != epoch {
		if r.epoch >= 0 {
			r.offset = (r.offset + 1) % len(r.ids)
		}
		r.epoch, r.index = epoch, 0
	}
	if r.index >= len(r.ids) {
		return 0, false
	}
	id := r.ids[(r.index+r.offset)%len(r.ids)]
	r.index++
	return id, true
}

func below(rand Rand, n int) int { return int(rand.Uint64() % uint64(n)) }

func shuffle[T any](rand Rand, s []T) {
	for i := len(s) - 1; i > 0; i-- {
		j := below(rand, i+1)
		s[i], s[j] = s[j], s[i]
	}
}

// activeOf returns those of replicas that can be in sync from the start.
func (m *Image) activeOf(replicas []int32) []int32 {
	if !slices.ContainsFunc(replicas, func(r int32) bool { return !m.Active(r) }) {
		return replicas
	}
	var active []int32
	for _, r := range replicas {
		if m.Active(r) {
			active = append(active, r)
		}
	}
	return active
}

// newPartition returns the record of a partition with these replicas, which have at least one that is active.
func (m *Image) newPartition(topic protocol.UUID, id int32, replicas, isr []int32) *PartitionRecord {
	return &PartitionRecord{
		PartitionID: id, TopicID: topic, Replicas: replicas, ISR: isr, Leader: isr[0], Directories: m.defaultDirs(replicas),
	}
}

// checkAssignment holds the replicas that a user wants for a partition against the brokers; factor is what earlier partitions have, 0
// for the first.
func (m *Image) checkAssignment(replicas []int32, factor int) outcome {
	bad := func(why string) outcome {
		return outcome{protocol.InvalidReplicaAssignment, "The manual partition assignment includes " + why}
	}
	if len(replicas) == 0 {
		return bad("an empty replica list.")
	}
	sorted := slices.SortedFunc(slices.Values(replicas), cmp.Compare[int32])
	for i, r := range sorted {
		switch id := strconv.Itoa(int(r)); {
		case m.Broker(r) == nil:
			return bad("broker " + id + ", but no such broker is registered.")
		case i > 0 && sorted[i-1] == r:
			return bad("the broker " + id + " more than once.")
		}
	}
	if factor > 0 && len(replicas) != factor {
		return bad("a partition with " + strconv.Itoa(len(replicas)) + " replica(s), but this is not consistent with previous partitions, which have " +
			strconv.Itoa(factor) + " replica(s).")
	}
	return outcome{}
}
