package broker

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/broker/partition"
	"weir/protocol"
)

// isrChanges carries proposals of in-sync replicas to the controller: Kafka's AlterPartitionManager. One request is under way at a time;
// what comes meanwhile goes with the next.
type isrChanges struct {
	nodeID     int32
	controller api.Controller
	log        *slog.Logger
	timeout    time.Duration
	retry      time.Duration
	ctx        context.Context
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu      sync.Mutex
	epoch   int64 // of this broker's registration, -1: not yet
	queue   []isrChange
	sending bool
	closed  bool
}

// isrChange is a proposal and who waits for the answer.
type isrChange struct {
	*partition.Proposal
	answered func(*partition.Answer)
}

// isrRetry is how long the manager waits after an error, as in Kafka.
const isrRetry = 50 * time.Millisecond

func newISRChanges(nodeID int32, log *slog.Logger, timeout time.Duration) *isrChanges {
	ctx, cancel := context.WithCancel(context.Background())
	return &isrChanges{nodeID: nodeID, log: log, timeout: timeout, retry: isrRetry, epoch: -1, ctx: ctx, cancel: cancel}
}

// registered tells who decides, and the epoch of this broker. What was proposed before goes out now.
func (x *isrChanges) registered(c api.Controller, epoch int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.controller, x.epoch = c, epoch
	x.send()
}

// propose is replica.Config.AlterISR.
func (x *isrChanges) propose(q *partition.Proposal, answered func(*partition.Answer)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := slices.IndexFunc(x.queue, func(c isrChange) bool { return c.ID == q.ID }); i >= 0 {
		x.queue[i] = isrChange{q, answered} // the one before is out of date, and nobody waits for it any more
	} else {
		x.queue = append(x.queue, isrChange{q, answered})
	}
	x.send()
}

// send starts the goroutine that sends what is queued. x.mu is held.
func (x *isrChanges) send() {
	if x.sending || x.closed || x.epoch < 0 || len(x.queue) == 0 {
		return
	}
	x.sending = true
	x.wg.Add(1)
	go x.run()
}

// close ends the sending. What is not answered never will be.
func (x *isrChanges) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.cancel()
	x.wg.Wait()
}

// run sends until the queue is empty.
func (x *isrChanges) run() {
	defer x.wg.Done()
	for {
		x.mu.Lock()
		all, epoch := x.queue, x.epoch
		x.queue = nil
		if x.sending = len(all) > 0 && !x.closed; !x.sending {
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		again := x.ask(all, epoch)
		if len(again) == 0 {
			continue
		}
		x.mu.Lock()
		for _, c := range again {
			if !slices.ContainsFunc(x.queue, func(newer isrChange) bool { return newer.ID == c.ID }) {
				x.queue = append(x.queue, c)
			}
		}
		x.mu.Unlock()
		select {
		case <-time.After(x.retry):
		case <-x.ctx.Done():
		}
	}
}

// ask sends one request and hands out its answers. It returns what is to be asked again.
func (x *isrChanges) ask(all []isrChange, epoch int64) []isrChange {
	ctx, cancel := context.WithTimeout(x.ctx, x.timeout)
	defer cancel()
	resp, err := x.controller.Submit(ctx, alterPartition(x.nodeID, epoch, all))
	if err == nil {
		if code := protocol.Code(resp.(*kmsg.AlterPartitionResponse).ErrorCode); code != protocol.None {
			err = code
		}
	}
	if err != nil {
		if x.ctx.Err() == nil {
			x.log.Warn("in-sync replicas could not be told to the controller", "partitions", len(all), "error", err.Error())
		}
		return all
	}
	answers := map[partition.ID]*partition.Answer{}
	for i := range resp.(*kmsg.AlterPartitionResponse).Topics {
		t := &resp.(*kmsg.AlterPartitionResponse).Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			answers[partition.ID{Topic: t.TopidID, Partition: p.Partition}] = &partition.Answer{Code: protocol.Code(p.ErrorCode),
				LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: p.ISR, Recovering: p.LeaderRecoveryState == 1}
		}
	}
	var again []isrChange
	for _, c := range all {
		switch a := answers[c.ID]; {
		case a == nil, resendable(a.Code):
			again = append(again, c)
		default:
			c.answered(a)
		}
	}
	return again
}

// resendable says whether a refusal may be for the moment only. Then the proposal stands, and the partition waits.
func resendable(c protocol.Code) bool {
	switch c {
	case protocol.NotController, protocol.RequestTimedOut, protocol.UnknownServerError, protocol.NetworkException, protocol.KafkaStorageError:
		return true
	}
	return false
}

func alterPartition(node int32, epoch int64, all []isrChange) *kmsg.AlterPartitionRequest {
	q := kmsg.NewPtrAlterPartitionRequest()
	q.Version, q.BrokerID, q.BrokerEpoch = 3, node, epoch
	at := map[protocol.UUID]int{}
	for _, c := range all {
		i, ok := at[c.ID.Topic]
		if !ok {
			i = len(q.Topics)
			at[c.ID.Topic] = i
			t := kmsg.NewAlterPartitionRequestTopic()
			t.TopicID = c.ID.Topic
			q.Topics = append(q.Topics, t)
		}
		p := kmsg.NewAlterPartitionRequestTopicPartition()
		p.Partition, p.LeaderEpoch, p.PartitionEpoch = c.ID.Partition, c.LeaderEpoch, c.PartitionEpoch
		if c.Recovering {
			p.LeaderRecoveryState = 1
		}
		for _, m := range c.ISR {
			e := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			e.BrokerID, e.BrokerEpoch = m.ID, m.Epoch
			p.NewEpochISR = append(p.NewEpochISR, e)
		}
		q.Topics[i].Partitions = append(q.Topics[i].Partitions, p)
	}
	return q
}
