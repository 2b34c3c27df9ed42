package broker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/broker/peer"
	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/txn"
)

// txnTopic is where the transaction coordinator keeps its state.
const txnTopic = "__transaction_state"

// txns runs the transaction coordinator: it tells the runtime what this broker leads, and the machines of settings and metadata, and
// carries out what they send.
type txns struct {
	*coordinator.Runtime[*txn.Machine]
	*elections
	api    *api.Server
	config atomic.Pointer[txn.Config]
	image  atomic.Pointer[controller.Image]

	// write has this broker's own partitions marked.
	write func(q *kmsg.WriteTxnMarkersRequest, done func(*kmsg.WriteTxnMarkersResponse))
	// Connections to the brokers that markers go to, and to other coordinators. A marker waits for replicas: on a connection of its own it
	// holds up no verification.
	markers, verifications *peer.Pool

	retry, retryMax time.Duration // of verifications that are told CONCURRENT_TRANSACTIONS

	telling telling
}

func (b *Broker) newTxns() *txns {
	ms := func(name string) time.Duration { return time.Duration(b.static.Int64(name)) * time.Millisecond }
	x := &txns{
		elections: &elections{topic: txnTopic, nodeID: b.nodeID, static: b.static,
			log: &coordLog{replicas: b.replicas, loadBytes: int32(min(b.static.Int("transaction.state.log.load.buffer.size"), maxLoadBytes))}},
		api:           b.api,
		write:         b.api.WriteMarkers,
		markers:       interBroker{b}.pool("markers"),
		verifications: interBroker{b}.pool("verifications"),
		retry:         ms("add.partitions.to.txn.retry.backoff.ms"),
		retryMax:      min(ms("add.partitions.to.txn.retry.backoff.max.ms"), ms("request.timeout.ms")),
	}
	img := controller.NewImage()
	x.image.Store(img)
	x.config.Store(x.settings(img))
	x.Runtime = coordinator.New(coordinator.Config[*txn.Machine]{
		New: func(_, epoch int32) *txn.Machine { return txn.New(x.config.Load(), x, epoch) },
		Log: x.log, Changed: x.changed, Send: x.send, Logger: b.log, Now: b.cfg.Now, Timeout: ms("request.timeout.ms"),
	})
	x.runtime, x.telling.round = x.Runtime, x.tellAll
	return x
}

// disconnect ends the requests to other brokers, and with that the waiting of those who wait for answers.
func (x *txns) disconnect() {
	x.markers.Close()
	x.verifications.Close()
}

// close ends the coordinator. Nothing publishes images any more.
func (x *txns) close() {
	x.Close()
	x.telling.ended.Wait()
}

// apply takes a new image: it is a Subscriber.
func (x *txns) apply(_, img *controller.Image, d *controller.Delta) {
	x.image.Store(img)
	for _, id := range d.Brokers {
		if r := img.Broker(id); r == nil || r.Fenced {
			x.markers.Forget(id) // another leads what it led
			x.verifications.Forget(id)
		}
	}
	settings := x.applyTopic(img, d) || d.Features
	if settings {
		x.config.Store(x.settings(img))
	}
	if settings || len(d.Topics) > 0 || len(d.Deleted) > 0 {
		x.telling.tell()
	}
}

// settings compiles what the machines go by.
func (x *txns) settings(img *controller.Image) *txn.Config {
	s := x.static
	c := &txn.Config{
		MaxTimeoutMs:      int32(s.Int("transaction.max.timeout.ms")),
		AbortCheckMs:      s.Int64("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
		ExpirationMs:      s.Int64("transactional.id.expiration.ms"),
		ExpirationCheckMs: s.Int64("transaction.remove.expired.transaction.cleanup.interval.ms"),
		TwoPhaseCommit:    s.Bool("transaction.two.phase.commit.enable"),
		Version:           img.Feature(controller.TransactionVersion),
	}
	if t := x.log.topic.Load(); t != nil {
		c.MaxRecordBytes = max(1, t.maxBytes-batchAndRecordBytes)
	}
	return c
}

// batchAndRecordBytes is what a batch of one record takes beside its key and value, as the runtime counts it: 61 and 23.
const batchAndRecordBytes = 84

// tellAll is a round of telling.
func (x *txns) tellAll() {
	cfg := x.config.Load()
	x.Each(func(m *txn.Machine, now int64, _ coordinator.Token) coordinator.Effects { return m.SetConfig(now, cfg) })
	x.Each(x.metadataChanged)
}

func (x *txns) metadataChanged(m *txn.Machine, now int64, _ coordinator.Token) coordinator.Effects {
	return m.MetadataChanged(now, x)
}

// changed tells one machine, after its load, of the newest metadata and settings.
func (x *txns) changed(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
	m.SetConfig(now, x.config.Load()) // it has no effects of its own
	return x.metadataChanged(m, now, t)
}

// idsPerAsk is how many producer ids a partition's machine is given at a time: a broker's block is for all of them.
const idsPerAsk = 100

// send carries out what a machine sends. Markers for this broker have their places in the logs when it returns.
func (x *txns) send(q coordinator.Send, answered func(answer any, err error)) {
	switch r := q.Request.(type) {
	case txn.AllocateIDs:
		go x.allocate(answered)
	case *kmsg.WriteTxnMarkersRequest:
		if q.Node == x.nodeID {
			x.write(r, func(resp *kmsg.WriteTxnMarkersResponse) { answered(resp, nil) })
			return
		}
		go func() { // it ends when the pool is closed
			resp, err := x.markers.Request(context.Background(), q.Node, r)
			if err != nil {
				x.api.Log.Debug("markers were not written", "broker", q.Node, "err", err)
			}
			answered(resp, err)
		}()
	default:
		answered(nil, fmt.Errorf("a request that nobody sends: %T", r))
	}
}

func (x *txns) allocate(answered func(answer any, err error)) {
	first, count, err := x.api.ProducerIDs(idsPerAsk)
	answered(txn.IDs{First: first, Count: count}, err)
}

// Leader implements txn.Metadata, by the newest image: a topic that a client was told of must not be taken for one that is gone.
func (x *txns) Leader(topic string, partition int32) (node int32, ok bool) {
	p := x.image.Load().Topic(topic).Partition(partition)
	if p == nil {
		return -1, false
	}
	return p.Leader, true
}
