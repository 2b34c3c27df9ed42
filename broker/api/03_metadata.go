package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// Metadata (3), v0-13. Answered by any broker.
//
// Versions: 1 null for all topics, racks, controller · 2 cluster id · 4 auto-creation can be declined · 5 offline replicas · 6 a
// listener that the leader lacks · 7 leader epochs · 8 authorized operations · 9 flexible · 10 topic ids · 12 topics by id (KIP-516) ·
// 13 an error for the whole request (KIP-1102).
// Needs: DESCRIBE on Topic; CREATE on Cluster or Topic to create one; DESCRIBE on Cluster for the operations on it.
// Differs from Kafka:
//   - a topic that is created by this request is in the response as it is, where Kafka answers UNKNOWN_TOPIC_OR_PARTITION and lets
//     the client ask again
//   - topics come in the order of the request, all topics in the order of their names

func metadata(s *Server, c *Call, q *kmsg.MetadataRequest) (Response, error) {
	if code := metadataProblem(q); code != protocol.None {
		return metadataError(q, code), nil
	}
	w := newMetadataWork(s, c, q)
	if err := c.reserve(w.cost()); err != nil {
		return nil, err
	}
	if len(w.create) == 0 {
		return w.response(), nil
	}
	q, err := detach(q) // the work outlives the handler now
	if err != nil {
		return nil, err
	}
	w = newMetadataWork(s, c, q)
	return later(s.Log, func() Response {
		s.created.create(s, w.create)
		w.img = s.Image()
		return w.response()
	}), nil
}

// metadataProblem finds what makes the whole request invalid.
func metadataProblem(q *kmsg.MetadataRequest) protocol.Code {
	byID, nameless := false, false
	for i := range q.Topics {
		t := &q.Topics[i]
		if q.Version < 12 && (t.Topic == nil || t.TopicID != [16]byte{}) {
			return protocol.InvalidRequest
		}
		byID = byID || t.TopicID != [16]byte{}
		nameless = nameless || t.Topic == nil
	}
	if nameless && !byID {
		return protocol.UnknownServerError // neither name nor id; Kafka fails on it with this code
	}
	return protocol.None
}

// metadataError answers every topic, and from version 13 on the whole, with one code.
func metadataError(q *kmsg.MetadataRequest, code protocol.Code) Response {
	resp := q.ResponseKind().(*kmsg.MetadataResponse)
	resp.ControllerID, resp.ErrorCode = -1, int16(code)
	for i := range q.Topics {
		t := kmsg.NewMetadataResponseTopic()
		name := ""
		if q.Topics[i].Topic != nil {
			name = *q.Topics[i].Topic
		}
		t.ErrorCode, t.Topic, t.TopicID = int16(code), &name, q.Topics[i].TopicID
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// metadataWork is a request, authorized and without repetitions. Its strings are the body's.
type metadataWork struct {
	s          *Server
	who        *Session
	img        *controller.Image
	resp       *kmsg.MetadataResponse
	all        bool
	topicOps   bool
	names      []string // may be described
	create     []string // of those, the ones to create first
	unknownIDs [][16]byte
	denied     []kmsg.MetadataResponseTopic
}

func newMetadataWork(s *Server, c *Call, q *kmsg.MetadataRequest) *metadataWork {
	w := &metadataWork{
		s: s, who: c.Session, img: s.Image(), resp: q.ResponseKind().(*kmsg.MetadataResponse),
		all:      q.Topics == nil || q.Version == 0 && len(q.Topics) == 0,
		topicOps: q.Version >= 8 && q.IncludeTopicAuthorizedOperations,
	}
	w.resp.AuthorizedOperations = unknownOperations
	if q.Version >= 8 && q.Version <= 10 && q.IncludeClusterAuthorizedOperations {
		w.resp.AuthorizedOperations = 0
		if s.mayCluster(c.Session, Describe) {
			w.resp.AuthorizedOperations = s.authorizedOperations(c.Session, ClusterResource, ClusterName)
		}
	}
	if w.all {
		return w
	}
	if !w.byID(q) {
		w.byName(q)
	}
	// Versions 0 to 3 have no field to decline it.
	if (q.AllowAutoTopicCreation || q.Version < 4) && s.autoCreate() {
		w.creations()
	}
	return w
}

// byID resolves topic ids. It returns false where the request has none. Names beside ids are ignored, as in Kafka.
func (w *metadataWork) byID(q *kmsg.MetadataRequest) bool {
	seen := make(map[[16]byte]bool, len(q.Topics))
	for i := range q.Topics {
		id := q.Topics[i].TopicID
		if id == [16]byte{} || seen[id] {
			continue
		}
		seen[id] = true
		t := w.img.TopicByID(id)
		switch {
		case t == nil:
			w.unknownIDs = append(w.unknownIDs, id)
		case w.s.mayTopic(w.who, Describe, t.Name):
			w.names = append(w.names, t.Name)
		default: // ids are no secret, names are
			w.deny(nil, id, false)
		}
	}
	return len(seen) > 0
}

func (w *metadataWork) byName(q *kmsg.MetadataRequest) {
	seen := make(map[string]bool, len(q.Topics))
	for i := range q.Topics {
		name := *q.Topics[i].Topic
		if seen[name] {
			continue
		}
		seen[name] = true
		if w.s.mayTopic(w.who, Describe, name) {
			w.names = append(w.names, name)
		} else {
			w.deny(&name, [16]byte{}, false)
		}
	}
}

// creations finds the topics to create and takes out those that the client may not create.
func (w *metadataWork) creations() {
	inCluster := w.s.mayCluster(w.who, Create)
	kept := w.names[:0]
	for _, name := range w.names {
		if w.img.Topic(name) == nil {
			if !inCluster && !w.s.mayTopic(w.who, Create, name) {
				w.deny(&name, [16]byte{}, isInternal(name))
				continue
			}
			if topicNameProblem(name) == "" {
				w.create = append(w.create, name)
			}
		}
		kept = append(kept, name)
	}
	w.names = kept
}

func (w *metadataWork) deny(name *string, id [16]byte, internal bool) {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode, t.Topic, t.TopicID, t.IsInternal = int16(protocol.TopicAuthorizationFailed), name, id, internal
	w.denied = append(w.denied, t)
}
