package controller

import "slices"

// activity is a change of who lives that partitions have to follow, before it is in the image.
type activity struct {
	remove  int32 // never acceptable, and leaves every ISR; noLeader: none
	add     int32 // acceptable although the image has it fenced; noLeader: none
	unclean int32 // came back without what it had: leaves ISR and ELR; noLeader: none
}

// follow appends the changes of partitions that which picks. image is the one before the change.
func (c *Controller) follow(m *Image, a activity, which func(*Partition) bool, records []Record) []Record {
	active := func(r int32) bool {
		return r != a.remove && r != a.unclean && (r == a.add || m.Active(r))
	}
	base := c.topicDefaults(m)
	for t := range m.Topics() {
		first := true
		var kind election
		var minISR int
		for id, p := range t.Partitions {
			if !which(p) {
				continue
			}
			if first {
				first = false
				kind, minISR = electionOf(m, t, base), minISROf(m, t, base)
			}
			change := changeOf(m, t, int32(id))
			change.acceptable = change.acceptor(active)
			change.election, change.minISR = kind, minISR
			if a.unclean != noLeader {
				change.unclean = []int32{a.unclean}
			}
			change.isr = without(p.ISR, a.remove, a.unclean)
			if rec := change.build(); rec != nil {
				records = append(records, rec)
			}
		}
	}
	return records
}

func inISR(broker int32) func(*Partition) bool {
	return func(p *Partition) bool { return slices.Contains(p.ISR, broker) }
}

func leaderless(p *Partition) bool { return p.Leader == noLeader }

// fence takes a broker out of every ISR and leadership; the record that fences it comes last, so that a batch cut short leaves it
// unfenced and the rest can be done again.
func (c *Controller) fence(m *Image, b *Broker, records []Record) []Record {
	records = c.follow(m, activity{remove: b.ID, add: noLeader, unclean: noLeader}, inISR(b.ID), records)
	return append(records, &BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: 1})
}

// unfence lets a broker serve: first the record, then the leaderships that waited for it.
func (c *Controller) unfence(m *Image, b *Broker, records []Record) []Record {
	records = append(records, &BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: -1})
	return c.follow(m, activity{remove: noLeader, add: b.ID, unclean: noLeader}, leaderless, records)
}

// shutDown moves a broker's leaderships away while it still serves as a follower.
func (c *Controller) shutDown(m *Image, b *Broker, records []Record) []Record {
	if !b.ShuttingDown {
		records = append(records, &BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, ShuttingDown: 1})
	}
	return c.follow(m, activity{remove: b.ID, add: noLeader, unclean: noLeader}, inISR(b.ID), records)
}

// cleanUp removes what an earlier incarnation of a broker left: it is fenced if it was not, and where eligible leader replicas are on
// it does not count as one, because it may have lost what it had.
func (c *Controller) cleanUp(m *Image, b *Broker, clean bool, records []Record) []Record {
	a := activity{remove: b.ID, add: noLeader, unclean: noLeader}
	which := inISR(b.ID)
	if m.Feature(elrFeature) > 0 && !clean {
		a.unclean = b.ID
		which = func(p *Partition) bool { return slices.Contains(p.ISR, b.ID) || slices.Contains(p.ELR, b.ID) }
	} else if b.Fenced {
		return records
	}
	records = c.follow(m, a, which, records)
	if !b.Fenced {
		records = append(records, &BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: 1})
	}
	return records
}

// leads says whether a broker leads any partition.
func leads(m *Image, broker int32) bool {
	for t := range m.Topics() {
		for _, p := range t.Partitions {
			if p.Leader == broker {
				return true
			}
		}
	}
	return false
}
