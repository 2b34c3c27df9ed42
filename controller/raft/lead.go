package raft

import (
	"cmp"
	"errors"
	"time"

	"github.com/hashicorp/raft"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// submission is one request, or one batch, on its way through the leader. done is closed when resp and err are set.
type submission struct {
	req     kmsg.Request        // nil: records
	records []controller.Record // of Propose
	gone    *gone               // of Gone
	resp    kmsg.Response
	offset  int64         // what an image shows that shows all of it
	err     protocol.Code // None: success
	done    chan struct{}
}

// gone is a broker whose process is no more.
type gone struct {
	broker int32
	epoch  int64
	fence  bool
}

func (s *submission) answer(err protocol.Code) {
	s.err = err
	close(s.done)
}

// maxInFlight bounds the batches that are decided and not committed yet.
const maxInFlight = 128

// maxEntryRecords splits batches that need not be atomic, so that an entry stays well below a MiB.
const maxEntryRecords = 5000

// flight is one batch between decision and publication; futures is empty where nothing changes.
type flight struct {
	s       *submission // nil: nobody waits (Tick)
	records []controller.Record
	futures []raft.ApplyFuture
}

// landing is how a flight ended.
type landing struct {
	records []controller.Record
	offset  int64
	err     error
}

// leader is the controller while this node leads: one goroutine decides (serve), another waits for the batches (land).
type leader struct {
	n        *Node
	ctl      *controller.Controller
	term     uint64
	image    *controller.Image // with everything decided but pending
	pending  [][]controller.Record
	inFlight int
	flights  chan flight
	landings chan landing
}

// lead runs on the controller goroutine until Close: it serves while this node leads and refuses otherwise.
func (n *Node) lead() {
	leading := false
	for {
		if leading && n.raft.State() == raft.Leader {
			if leading = n.serve(); leading {
				// An error that did not cost the leadership: start anew from what is committed, but not in a tight loop.
				n.pause(commitTimeout)
			}
			continue
		}
		select {
		case leading = <-n.notify:
		case s := <-n.submits:
			s.answer(protocol.NotController)
		case <-n.closing:
			return
		}
	}
}

// pause waits, or until there is news of the leadership.
func (n *Node) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return
		case <-n.closing:
			return
		case s := <-n.submits:
			s.answer(protocol.NotController)
		}
	}
}

// serve leads until that ends, and returns whether Raft still has this node as the leader as far as is known.
func (n *Node) serve() bool {
	l := &leader{
		n: n, ctl: controller.New(n.cfg.Settings), term: n.raft.CurrentTerm(),
		flights: make(chan flight, maxInFlight), landings: make(chan landing, maxInFlight),
	}
	landed := make(chan struct{})
	go func() { defer close(landed); l.land() }()
	defer func() {
		close(l.flights)
		select {
		case <-landed:
		case <-n.down:
		}
	}()
	if err := l.establish(); err != nil {
		return true
	}
	n.stable.electing.Store(false)
	n.voted.Store(true)
	n.serving.Store(true)
	defer n.serving.Store(false)
	if n.cfg.OnServing != nil {
		go n.cfg.OnServing()
	}
	n.served.Do(func() { close(n.ready) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.arm(timer)
		submits := n.submits
		if l.inFlight == maxInFlight {
			submits = nil
		}
		select {
		case leading := <-n.notify:
			return leading
		case landing := <-l.landings:
			if !l.landed(landing) {
				return true
			}
		case s := <-submits:
			if !l.drain() {
				s.answer(protocol.NotController)
				return true
			}
			l.decide(s)
		case <-timer.C:
			l.tick()
		case <-n.closing:
			return false
		}
	}
}

// establish makes sure that the image has everything that earlier leaders committed, and gives a new cluster its first batch, or one of
// a single node the features that this program adds.
func (l *leader) establish() error {
	n := l.n
	if n.sole && n.machine.image.Load().ClusterID == "" && n.raft.LastIndex() <= 2 {
		// Only the configuration and the entry of this term are in the log: there is nothing to wait for.
	} else if err := n.barrier(); err != nil {
		return err
	}
	if err := n.settle(); err != nil {
		return err
	}
	n.others.Store(!l.sole())
	l.image = n.machine.image.Load()
	records := controller.MissingFeatures(l.image)
	switch {
	case l.image.ClusterID == "" && (n.cfg.ClusterID != "" || n.cfg.NewID != ""):
		records = controller.BootstrapRecords(cmp.Or(n.cfg.ClusterID, n.cfg.NewID))
	case !l.sole():
		records = nil // somebody has to ask for it
	case len(records) > 0:
		n.cfg.Logger.Info("metadata: raised the features of this cluster of one", "features", features(records))
	}
	if len(records) > 0 {
		l.propose(flight{records: records}, true)
	}
	for l.inFlight > 0 {
		if !l.landed(l.next()) {
			return errors.New("the first batch failed")
		}
	}
	l.image = n.machine.image.Load()
	if !n.publisher.wait(l.image.Offset) {
		return errors.New("closed")
	}
	return nil
}

// barrier waits until everything that was committed is applied.
func (n *Node) barrier() error {
	done := make(chan error, 1)
	go func() { done <- n.raft.Barrier(applyTimeout).Error() }()
	select {
	case err := <-done:
		return err
	case <-n.down:
		return raft.ErrRaftShutdown
	}
}

// next waits for the next landing.
func (l *leader) next() landing {
	select {
	case d := <-l.landings:
		return d
	case <-l.n.down:
		return landing{err: raft.ErrRaftShutdown}
	}
}

// sole says whether this node is the only voter now.
func (l *leader) sole() bool {
	f := l.n.raft.GetConfiguration()
	return f.Error() == nil && len(f.Configuration().Servers) == 1
}

func features(records []controller.Record) map[string]int16 {
	levels := map[string]int16{}
	for _, rec := range records {
		if f, ok := rec.(*controller.FeatureLevelRecord); ok {
			levels[f.Name] = f.Level
		}
	}
	return levels
}

// decide answers one submission, at once or when its batch has landed.
func (l *leader) decide(s *submission) {
	if s.gone != nil {
		s.records = l.ctl.Gone(l.input(nil), s.gone.broker, s.gone.epoch, s.gone.fence)
	}
	if s.req == nil {
		l.propose(flight{s: s, records: s.records}, s.gone == nil)
		return
	}
	resp, records := l.ctl.Handle(l.input(s.req))
	if resp == nil {
		s.answer(protocol.UnsupportedVersion)
		return
	}
	s.resp = resp
	l.propose(flight{s: s, records: records}, indivisible(s.req.Key()))
	if registers(records) {
		// The broker's epoch is the batch's index: nothing can be decided about the broker before that is known.
		for l.inFlight > 0 {
			if landing := l.next(); !l.landed(landing) {
				l.landings <- landing // serve sees it next
				return
			}
		}
	}
}

func (l *leader) input(req kmsg.Request) controller.Input {
	return controller.Input{NowMs: l.n.cfg.Now().UnixMilli(), Rand: l.n.cfg.Rand, Image: l.decided(), Request: req}
}

// indivisible says whether a request's records must be seen together. What brokers cause can be cut: the order is safe at every point.
func indivisible(key int16) bool {
	switch key {
	case 19, 20, 33, 37, 43, 44, 45, 57:
		return true
	}
	return false
}

func registers(records []controller.Record) bool {
	if len(records) == 0 {
		return false
	}
	_, ok := records[len(records)-1].(*controller.RegisterBrokerRecord)
	return ok
}

// propose hands a batch to Raft without waiting for it. A flight without records follows those before it: what it says may rest on
// them.
func (l *leader) propose(f flight, atomic bool) {
	if len(f.records) == 0 && l.inFlight == 0 {
		if f.s != nil {
			f.s.offset = l.image.Offset
			f.s.answer(protocol.None)
		}
		return
	}
	for rest := f.records; len(rest) > 0; {
		part := rest
		if !atomic && len(part) > maxEntryRecords {
			part = part[:maxEntryRecords]
		}
		rest = rest[len(part):]
		f.futures = append(f.futures, l.n.raft.Apply(controller.AppendBatch(nil, l.term, part), applyTimeout))
	}
	if len(f.records) > 0 {
		l.pending = append(l.pending, f.records)
	}
	l.inFlight++
	l.flights <- f
}

// decided returns the image with everything decided. It merges what is under way only when somebody asks before it has landed.
func (l *leader) decided() *controller.Image {
	for _, records := range l.pending {
		// The index is not known yet; brokers' epochs are the only thing that depends on it, see decide.
		image, _, err := controller.Merge(l.image, records, l.image.Offset+1, int32(l.term))
		if err != nil {
			l.n.cfg.Logger.Error("metadata: the controller decided what does not fit", "error", err)
			continue
		}
		l.image = image
	}
	l.pending = nil
	return l.image
}

// drain takes the landings that are there. It returns false when one failed.
func (l *leader) drain() bool {
	for {
		select {
		case landing := <-l.landings:
			if !l.landed(landing) {
				return false
			}
		default:
			return true
		}
	}
}

// landed takes note of the end of a flight. It returns false when the batch failed: everything decided after it is void.
func (l *leader) landed(d landing) bool {
	if d.err != nil {
		return false
	}
	l.inFlight--
	l.ctl.Applied(d.records, d.offset)
	if l.inFlight == 0 {
		l.image, l.pending = l.n.machine.image.Load(), nil
	}
	l.n.maybeSnapshot()
	return true
}

// tick has the controller do what is due. It takes that for done, so it is not asked while nothing more may be under way.
func (l *leader) tick() {
	if l.inFlight == maxInFlight {
		return
	}
	if records := l.ctl.Tick(l.input(nil)); len(records) > 0 {
		l.propose(flight{records: records}, false)
	}
}

// arm sets the timer to when tick has something to do.
func (l *leader) arm(t *time.Timer) {
	wait := time.Hour
	if next := l.ctl.NextDeadlineMs(l.image); next < 1<<62 {
		wait = min(wait, time.Duration(next-l.n.cfg.Now().UnixMilli())*time.Millisecond)
	}
	t.Reset(max(wait, time.Millisecond))
}

// land waits for the flights in order and answers them. It runs on a goroutine of its own until flights is closed.
func (l *leader) land() {
	failed := error(nil)
	for f := range l.flights {
		d := landing{records: f.records}
		for _, future := range f.futures {
			if err := future.Error(); err != nil {
				d.err = err
				break
			}
			if err, ok := future.Response().(error); ok {
				d.err = err
				break
			}
			d.offset = int64(future.Index())
		}
		if d.err == nil && failed != nil {
			d.err = failed // decided on top of what failed
			if len(f.futures) > 0 {
				d.err = raft.ErrLeadershipLost
			}
		}
		if d.err == nil && d.offset > 0 && !l.n.publisher.wait(d.offset) {
			d.err = raft.ErrRaftShutdown
		}
		if d.err != nil && failed == nil {
			failed = d.err
		}
		if len(f.futures) > 0 && d.err == nil && len(l.flights) == 0 && l.n.others.Load() {
			l.n.spread()
		}
		if f.s != nil {
			f.s.offset = d.offset
			if d.offset == 0 {
				f.s.offset = l.n.publisher.current.Load().Offset
			}
			if d.err == nil && f.s.resp != nil {
				controller.Complete(f.s.resp, d.offset)
			}
			f.s.answer(codeOf(d.err))
		}
		l.landings <- d
	}
}

// codeOf says what a client hears of an error of Raft's.
func codeOf(err error) protocol.Code {
	switch {
	case err == nil:
		return protocol.None
	case noSpace(err):
		return protocol.KafkaStorageError
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return protocol.RequestTimedOut // it may still be committed
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrAbortedByRestore):
		return protocol.NotController
	}
	return protocol.UnknownServerError
}

// maybeSnapshot has Raft take a snapshot when so much was applied that a restart would notice.
func (n *Node) maybeSnapshot() {
	if n.machine.bytes.Load() < snapshotBytes {
		return
	}
	n.machine.bytes.Store(0)
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		if err := n.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
			n.cfg.Logger.Warn("metadata: no snapshot", "error", err)
		}
	}()
}
