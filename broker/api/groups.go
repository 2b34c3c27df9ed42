package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// Groups is the group coordinator as far as this broker is it: coordinator.Runtime.
type Groups interface {
	// Do runs an operation in a partition of __consumer_offsets and calls done once, maybe before it returns.
	Do(partition int32, op coordinator.Operation[*group.Machine], done coordinator.Done)
	// Partitions are those that this broker coordinates, loaded or not.
	Partitions() []int32
	// Wait returns when the partition is not loading any more, or with an error when ctx is done.
	Wait(ctx context.Context, partition int32) error
}

// offsetsTopic is where the state of groups is.
const offsetsTopic = "__consumer_offsets"

// groupPartition is the partition of __consumer_offsets that a group belongs to.
func (s *Server) groupPartition(id string) int32 {
	return keyPartition(id, s.coordinatorPartitions(offsetsTopic, "offsets.topic.num.partitions"))
}

// coordinatorPartitions is how many partitions a coordinator's topic has, or is going to have.
func (s *Server) coordinatorPartitions(topic, setting string) int32 {
	if t := s.Image().Topic(topic); t != nil {
		return int32(len(t.Partitions))
	}
	return int32(s.Config.Int(setting))
}

// keyPartition is Kafka's Utils.abs(key.hashCode()) % n: Java's hash goes over UTF-16.
func keyPartition(key string, n int32) int32 {
	var h int32
	for i := 0; i < len(key); {
		r, size := utf8.DecodeRuneInString(key[i:])
		i += size
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + (0xd800 + r>>10)
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + r
	}
	if h == -1<<31 {
		return 0
	}
	return max(h, -h) % n
}

// CoordinatorCode is what a client is told of an operation that no machine has answered (CoordinatorOperationExceptionHelper, and
// TransactionStateManager for what its appends say).
func (s *Server) CoordinatorCode(err error) protocol.Code {
	var code protocol.Code
	switch {
	case err == nil:
		return protocol.None
	case errors.Is(err, coordinator.ErrLoading):
		return protocol.CoordinatorLoadInProgress
	case errors.Is(err, coordinator.ErrNotCoordinator):
		return protocol.NotCoordinator
	case errors.Is(err, coordinator.ErrTimeout):
		return protocol.CoordinatorNotAvailable
	case errors.As(err, &code):
		switch code {
		case protocol.NotLeaderOrFollower, protocol.KafkaStorageError, protocol.FencedLeaderEpoch:
			return protocol.NotCoordinator
		case protocol.UnknownTopicOrPartition, protocol.NotEnoughReplicas, protocol.NotEnoughReplicasAfterAppend, protocol.RequestTimedOut:
			return protocol.CoordinatorNotAvailable
		case protocol.NetworkException:
			return protocol.CoordinatorLoadInProgress
		case protocol.MessageTooLarge, protocol.RecordListTooLarge:
			return protocol.UnknownServerError
		}
		return code
	}
	s.Log.Error("an operation of a coordinator failed", "error", err.Error())
	return protocol.UnknownServerError
}

// asking is a request that the coordinator answers, in one operation or in several.
type asking struct {
	mu       sync.Mutex
	left     int
	ready    chan struct{} // closed when nothing is left; nil: nobody waits yet
	outcomes []answerOf

	// For answers that are many times their request: what an outcome costs, or so, and what all of them have cost. Beyond MaxAnswer no
	// further operation is run.
	weigh func(response any) int
	spent atomic.Int64
}

// groupCost is what is taken ahead for each group that a request asks about. What a group costs only its machine knows.
const groupCost = 256 << 10

// newWeighed is asking about n groups with large answers.
func newWeighed(c *Call, n int, weigh func(response any) int) (*asking, error) {
	a := newAsking(n)
	a.weigh = weigh
	return a, c.reserve(min(n*groupCost, MaxAnswer))
}

// answerOf is the outcome of one operation: a code stands for what no machine has answered.
type answerOf struct {
	response any
	code     protocol.Code
}

func newAsking(n int) *asking { return &asking{left: n, outcomes: make([]answerOf, n)} }

// do runs the i-th operation, in the partition of a group.
func (a *asking) do(s *Server, i int, id string, op coordinator.Operation[*group.Machine]) {
	a.in(s, i, s.groupPartition(id), weighed(a, op))
}

// weighed keeps an operation from running when the answers of those before it are too large.
func weighed[M coordinator.Machine](a *asking, op coordinator.Operation[M]) coordinator.Operation[M] {
	if a.weigh == nil {
		return op
	}
	return func(m M, now int64, t coordinator.Token) coordinator.Effects {
		if a.spent.Load() > MaxAnswer {
			return coordinator.Effects{Replies: []coordinator.Reply{{To: t, Response: protocol.InvalidRequest}}}
		}
		return op(m, now, t)
	}
}

// in runs the i-th operation in a partition.
func (a *asking) in(s *Server, i int, partition int32, op coordinator.Operation[*group.Machine]) {
	s.Groups.Do(partition, op, func(response any, err error) { a.done(i, response, s.CoordinatorCode(err)) })
}

// done takes the outcome of the i-th operation.
func (a *asking) done(i int, response any, code protocol.Code) {
	if refused, ok := response.(protocol.Code); ok && a.weigh != nil {
		response, code = nil, refused
	} else if response != nil && a.weigh != nil {
		a.spent.Add(int64(a.weigh(response)))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcomes[i] = answerOf{response, code}
	if a.left--; a.left == 0 && a.ready != nil {
		close(a.ready)
	}
}

// then answers with what build makes of the outcomes: at once, where all are there, else when they are.
func (a *asking) then(build func(outcomes []answerOf) Response) Response {
	a.mu.Lock()
	if a.left == 0 {
		a.mu.Unlock()
		return build(a.outcomes)
	}
	a.ready = make(chan struct{})
	a.mu.Unlock()
	return &Pending{Wait: func(ctx context.Context) (Response, error) {
		select {
		case <-a.ready:
			return build(a.outcomes), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// ask runs one operation on a group. Its answer is the machine's, or what failed makes of a code.
func (s *Server) ask(id string, op coordinator.Operation[*group.Machine], failed func(code protocol.Code) Response) Response {
	a := newAsking(1)
	a.do(s, 0, id, op)
	return a.then(func(outcomes []answerOf) Response {
		if o := &outcomes[0]; o.code == protocol.None {
			return o.response
		}
		return failed(outcomes[0].code)
	})
}

// client is who sent a request, as members of groups are described.
func client(s *Server, c *Call) group.Client {
	session := c.Session // the machine may ask later, and c may be another request then
	return group.Client{
		ID: string(c.Header.ClientID), Host: "/" + session.RemoteHost,
		MayDescribe: func(topic string) bool { return s.mayTopic(session, Describe, topic) },
	}
}

// mayGroup says whether the session may do op to a group.
func (s *Server) mayGroup(who *Session, op Operation, id string) bool {
	return s.Authorizer.Authorize(who, op, GroupResource, id)
}
