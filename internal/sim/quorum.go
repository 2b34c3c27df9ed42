package sim

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// quorum is a model of the metadata's replicated log with the controller on top: batches are committed in order, some time after they were
// decided; a leadership may end at any time, and then a part of what was under way is committed, nobody knowing which, and a new controller
// begins with what is.
type quorum struct {
	w         *World
	term      int32
	ctl       *controller.Controller
	down      bool // between two leaders
	committed *controller.Image
	decided   *controller.Image
	log       []committedBatch
	pending   []*proposal
	topic     protocol.UUID
}

type committedBatch struct {
	records []controller.Record
	offset  int64
	term    int32
}

// proposal is a batch under way, and who waits for it.
type proposal struct {
	records []controller.Record
	offset  int64
	resp    kmsg.Response
	reply   func(kmsg.Response)
}

const clusterID = "AAAAAAAAAAAAAAAAAAAAAQ"

func newQuorum(w *World) *quorum {
	q := &quorum{w: w, committed: controller.NewImage()}
	q.decided = q.committed
	q.lead()
	q.propose(controller.BootstrapRecords(clusterID), nil, nil)
	q.tick()
	return q
}

func (q *quorum) lead() {
	q.term++
	q.ctl = controller.New(controller.Config{NodeID: 99, NumPartitions: 1, DefaultReplicationFactor: 3, SessionTimeoutMs: 1000, DeleteTopics: true})
	q.decided, q.pending, q.down = q.committed, nil, false
}

// elect ends the leadership. Of what is under way a part is committed.
func (q *quorum) elect() {
	if q.down {
		return
	}
	n := 0
	for len(q.pending) > 0 && q.w.chance(600) {
		q.commit()
		n++
	}
	q.w.note("the quorum elects: %d batches of those under way are committed, %d are lost", n, len(q.pending))
	q.down, q.pending = true, nil
	q.w.after(q.w.between(20, 400), q.lead)
}

// tick does what is due.
func (q *quorum) tick() {
	q.w.after(20, q.tick)
	if !q.down && q.ctl.NextDeadlineMs(q.decided) <= q.w.now {
		if recs := q.ctl.Tick(q.input(nil)); len(recs) > 0 {
			q.propose(recs, nil, nil)
		}
	}
}

func (q *quorum) input(req kmsg.Request) controller.Input {
	return controller.Input{NowMs: q.w.now, Rand: q.w.rng, Image: q.decided, Request: req}
}

// submit decides a request. reply is called when what it says is committed; where that is not known, never.
func (q *quorum) submit(req kmsg.Request, reply func(kmsg.Response)) {
	if q.down {
		return
	}
	resp, recs := q.ctl.Handle(q.input(req))
	q.propose(recs, resp, reply)
}

func (q *quorum) propose(recs []controller.Record, resp kmsg.Response, reply func(kmsg.Response)) {
	p := &proposal{records: recs, resp: resp, reply: reply, offset: q.decided.Offset}
	if len(recs) > 0 {
		p.offset++
		next, _, err := controller.Merge(q.decided, recs, p.offset, q.term)
		if err == nil {
			err = controller.CheckInvariants(q.decided, next)
		}
		if err != nil {
			q.w.fail("the controller decided what does not fit: %w", err)
			return
		}
		q.decided = next
	}
	q.pending = append(q.pending, p)
	term := q.term
	q.w.after(q.w.between(1, 8), func() {
		if q.term == term && !q.down && len(q.pending) > 0 {
			q.commit()
		}
	})
}

// commit commits the oldest batch under way.
func (q *quorum) commit() {
	p := q.pending[0]
	q.pending = q.pending[1:]
	if len(p.records) > 0 {
		next, _, err := controller.Merge(q.committed, p.records, p.offset, q.term)
		if err != nil {
			q.w.fail("a committed batch does not fit: %w", err)
			return
		}
		q.ctl.Applied(p.records, p.offset)
		q.committed = next
		q.log = append(q.log, committedBatch{p.records, p.offset, q.term})
	}
	if p.reply != nil {
		controller.Complete(p.resp, p.offset)
		p.reply(p.resp)
	}
}

// createTopics makes the topic that clients write to, of three replicas.
func (q *quorum) createTopics() {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = "t", int32(q.w.Partitions), 3
	set := func(name, value string) {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	set("min.insync.replicas", "2")
	if q.w.PowerLoss {
		set("flush.messages", "1")
	}
	q.submit(&kmsg.CreateTopicsRequest{Version: 7, Topics: []kmsg.CreateTopicsRequestTopic{t}}, func(r kmsg.Response) {
		a := r.(*kmsg.CreateTopicsResponse).Topics[0]
		if a.ErrorCode != 0 {
			q.w.fail("no topic: %v", protocol.Code(a.ErrorCode))
		}
		q.topic = a.TopicID
	})
	q.w.runFor(100)
}
