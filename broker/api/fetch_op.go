package api

import (
	"context"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/fetch"
	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
)

// fetchOp is one Fetch from its request to its last byte on the wire. It is pooled: a consumer that polls allocates next to nothing.
// It is also the waiter of its long poll; a late Wake after it went back to the pool only makes another poll look once more.
type fetchOp struct {
	s            *Server
	version      int16
	listener     string
	code         protocol.Code // for the whole response
	follower     bool
	replicaID    int32
	replicaEpoch int64
	maxBytes     int32
	minBytes     int

	request fetch.Request
	fetch   fetch.Fetch
	parts   []fetchPart
	told    []fetch.Told
	send    []bool
	size    int  // bytes of records read
	urgent  bool // something that must not wait: an error, a diverging epoch, another replica to read from
	wake    chan struct{}
	timer   *time.Timer

	sessionID int32
	encoder   protocol.FetchEncoder
	sent      []int // the how manieth encoded partition is which part
	aborted   []protocol.AbortedTransaction
}

// fetchPart is one partition of a fetchOp.
type fetchPart struct {
	name string
	id   partition.ID
	code protocol.Code // set before any read: the partition is not read
	req  partition.ReadRequest
	res  partition.ReadResult
}

func (p *fetchPart) reset() {
	p.name, p.code, p.res.Throttled = "", protocol.None, false
	p.res.Records.Release()
}

var fetchOps = sync.Pool{New: func() any { return &fetchOp{wake: make(chan struct{}, 1)} }}

func newFetchOp(s *Server, c *Call, q *kmsg.FetchRequest) *fetchOp {
	o := fetchOps.Get().(*fetchOp)
	o.s, o.version, o.listener, o.code = s, c.Header.Version, c.Session.ListenerName, protocol.None
	o.replicaID, o.replicaEpoch = q.ReplicaID, -1
	if c.Header.Version >= 15 {
		o.replicaID, o.replicaEpoch = q.ReplicaState.ID, q.ReplicaState.Epoch
	}
	o.follower = o.replicaID >= 0
	o.maxBytes = s.fetchLimit(q)
	o.minBytes = int(min(q.MinBytes, o.maxBytes))
	o.size, o.urgent, o.sessionID = 0, false, 0
	o.parts = o.parts[:0]
	select {
	case <-o.wake:
	default:
	}
	return o
}

func (o *fetchOp) reset() { o.parts = o.parts[:0] }

// grow makes a slice n long and keeps what its elements own.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		s = append(s[:cap(s)], make([]T, n-cap(s))...)
	}
	return s[:n]
}

// read reads all partitions in order, within the limits: Kafka's ReplicaManager.readFromLog.
func (o *fetchOp) read(fromWait bool) {
	left, first := o.maxBytes, true
	o.size, o.urgent = 0, false
	for i := range o.parts {
		p := &o.parts[i]
		if p.code != protocol.None {
			o.urgent = true
			continue
		}
		p.req.MaxBytes, p.req.AtLeastOne, p.req.FromWait = min(o.fetch.Parts[i].MaxBytes, left), first, fromWait
		o.s.Replicas.Read(p.id, &p.req, &p.res)
		if n := p.res.Records.Size; n > 0 {
			first = false
			o.size += n
		}
		if p.req.Isolation == partition.ReadCommitted && p.res.Aborted == nil && p.res.Code == protocol.None && p.res.Diverging.Epoch < 0 {
			p.res.Aborted = noneAborted
		}
		left = int32(max(int(left)-p.res.Records.Size, 0))
		if p.res.Code != protocol.None || p.res.Diverging.Epoch >= 0 || p.res.PreferredReplica >= 0 {
			o.urgent = true
		}
	}
}

// watch releases what was read and has every partition wake the op.
func (o *fetchOp) watch() {
	for i := range o.parts {
		p := &o.parts[i]
		p.res.Records.Release()
		if !p.res.Throttled { // it waits for its turn, not for records
			o.s.Replicas.Watch(p.id, p.req.Offset, p.req.Isolation, o)
		}
	}
}

// Wake implements partition.Waiter.
func (o *fetchOp) Wake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// wait waits until there is enough to send, something is wrong, the deadline is there or the connection is gone; then it reads again.
func (o *fetchOp) wait(ctx context.Context, deadline time.Time) {
	d := deadline.Sub(o.s.Now())
	if o.timer == nil {
		o.timer = time.NewTimer(d)
	} else {
		o.timer.Reset(d)
	}
	for waiting := true; waiting; {
		select {
		case <-o.wake:
			waiting = !o.enough()
		case <-o.timer.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	o.timer.Stop()
	for i := range o.parts {
		o.s.Replicas.Unwatch(o.parts[i].id, o)
	}
	o.read(true)
	o.finish()
}

// enough says whether minBytes are there, without reading them.
func (o *fetchOp) enough() bool {
	total := 0
	for i := range o.parts {
		p := &o.parts[i]
		if p.res.Throttled {
			continue
		}
		n := o.s.Replicas.Available(p.id, p.req.Offset, p.req.Isolation)
		if n < 0 {
			return true
		}
		total += int(min(n, int64(o.fetch.Parts[i].MaxBytes)))
	}
	return total >= max(o.minBytes, 1)
}

// Held implements Streamed. What was read is the log's.
func (o *fetchOp) Held() int {
	const each = int(unsafe.Sizeof(fetchPart{}) + unsafe.Sizeof(fetch.Partition{}))
	return int(unsafe.Sizeof(*o)) + len(o.parts)*each + len(o.request.Want)*int(unsafe.Sizeof(fetch.Partition{}))
}

// finish tells the session what is answered and leaves out what it need not hear.
func (o *fetchOp) finish() {
	n := len(o.parts)
	o.told, o.send = grow(o.told, n), grow(o.send, n)
	for i := range o.parts {
		p := &o.parts[i]
		if p.code != protocol.None {
			p.res.Code, p.res.HighWatermark, p.res.LastStable, p.res.LogStart = p.code, -1, -1, -1
			p.res.Diverging.Epoch, p.res.PreferredReplica, p.res.LeaderID = -1, -1, -1
			p.res.Aborted = noneAborted
		}
		o.told[i] = fetch.Told{HighWatermark: p.res.HighWatermark, LogStart: p.res.LogStart, Failed: p.res.Code != protocol.None,
			Records: p.res.Records.Size > 0, Always: p.res.Diverging.Epoch >= 0 || p.res.PreferredReplica >= 0}
	}
	var code protocol.Code
	o.sessionID, code = o.fetch.End(o.told, o.send, o.s.Now().UnixMilli())
	if code != protocol.None {
		o.code = code
		clear(o.send)
	}
}

// noneAborted is an empty list, for who reads what is committed, and, in Kafka, for what is wrong before any read; else there is null.
var noneAborted = []record.AbortedTxn{}

// errorsLast moves the partitions that will not be read behind the others: Kafka answers in that order, and its sessions keep it.
func (o *fetchOp) errorsLast() {
	wrong := func(p fetchPart) bool { return p.code != protocol.None }
	first := slices.IndexFunc(o.parts, wrong)
	if first < 0 {
		return
	}
	parts, wants := slices.Clone(o.parts[first:]), slices.Clone(o.fetch.Parts[first:])
	at := first
	for _, bad := range [...]bool{false, true} {
		for i := range parts {
			if wrong(parts[i]) == bad {
				o.parts[at], o.fetch.Parts[at] = parts[i], wants[i]
				at++
			}
		}
	}
}

// Release gives back the log's buffers and the op itself.
func (o *fetchOp) Release() {
	for i := range o.parts {
		o.parts[i].res.Records.Release()
	}
	o.s = nil
	fetchOps.Put(o)
}
