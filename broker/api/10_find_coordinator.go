package api

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// FindCoordinator (10), v0-6. Answered by any broker.
//
// Versions: 1 transactions, error message · 3 flexible · 4 many keys (KIP-699) · 5 TRANSACTION_ABORTABLE · 6 share groups (KIP-932).
// Needs: DESCRIBE on Group, or on TransactionalId.
// Differs from Kafka:
//   - the first request creates the coordinator's topic and is answered when that is there, where Kafka answers COORDINATOR_NOT_AVAILABLE
//     and lets the client ask again; and one that finds the coordinator loading on this broker waits up to half a second for it
//   - there are no share groups yet: INVALID_REQUEST

// coordinatorWait is how long an answer waits for this broker to load what the client is going to ask for.
const coordinatorWait = 500 * time.Millisecond

// The types of coordinators (org.apache.kafka.common.requests.FindCoordinatorRequest.CoordinatorType).
const (
	groupCoordinator       = 0
	transactionCoordinator = 1
	shareCoordinator       = 2
)

func findCoordinator(s *Server, c *Call, q *kmsg.FindCoordinatorRequest) (Response, error) {
	keys := q.CoordinatorKeys
	if q.Version < 4 {
		keys = []string{q.CoordinatorKey}
	}
	resp := q.ResponseKind().(*kmsg.FindCoordinatorResponse)
	answer := func() Response {
		for _, key := range keys {
			resp.Coordinators = append(resp.Coordinators, s.coordinatorOf(c, q.CoordinatorType, key))
		}
		if q.Version < 4 {
			oldCoordinator(resp)
		}
		return resp
	}
	of := coordinatorsOf(s, q.CoordinatorType)
	if of == nil || !slices.ContainsFunc(keys, func(key string) bool { return of.may(c.Session, key) }) {
		return answer(), nil
	}
	if t := s.Image().Topic(of.topic); t != nil && !of.loadingHere(s, t, keys) {
		return answer(), nil
	}
	return later(s.Log, func() Response {
		if s.Image().Topic(of.topic) == nil {
			s.created.create(s, []string{of.topic})
		}
		of.waitLoaded(keys)
		return answer()
	}), nil
}

// coordinators are those of one type.
type coordinators struct {
	topic     string // where their state is
	partition func(key string) int32
	may       func(who *Session, key string) bool
	denied    protocol.Code
	runtime   interface {
		Wait(ctx context.Context, partition int32) error
	}
}

// coordinatorsOf returns what there is to know of a type of coordinators, nil for one that there is not.
func coordinatorsOf(s *Server, kind int8) *coordinators {
	switch kind {
	case groupCoordinator:
		may := func(who *Session, key string) bool { return s.mayGroup(who, Describe, key) }
		return &coordinators{offsetsTopic, s.groupPartition, may, protocol.GroupAuthorizationFailed, s.Groups}
	case transactionCoordinator:
		may := func(who *Session, key string) bool { return mayTxn(s, who, Describe, key) }
		return &coordinators{txnTopic, s.TxnPartition, may, protocol.TransactionalIDAuthorizationFailed, s.Txns}
	}
	return nil
}

// coordinatorOf finds the coordinator of one key.
func (s *Server) coordinatorOf(c *Call, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	r := kmsg.NewFindCoordinatorResponseCoordinator()
	r.Key, r.NodeID, r.Port, r.ErrorMessage = key, -1, -1, new(string)
	switch of := coordinatorsOf(s, kind); {
	case kind == shareCoordinator:
		r.ErrorCode = int16(protocol.InvalidRequest)
	case of == nil:
		r.ErrorCode, r.ErrorMessage = int16(protocol.InvalidRequest), text(protocol.InvalidRequest.Message())
	case !of.may(c.Session, key):
		r.ErrorCode = int16(of.denied)
	default:
		r.ErrorCode = int16(protocol.CoordinatorNotAvailable)
		img := s.Image()
		p := img.Topic(of.topic).Partition(of.partition(key))
		if p == nil {
			break
		}
		leader := img.Broker(p.Leader)
		if leader == nil || leader.Fenced {
			break
		}
		if e, ok := leader.Endpoint(c.Session.ListenerName); ok {
			r.ErrorCode, r.NodeID, r.Host, r.Port = 0, leader.ID, e.Host, e.Port
		}
	}
	return r
}

// oldCoordinator moves the one coordinator to where versions before 4 have it.
func oldCoordinator(resp *kmsg.FindCoordinatorResponse) {
	r := &resp.Coordinators[0]
	resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = r.ErrorCode, r.NodeID, r.Host, r.Port
	message := "NONE" // so Kafka has it
	if r.ErrorCode != 0 {
		message = protocol.Code(r.ErrorCode).Message()
	}
	resp.ErrorMessage, resp.Coordinators = &message, nil
}

// loadingHere says whether this broker coordinates one of the keys and may not have loaded it.
func (of *coordinators) loadingHere(s *Server, t *controller.Topic, keys []string) bool {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, key := range keys {
		if p := of.partition(key); t.Partition(p).Leader == s.NodeID && of.runtime.Wait(gone, p) != nil {
			return true
		}
	}
	return false
}

// waitLoaded waits until this broker has loaded what it coordinates of the keys.
func (of *coordinators) waitLoaded(keys []string) {
	ctx, cancel := context.WithTimeout(context.Background(), coordinatorWait)
	defer cancel()
	for _, key := range keys {
		if of.runtime.Wait(ctx, of.partition(key)) != nil {
			return
		}
	}
}
