package api

import (
	"context"
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
//   - the first request creates __consumer_offsets and is answered when that is there, where Kafka answers COORDINATOR_NOT_AVAILABLE and
//     lets the client ask again; and one that finds the coordinator loading on this broker waits up to half a second for it
//   - there are no transactions and no share groups yet: COORDINATOR_NOT_AVAILABLE and INVALID_REQUEST

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
			resp.Coordinators = append(resp.Coordinators, s.coordinatorOf(c, q.CoordinatorType, key, q.Version))
		}
		if q.Version < 4 {
			oldCoordinator(resp)
		}
		return resp
	}
	if q.CoordinatorType != groupCoordinator || len(keys) == 0 || !s.mayAnyGroup(c.Session, keys) {
		return answer(), nil
	}
	if t := s.Image().Topic(offsetsTopic); t != nil && !s.loadingHere(t, keys) {
		return answer(), nil
	}
	return later(s.Log, func() Response {
		if s.Image().Topic(offsetsTopic) == nil {
			s.created.create(s, []string{offsetsTopic})
		}
		s.waitLoaded(keys)
		return answer()
	}), nil
}

func (s *Server) mayAnyGroup(who *Session, keys []string) bool {
	for _, key := range keys {
		if s.mayGroup(who, Describe, key) {
			return true
		}
	}
	return false
}

// coordinatorOf finds the coordinator of one key.
func (s *Server) coordinatorOf(c *Call, kind int8, key string, version int16) kmsg.FindCoordinatorResponseCoordinator {
	r := kmsg.NewFindCoordinatorResponseCoordinator()
	r.Key, r.NodeID, r.Port, r.ErrorMessage = key, -1, -1, new(string)
	switch {
	case kind == groupCoordinator && !s.mayGroup(c.Session, Describe, key):
		r.ErrorCode = int16(protocol.GroupAuthorizationFailed)
	case kind == transactionCoordinator && !s.Authorizer.Authorize(c.Session, Describe, TransactionalIDResource, key):
		r.ErrorCode = int16(protocol.TransactionalIDAuthorizationFailed)
	case kind == transactionCoordinator:
		r.ErrorCode = int16(protocol.CoordinatorNotAvailable)
	case kind == shareCoordinator:
		r.ErrorCode = int16(protocol.InvalidRequest)
	case kind != groupCoordinator:
		r.ErrorCode, r.ErrorMessage = int16(protocol.InvalidRequest), text(protocol.InvalidRequest.Message())
	default:
		img := s.Image()
		p := img.Topic(offsetsTopic).Partition(s.groupPartition(key))
		if p == nil {
			r.ErrorCode = int16(protocol.CoordinatorNotAvailable)
			break
		}
		leader := img.Broker(p.Leader)
		if leader == nil || leader.Fenced {
			r.ErrorCode = int16(protocol.CoordinatorNotAvailable)
		} else if e, ok := leader.Endpoint(c.Session.ListenerName); ok {
			r.NodeID, r.Host, r.Port = leader.ID, e.Host, e.Port
		} else {
			r.ErrorCode = int16(protocol.CoordinatorNotAvailable)
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

// loadingHere says whether this broker coordinates one of the groups and may not have loaded it.
func (s *Server) loadingHere(t *controller.Topic, keys []string) bool {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, key := range keys {
		if p := s.groupPartition(key); t.Partition(p).Leader == s.NodeID && s.Groups.Wait(gone, p) != nil {
			return true
		}
	}
	return false
}

// waitLoaded waits until this broker has loaded what it coordinates of the groups.
func (s *Server) waitLoaded(keys []string) {
	ctx, cancel := context.WithTimeout(context.Background(), coordinatorWait)
	defer cancel()
	for _, key := range keys {
		if s.Groups.Wait(ctx, s.groupPartition(key)) != nil {
			return
		}
	}
}
