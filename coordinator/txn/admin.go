package txn

import (
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// DescribeTransaction answers with a *kmsg.DescribeTransactionsResponseTransactionState. The partitions are those whose markers are still
// to be written.
func (m *Machine) DescribeTransaction(now int64, to coordinator.Token, id string) coordinator.Effects {
	s := m.begin(now)
	out := kmsg.NewDescribeTransactionsResponseTransactionState()
	out.TransactionalID = id
	s.reply(to, &out)
	t := m.txns[id]
	switch {
	case id == "":
		out.ErrorCode = int16(protocol.InvalidRequest)
		return s.e
	case t == nil:
		out.ErrorCode = int16(protocol.TransactionalIDNotFound)
		return s.e
	}
	out.State, out.TimeoutMillis, out.StartTimestamp = t.state.String(), t.timeoutMs, t.start
	out.ProducerID, out.ProducerEpoch = t.producerID, t.epoch
	for i, p := range t.parts {
		if t.state.preparing() && t.marks[i].done {
			continue
		}
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != p.topic {
			of := i
			for of < len(t.parts) && t.parts[of].topic == p.topic {
				of++
			}
			out.Topics = append(out.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: p.topic, Partitions: make([]int32, 0, of-i)})
		}
		topic := &out.Topics[len(out.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.n)
	}
	return s.e
}

// Filter is what ListTransactions looks for, in all partitions of the topic.
type Filter struct {
	producers map[int64]bool // empty: all
	any       bool           // state
	states    [len(stateNames)]bool
	longer    int64 // than this, in milliseconds; -1: all
	pattern   *regexp.Regexp

	// Unknown is the names of states that there are not.
	Unknown []string
}

// NewFilter reads a request. The code is INVALID_REGULAR_EXPRESSION, or none. The pattern is RE2's, as in Kafka.
func NewFilter(r *kmsg.ListTransactionsRequest) (*Filter, protocol.Code) {
	f := &Filter{any: len(r.StateFilters) == 0, longer: -1}
	unknown := make(map[string]bool)
	for _, name := range r.StateFilters {
		if i := slices.Index(stateNames[:], name); i >= 0 {
			f.states[i] = true
		} else if !unknown[name] {
			unknown[name] = true
			f.Unknown = append(f.Unknown, name)
		}
	}
	if len(r.ProducerIDFilters) > 0 {
		f.producers = make(map[int64]bool, len(r.ProducerIDFilters))
		for _, id := range r.ProducerIDFilters {
			f.producers[id] = true
		}
	}
	if r.Version >= 1 {
		f.longer = r.DurationFilterMillis
	}
	if p := r.TransactionalIDPattern; r.Version >= 2 && p != nil && *p != "" {
		// The pattern alone first: what is no pattern must not become one by the brackets around it.
		if _, err := regexp.Compile(*p); err != nil {
			return nil, protocol.InvalidRegularExpression
		}
		var err error
		if f.pattern, err = regexp.Compile(`\A(?:` + *p + `)\z`); err != nil {
			return nil, protocol.InvalidRegularExpression
		}
	}
	return f, protocol.None
}

func (f *Filter) match(t *txn, now int64) bool {
	switch {
	case len(f.producers) > 0 && !f.producers[t.producerID]:
		return false
	case !f.any && !f.states[t.state]:
		return false
	case f.longer >= 0 && now-t.start <= f.longer: // without a transaction the start is -1, as in Kafka
		return false
	}
	return f.pattern == nil || f.pattern.MatchString(t.id)
}

// ListTransactions answers with a []kmsg.ListTransactionsResponseTransactionState, sorted by transactional id.
func (m *Machine) ListTransactions(now int64, to coordinator.Token, f *Filter) coordinator.Effects {
	s := m.begin(now)
	list := []kmsg.ListTransactionsResponseTransactionState{}
	for _, id := range m.sorted(func(t *txn) bool { return f.match(t, now) }) {
		t := m.txns[id]
		x := kmsg.NewListTransactionsResponseTransactionState()
		x.TransactionalID, x.ProducerID, x.TransactionState = t.id, t.producerID, t.state.String()
		list = append(list, x)
	}
	s.reply(to, list)
	return s.e
}
