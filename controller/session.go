package controller

import "math"

// session is what the leader knows of a broker by its heartbeats. It is soft: a new leader starts with fresh ones.
type session struct {
	lastMs         int64 // when it was heard last
	metadataOffset int64 // what it has published, -1 if it did not say yet
	shutdownOffset int64 // the batch that moved its leaderships away, -1 while it does not shut down
	gone           bool  // its process is no more
}

// brokerState is Kafka's BrokerControlState.
type brokerState int

const (
	stateFenced brokerState = iota
	stateUnfenced
	stateShuttingDown
	stateShutDown
)

func (b *Broker) state() brokerState {
	switch {
	case b.Fenced:
		return stateFenced
	case b.ShuttingDown:
		return stateShuttingDown
	}
	return stateUnfenced
}

// track gives every registered broker a session and forgets those of others.
func (c *Controller) track(m *Image, nowMs int64) {
	for _, b := range m.brokers {
		if c.sessions[b.ID] == nil {
			c.sessions[b.ID] = &session{lastMs: nowMs, metadataOffset: -1, shutdownOffset: -1}
		}
	}
	c.plan(m, nowMs)
	if len(c.sessions) > len(m.brokers) {
		for id := range c.sessions {
			if m.Broker(id) == nil {
				delete(c.sessions, id)
			}
		}
	}
}

// Gone takes note that the process of a broker's registration is provably no more: another one may take its place at once. With fence the
// records that fence the broker are returned. It is nothing where the broker has another epoch.
func (c *Controller) Gone(in Input, broker int32, epoch int64, fence bool) []Record {
	c.track(in.Image, in.NowMs)
	b := in.Image.Broker(broker)
	if b == nil || b.Epoch != epoch {
		return nil
	}
	c.sessions[broker].gone = true
	if !fence || b.Fenced {
		return nil
	}
	return c.fence(in.Image, b, nil)
}

// alive says whether a broker is unfenced and was heard within the session timeout.
func (c *Controller) alive(b *Broker, nowMs int64) bool {
	s := c.sessions[b.ID]
	return !b.Fenced && s != nil && !s.gone && nowMs-s.lastMs <= c.cfg.SessionTimeoutMs
}

// Tick fences a broker whose session has run out, if there is one: at most one a call, so that users' requests get in between. Else it looks
// after leaders. Only the leader calls it, when NextDeadlineMs has come.
func (c *Controller) Tick(in Input) []Record {
	c.track(in.Image, in.NowMs)
	var stale *Broker
	for _, b := range in.Image.brokers {
		if !b.Fenced && !c.alive(b, in.NowMs) && (stale == nil || c.sessions[b.ID].lastMs < c.sessions[stale.ID].lastMs) {
			stale = b
		}
	}
	if stale == nil {
		return c.lookAfter(in)
	}
	return c.fence(in.Image, stale, nil)
}

// NextDeadlineMs returns when Tick has something to do at the earliest if no broker is heard until then, math.MaxInt64 for never.
func (c *Controller) NextDeadlineMs(m *Image) int64 {
	next := c.upkeep.nextMs()
	for _, b := range m.brokers {
		if s := c.sessions[b.ID]; s != nil && !b.Fenced {
			next = min(next, s.lastMs+c.cfg.SessionTimeoutMs+1)
		}
	}
	return next
}

// Applied tells the controller that records it decided are committed at an offset.
func (c *Controller) Applied(records []Record, offset int64) {
	for _, rec := range records {
		if rec, ok := rec.(*ConfigRecord); ok && rec.Name == "unclean.leader.election.enable" {
			c.electUncleanSoon()
		}
		rec, ok := rec.(*BrokerRegistrationChangeRecord)
		if !ok || rec.ShuttingDown == 0 {
			continue
		}
		if s := c.sessions[rec.BrokerID]; s != nil && s.shutdownOffset < 0 {
			s.shutdownOffset = offset
		}
	}
}

// lowestActiveOffset is how far the slowest broker that serves has published.
func (c *Controller) lowestActiveOffset(m *Image) int64 {
	lowest := int64(math.MaxInt64)
	for _, b := range m.brokers {
		if s := c.sessions[b.ID]; s != nil && b.state() == stateUnfenced {
			lowest = min(lowest, s.metadataOffset)
		}
	}
	return lowest
}
