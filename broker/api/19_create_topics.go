package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// CreateTopics (19), v2-7. Answered by the controller; every broker forwards.
//
// Versions: 4 the broker's defaults for -1 (KIP-464) · 5 flexible, the new topic's settings (KIP-525) · 6 quotas · 7 topic ids.
// Needs: CREATE on Cluster or Topic; DESCRIBE_CONFIGS on Topic to see its settings.
// Differs from Kafka: min.insync.replicas has the source DEFAULT_CONFIG, as in DescribeConfigs.

func createTopics(s *Server, c *Call, q *kmsg.CreateTopicsRequest) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	resp := q.ResponseKind().(*kmsg.CreateTopicsResponse)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.ValidateOnly = q.Version, q.TimeoutMillis, q.ValidateOnly

	inCluster := s.mayCluster(c.Session, Create)
	shown := make(map[string]bool, len(q.Topics)) // whose settings the client may see
	seen := make(map[string]int, len(q.Topics))
	for i := range q.Topics {
		seen[q.Topics[i].Topic]++
	}
	var refused, duplicates []kmsg.CreateTopicsResponseTopic
	for i := range q.Topics {
		t := &q.Topics[i]
		switch n := seen[t.Topic]; {
		case n < 0: // answered already
		case n > 1:
			seen[t.Topic] = -1
			duplicates = append(duplicates, notCreated(t.Topic, protocol.InvalidRequest, "Duplicate topic name."))
		case t.Topic == metadataTopic:
			refused = append(refused, notCreated(t.Topic, protocol.InvalidRequest, "Creation of internal topic "+metadataTopic+" is prohibited."))
		case !inCluster && !s.mayTopic(c.Session, Create, t.Topic):
			refused = append(refused, notCreated(t.Topic, protocol.TopicAuthorizationFailed, "Authorization failed."))
		default:
			shown[t.Topic] = s.mayTopic(c.Session, DescribeConfigs, t.Topic)
			req.Topics = append(req.Topics, *t)
		}
	}
	refused = append(duplicates, refused...)
	if len(req.Topics) == 0 {
		resp.Topics = refused
		return resp, nil
	}
	cost := topicCost
	if q.Version >= 5 && len(req.Topics) <= controller.MaxRecordsPerUserOp { // each with its settings
		cost += createdSettingCost * maxSettings()[controller.TopicConfig]
	}
	if err := c.reserve(cost * len(req.Topics)); err != nil {
		return nil, err
	}
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.CreateTopicsResponse](s, timeout, req)
		if err != nil {
			code := s.codeOf(err)
			for i := range q.Topics { // as Kafka: one code for all, whatever else there is to say of some
				resp.Topics = append(resp.Topics, notCreated(q.Topics[i].Topic, code, ""))
			}
			return resp
		}
		for i := range got.Topics {
			resp.Topics = append(resp.Topics, created(got.Topics[i], shown))
		}
		resp.Topics = append(resp.Topics, refused...)
		return resp
	}), nil
}

// created is the controller's answer for one topic without what the client may not see.
func created(t kmsg.CreateTopicsResponseTopic, shown map[string]bool) kmsg.CreateTopicsResponseTopic {
	if t.ErrorCode == 0 && !shown[t.Topic] {
		t.Configs, t.NumPartitions, t.ReplicationFactor = nil, -1, -1
		t.ConfigErrorCode = int16(protocol.TopicAuthorizationFailed)
	}
	if t.Configs == nil {
		t.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // clients take null for "not asked"
	}
	return t
}

func notCreated(topic string, code protocol.Code, message string) kmsg.CreateTopicsResponseTopic {
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic, t.ErrorCode, t.ErrorMessage = topic, int16(code), text(message)
	t.NumPartitions, t.ReplicationFactor, t.Configs = -1, -1, []kmsg.CreateTopicsResponseTopicConfig{}
	return t
}
