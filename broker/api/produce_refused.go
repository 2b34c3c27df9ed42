package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/record"
)

// refusesAll says why the request as a whole is refused, whatever its topics: records that Kafka cannot even look at, or that may not
// be part of a transaction (RequestUtils.hasTransactionalRecords).
func (s *Server) refusesAll(c *Call, q *kmsg.ProduceRequest) (protocol.Code, string) {
	transactional, err := hasTransactional(q)
	switch {
	case err != nil && err.Code == protocol.UnknownServerError:
		return err.Code, ""
	case err != nil:
		return err.Code, err.Detail()
	case transactional && (q.TransactionID == nil || !s.Authorizer.Authorize(c.Session, Write, TransactionalIDResource, *q.TransactionID)):
		return protocol.TransactionalIDAuthorizationFailed, ""
	}
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			if err := record.CheckSet(q.Topics[i].Partitions[j].Records, c.Header.Version); err != nil {
				return err.Code, ""
			}
		}
	}
	return protocol.None, ""
}

// hasTransactional says whether any partition's records begin with a transactional batch.
func hasTransactional(q *kmsg.ProduceRequest) (bool, *record.Error) {
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			if t, err := record.Transactional(q.Topics[i].Partitions[j].Records); t || err != nil {
				return t, err
			}
		}
	}
	return false, nil
}
