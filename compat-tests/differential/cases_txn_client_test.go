package differential

import (
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var txnClientScripts = []script{
	{"finding a transaction coordinator", 10, 1, 6, func(s *session, v int16) {
		s.txnReady("x")
		for _, key := range []string{"x", "", strings.Repeat("x", 300), "\U0001F600"} {
			s.ask("transactional id "+key, v, findCoordinator(1, key))
		}
		if v >= 4 {
			s.ask("many", v, findCoordinator(1, "a", "b", "a"))
			s.ask("none", v, findCoordinator(1))
		}
	}},
	{"producers of transactional ids", 22, 0, 5, func(s *session, v int16) {
		s.create("a", 1)
		s.txnReady("x")
		with := func(what string, change func(q *kmsg.InitProducerIDRequest)) *kmsg.InitProducerIDResponse {
			q := s.initOf("x")
			change(q)
			r, _ := s.ask(what, v, q).(*kmsg.InitProducerIDResponse)
			s.over("x")
			return r
		}
		with("no transactional id", func(q *kmsg.InitProducerIDRequest) { q.TransactionalID = ptr("") })
		for _, timeout := range []int32{0, -1, math.MinInt32, 900_001, math.MaxInt32} {
			with("a time-out of "+itoa(timeout), func(q *kmsg.InitProducerIDRequest) { q.TransactionTimeoutMillis = timeout })
		}
		s.state("after what was refused", "x")
		with("the longest time-out", func(q *kmsg.InitProducerIDRequest) { q.TransactionTimeoutMillis = 900_000 })
		s.state("after it", "x")
		with("the shortest time-out", func(q *kmsg.InitProducerIDRequest) { q.TransactionTimeoutMillis = 1 })
		s.state("after that", "x")
		r := with("once more", func(q *kmsg.InitProducerIDRequest) {})
		if r == nil || r.ErrorCode != 0 {
			return
		}
		p := txnProducer{"x", r.ProducerID, r.ProducerEpoch}
		goingOn := func(what string, id int64, epoch int16) *kmsg.InitProducerIDResponse {
			return with(what, func(q *kmsg.InitProducerIDRequest) { q.ProducerID, q.ProducerEpoch = id, epoch })
		}
		if v >= 3 {
			goingOn("an id alone", p.id, -1)
			goingOn("an epoch alone", -1, p.epoch)
			goingOn("another id", p.other().id, p.epoch)
			goingOn("an older epoch", p.id, p.epoch-1)
			goingOn("a newer epoch", p.id, p.epoch+1)
			goingOn("a negative id", -2, p.epoch)
			goingOn("a negative epoch", p.id, -2)
			goingOn("its own", p.id, p.epoch)
			goingOn("the answer was lost", p.id, p.epoch)
			goingOn("an epoch before that", p.id, p.epoch-1)
			p.epoch++
		}
		s.ask("a partition", 3, s.add(p, "a", 0))
		s.state("a transaction is open", "x")
		if v >= 3 {
			goingOn("an older epoch in a transaction", p.id, p.epoch-1)
			goingOn("another id in a transaction", p.other().id, p.epoch)
		}
		with("a transaction is in the way", func(q *kmsg.InitProducerIDRequest) {})
		s.state("which is gone now", "x")
		s.ask("a fenced producer adds", 3, s.add(p, "a", 0))
		s.ask("a fenced producer produces", 11, s.produceTxn(11, p, "a", 0, 0))
		s.askEnd("a fenced producer ends", 3, p, true)
		with("and again", func(q *kmsg.InitProducerIDRequest) {})
		s.state("at the end", "x")
		s.readTxns("the end", "a", 0)
	}},
	{"partitions of transactions", 24, 0, 3, func(s *session, v int16) {
		s.create("a", 3)
		s.create("b", 1)
		p := s.begun("x")
		s.txnReady("y")
		s.ask("a strange transactional id", v, s.add(txnProducer{"y", p.id, p.epoch}, "a", 0))
		s.ask("no transactional id", v, func() kmsg.Request { q := s.add(p, "a", 0); q.TransactionalID = ""; return q }())
		s.ask("another producer", v, s.add(p.other(), "a", 0))
		s.ask("an older epoch", v, s.add(p.later(-1), "a", 0))
		s.ask("a newer epoch", v, s.add(p.later(1), "a", 0))
		s.ask("an unknown topic", v, s.add(p, "none", 0))
		s.ask("an unknown partition", v, s.add(p, "a", 0, 3))
		s.ask("a negative partition", v, s.add(p, "a", -1))
		mixed := s.add(p, "a", 0, 7)
		mixed.Topics = append(mixed.Topics, s.add(p, "none", 0).Topics[0], s.add(p, "b", 0).Topics[0])
		s.ask("good and bad", v, mixed)
		s.state("nothing was added", "x")
		s.ask("no partitions", v, s.add(p, "a"))
		s.state("after no partitions", "x")
		s.ask("two", v, s.add(p, "a", 0, 1))
		s.ask("again", v, s.add(p, "a", 1))
		s.ask("a partition twice", v, s.add(p, "a", 2, 2))
		s.state("with all", "x")
		s.ask("no topics", v, func() kmsg.Request { q := s.add(p, "a"); q.Topics = nil; return q }())
		s.askEnd("the end", 3, p, true)
		s.ask("in the next one", v, s.add(p, "b", 0))
		s.state("the next one", "x")
	}},
	{"partitions of many transactions", 24, 4, 5, func(s *session, v int16) {
		s.create("a", 3)
		x, y := s.begun("x"), s.begun("y")
		s.txnReady("z")
		entry := func(p txnProducer, verify bool, topic string, partitions ...int32) kmsg.AddPartitionsToTxnRequestTransaction {
			return kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: s.topic(p.name), ProducerID: p.id, ProducerEpoch: p.epoch, VerifyOnly: verify,
				Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: s.topic(topic), Partitions: partitions}}}
		}
		many := func(what string, entries ...kmsg.AddPartitionsToTxnRequestTransaction) {
			q := kmsg.NewPtrAddPartitionsToTxnRequest()
			q.Transactions = entries
			s.ask(what, v, q)
		}
		many("verified without a transaction", entry(x, true, "a", 0))
		many("added", entry(x, false, "a", 0))
		many("verified", entry(x, true, "a", 0))
		many("verified in part", entry(x, true, "a", 0, 1))
		many("two", entry(x, true, "a", 0), entry(y, false, "a", 2))
		many("a stranger", entry(txnProducer{"z", 1, 0}, true, "a", 0))
		many("another producer", entry(x.other(), true, "a", 0))
		many("an older epoch", entry(x.later(-1), true, "a", 0))
		many("a newer epoch", entry(x.later(1), true, "a", 0))
		many("an unknown topic", entry(x, true, "none", 0))
		many("an unknown partition", entry(x, true, "a", 0, 9))
		many("good and bad", entry(x, true, "a", 0), entry(y, false, "none", 0))
		s.state("both", "x", "y")
	}},
	{"offsets of transactions", 25, 0, 4, func(s *session, v int16) {
		s.coordinate(s.topic("g"))
		p := s.begun("x")
		s.txnReady("y")
		s.ask("a strange transactional id", v, s.addOffsets(txnProducer{"y", p.id, p.epoch}, "g"))
		s.ask("another producer", v, s.addOffsets(p.other(), "g"))
		s.ask("an older epoch", v, s.addOffsets(p.later(-1), "g"))
		s.ask("a newer epoch", v, s.addOffsets(p.later(1), "g"))
		s.ask("no transactional id", v, func() kmsg.Request { q := s.addOffsets(p, "g"); q.TransactionalID = ""; return q }())
		s.ask("a group", v, s.addOffsets(p, "g"))
		s.ask("again", v, s.addOffsets(p, "g"))
		s.state("the transaction", "x")
	}},
	{"ends of transactions", 26, 0, 5, func(s *session, v int16) {
		s.create("a", 1)
		p := s.begun("x")
		s.txnReady("y")
		s.askEnd("no transaction", v, p, true)
		p = s.askEnd("no transaction, aborted", v, p, false)
		s.state("after it", "x")
		s.ask("a strange transactional id", v, s.end(txnProducer{"y", p.id, p.epoch}, true))
		s.ask("no transactional id", v, func() kmsg.Request { q := s.end(p, true); q.TransactionalID = ""; return q }())
		sequence := int32(0)
		for i, commit := range []bool{true, false} {
			named := []string{"commit: ", "abort: "}[i]
			if v >= 5 {
				sequence = 0
			}
			s.ask(named+"a partition", 3, s.add(p, "a", 0))
			s.ask(named+"a record", 11, s.produceTxn(11, p, "a", 0, sequence))
			sequence++
			s.ask(named+"another producer", v, s.end(p.other(), commit))
			s.ask(named+"an older epoch", v, s.end(p.later(-1), commit))
			s.ask(named+"a newer epoch", v, s.end(p.later(1), commit))
			s.state(named+"still open", "x")
			old := p
			p = s.askEnd(named+"now", v, p, commit)
			s.askEnd(named+"again", v, old, commit)
			s.askEnd(named+"again, with the other result", v, old, !commit)
			s.askEnd(named+"a much older epoch", v, old.later(-3), commit)
			s.state(named+"over", "x")
			s.ask(named+"a late record", 11, s.produceTxn(11, old, "a", 0, sequence))
			s.readTxns(named+"all of it", "a", 0)
		}
	}},
	{"offsets commits of transactions", 28, 0, 6, func(s *session, v int16) {
		s.create("a", 2)
		s.coordinate(s.topic("g"))
		p := s.begun("x")
		s.txnReady("y")
		last := int16(4)
		if v >= 5 {
			last = 5
		}
		s.ask("not in the transaction", v, s.commitTxn(p, "g", "a", 0))
		s.over("x")
		s.ask("a strange transactional id", v, s.commitTxn(txnProducer{"y", p.id + 100_000_000, 0}, "g", "a", 0))
		s.ask("no transactional id", v, func() kmsg.Request { q := s.commitTxn(p, "g", "a", 0); q.TransactionalID = ""; return q }())
		if v < 5 {
			s.ask("the group", 3, s.addOffsets(p, "g"))
		}
		s.ask("another producer", v, s.commitTxn(p.other(), "g", "a", 0))
		s.ask("an older epoch", v, s.commitTxn(p.later(-1), "g", "a", 0))
		s.ask("an unknown topic", v, s.commitTxn(p, "g", "none", 0))
		s.ask("an unknown partition", v, s.commitTxn(p, "g", "a", 0, 5))
		s.ask("no partitions", v, s.commitTxn(p, "g", "a"))
		s.ask("no group", v, func() kmsg.Request { q := s.commitTxn(p, "g", "a", 0); q.Group = ""; return q }())
		if v >= 3 {
			s.ask("a member of no group", v, func() kmsg.Request {
				q := s.commitTxn(p, "h", "a", 0)
				q.MemberID, q.Generation = "m", 1
				return q
			}())
		}
		s.ask("two", v, s.commitTxn(p, "g", "a", 0, 1))
		s.stableOffsets("while it is open", "g", "a")
		s.ask("and unstable", 7, s.offsets(7, s.topic("g"), "a"))
		p = s.askEnd("commit", last, p, true)
		s.stableOffsets("committed", "g", "a")
		if v < 5 {
			s.ask("the group again", 3, s.addOffsets(p, "g"))
		}
		q := s.commitTxn(p, "g", "a", 0)
		q.Topics[0].Partitions[0].Offset = 99
		s.ask("to be aborted", v, q)
		old := p
		p = s.askEnd("abort", last, p, false)
		s.stableOffsets("aborted", "g", "a")
		s.ask("too late", v, s.commitTxn(old, "g", "a", 0))
		s.stableOffsets("after what came too late", "g", "a")
	}},
	{"records of transactions", 0, 3, 13, func(s *session, v int16) {
		s.create("a", 3)
		p := s.begun("x")
		s.txnReady("y")
		one := func(what string, p txnProducer, partition, sequence int32) {
			s.ask(what, v, s.produceTxn(v, p, "a", partition, sequence))
		}
		if v < 12 {
			one("outside of a transaction", p, 0, 0)
			s.ask("a partition", 3, s.add(p, "a", 0))
		}
		one("another transactional id", txnProducer{"y", p.id + 100_000_000, 0}, 0, 0)
		one("another producer", p.other(), 0, 0)
		one("an older epoch", p.later(-1), 0, 0)
		one("a newer epoch", p.later(1), 0, 0)
		one("the first", p, 0, 0)
		one("again", p, 0, 0)
		one("the second", p, 0, 1)
		one("an older epoch than what is there", p.later(-1), 0, 2)
		one("a gap", p, 0, 5)
		for sequence := int32(2); sequence < 8; sequence++ {
			one("number "+itoa(sequence), p, 0, sequence)
		}
		one("an old sequence", p, 0, 0)
		if v < 12 {
			one("another partition", p, 1, 0)
		}
		plain := s.produceTxn(v, p, "a", 0, 8)
		plain.Topics[0].Partitions[0].Records = batch{records: some(1), first: s.start, producer: p.id, epoch: p.epoch, sequence: 8}.encode()
		s.ask("a batch that is not transactional", v, plain)
		unnamed := s.produceTxn(v, p, "a", 2, 0)
		unnamed.TransactionID = nil
		s.ask("no transactional id", v, unnamed)
		if r, ok := s.ask("the producers", 0, describeProducers(s.topic("a"), 0, 1)).(*kmsg.DescribeProducersResponse); ok {
			for i := range r.Topics[0].Partitions {
				for j := range r.Topics[0].Partitions[i].ActiveProducers {
					r.Topics[0].Partitions[i].ActiveProducers[j].ProducerID = 1
				}
			}
		}
		s.readTxns("open", "a", 0)
		ends := int16(4)
		if v >= 12 {
			ends = 5
		}
		old := p
		p = s.askEnd("abort", ends, p, false)
		one("a late record", old, 0, 8)
		one("a late record in another partition", old, 1, 0)
		sequence := int32(8)
		if v >= 12 {
			sequence = 0
		} else {
			s.ask("a partition of the next", 3, s.add(p, "a", 0))
		}
		one("of the next transaction", p, 0, sequence)
		p = s.askEnd("commit", ends, p, true)
		s.readTxns("at the end", "a", 0)
		s.readTxns("at the end of the other", "a", 1)
		s.begun("x")
		s.ask("a fenced producer's record", v, s.produceTxn(v, p, "a", 0, sequence+1))
	}},
	{"describing transactions", 65, 0, 0, func(s *session, v int16) {
		s.create("b", 2)
		s.create("a", 2)
		s.coordinate(s.topic("g"))
		p := s.begun("x")
		s.txnReady("none")
		s.state("new", "x")
		q := s.add(p, "b", 1, 0)
		q.Topics = append(q.Topics, s.add(p, "a", 1).Topics[0])
		s.quiet(3, q)
		s.state("open", "x")
		s.state("unknown", "none")
		s.state("two, and one again", "x", "none", "x")
		s.ask("no id", v, &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{""}})
		s.ask("none", v, kmsg.NewPtrDescribeTransactionsRequest())
		s.askEnd("end", 3, p, true)
		s.state("over", "x")
	}},
	{"listing transactions", 66, 0, 2, func(s *session, v int16) {
		s.create("a", 1)
		open, over := s.begun("open"), s.begun("over")
		s.begun("new")
		s.quiet(3, s.add(open, "a", 0))
		s.quiet(3, s.add(over, "a", 0))
		s.quiet(3, s.end(over, false))
		s.over("over")
		time.Sleep(20 * time.Millisecond) // longer than the shortest of the durations below
		list := func(what string, change func(q *kmsg.ListTransactionsRequest)) {
			q := kmsg.NewPtrListTransactionsRequest()
			change(q)
			s.onlyMine(what, v, q)
		}
		list("all", func(q *kmsg.ListTransactionsRequest) {})
		list("a state", func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"Ongoing"} })
		list("two states", func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"Empty", "CompleteAbort"} })
		list("odd states", func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"ongoing", "Ongoing", "Tired", ""} })
		list("dead", func(q *kmsg.ListTransactionsRequest) { q.StateFilters = []string{"Dead", "PrepareEpochFence"} })
		list("a producer", func(q *kmsg.ListTransactionsRequest) { q.ProducerIDFilters = []int64{open.id} })
		list("producers", func(q *kmsg.ListTransactionsRequest) { q.ProducerIDFilters = []int64{over.id, -1, 1 << 60} })
		list("a state of a producer", func(q *kmsg.ListTransactionsRequest) {
			q.ProducerIDFilters, q.StateFilters = []int64{over.id}, []string{"Ongoing"}
		})
		if v >= 1 {
			for _, d := range []int64{0, 1, -1, -2, 3_600_000, math.MaxInt64} {
				list("for longer than "+itoa(int(d)), func(q *kmsg.ListTransactionsRequest) { q.DurationFilterMillis = d })
			}
		}
		if v >= 2 {
			for _, pattern := range []string{"", ".*", ".*e.*", "open", s.prefix + "open", s.prefix + "(open|new)", "(", "[a", "a{2,1}", `\d+`} {
				list("pattern "+strings.ReplaceAll(pattern, s.prefix, "~"), func(q *kmsg.ListTransactionsRequest) { q.TransactionalIDPattern = ptr(pattern) })
			}
		}
	}},
	{"features", 57, 0, 2, func(s *session, v int16) {
		update := func(what string, only bool, updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) {
			q := kmsg.NewPtrUpdateFeaturesRequest()
			q.TimeoutMillis, q.FeatureUpdates, q.ValidateOnly = 10_000, updates, only
			s.ask(what, v, q)
		}
		to := func(name string, level int16, kind int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
			return kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: name, MaxVersionLevel: level, UpgradeType: kind, AllowDowngrade: kind > 1}
		}
		const name = "transaction.version"
		defer s.restore()
		update("none", false)
		update("as it is", false, to(name, 2, 1))
		update("too high", false, to(name, 3, 1))
		update("negative", false, to(name, -1, 2))
		update("an unknown feature", false, to("flying", 1, 1))
		update("an unknown feature back", false, to("flying", 0, 1))
		update("no name", false, to("", 1, 1))
		update("a downgrade that is none", false, to(name, 1, 1))
		if v >= 1 {
			update("an unknown kind", false, to(name, 1, 0))
			update("another unknown kind", false, to(name, 1, 4))
			update("validated", true, to(name, 1, 2))
			update("the level is what it was", false, to(name, 2, 1))
			update("good and bad", false, to(name, 1, 2), to("flying", 1, 1))
			update("metadata back", true, to("metadata.version", 7, 2))
		}
		update("down", false, to(name, 1, 2))
		update("up again", false, to(name, 2, 1))
		update("higher, as a downgrade", false, to(name, 2, 2))
		if v >= 1 {
			update("unsafe", false, to(name, 0, 3))
			update("from nothing", false, to(name, 2, 1))
		}
	}},
}

// restore finalizes transaction.version as a new cluster does.
func (s *session) restore() {
	q := kmsg.NewPtrUpdateFeaturesRequest()
	q.TimeoutMillis = 10_000
	q.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "transaction.version", MaxVersionLevel: 2, UpgradeType: 1}}
	s.quiet(1, q)
}
