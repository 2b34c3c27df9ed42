package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// ElectLeaders (43), v0-2. Answered by the controller; every broker forwards.
//
// Versions: 1 election type, a code for all (KIP-460) · 2 flexible.
// Needs: ALTER on Cluster.
// Differs from Kafka: nothing known.

func electLeaders(s *Server, c *Call, q *kmsg.ElectLeadersRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.ElectLeadersResponse)
	refuse := func(q *kmsg.ElectLeadersRequest, code protocol.Code) Response {
		resp.ErrorCode = int16(code)
		for i := range q.Topics {
			t := kmsg.NewElectLeadersResponseTopic()
			t.Topic = q.Topics[i].Topic
			for _, id := range q.Topics[i].Partitions {
				p := kmsg.NewElectLeadersResponseTopicPartition()
				p.Partition, p.ErrorCode, p.ErrorMessage = id, int16(code), text(code.Message())
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	}
	if !s.mayCluster(c.Session, Alter) {
		return refuse(q, protocol.ClusterAuthorizationFailed), nil
	}
	partitions := 0
	for i := range q.Topics {
		partitions += 1 + len(q.Topics[i].Partitions)
	}
	if err := c.reserve(partitions * partitionCost); err != nil {
		return nil, err
	}
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.ElectLeadersResponse](s, timeout, q)
		if err != nil {
			return refuse(q, s.codeOf(err))
		}
		return got
	}), nil
}
