package proxy

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// plan says what becomes of a request.
type plan struct {
	parts   []part
	resp    kmsg.Response       // it is answered here
	learn   func(kmsg.Response) // of the answer
	whole   bool                // the answer has to be decoded
	changed bool                // the request is not what came
}

// part is a request for one broker, -1 any.
type part struct {
	broker int32
	req    kmsg.Request
}

func to(broker int32, req kmsg.Request) plan { return plan{parts: []part{{broker, req}}} }

// lists are what the requests for several groups or transactions are split by.
var lists = map[int16]string{9: "Groups", 15: "Groups", 42: "Groups", 65: "TransactionalIDs", 69: "Groups", 77: "GroupIDs", 89: "Groups", 90: "Groups"}

// plan finds the brokers for a request.
func (r *router) plan(req kmsg.Request) (plan, error) {
	switch q := req.(type) {
	case *kmsg.ApiVersionsRequest: // the node that the client means is no more than a name here
		r.node = q.NodeID
		if q.Version < 5 {
			r.node = -1
		}
		q.ClusterID, q.NodeID = nil, -1
		p := to(-1, req)
		p.whole, p.changed = true, true
		return p, nil
	case *kmsg.MetadataRequest:
		p := to(-1, req)
		p.whole, p.learn = true, func(resp kmsg.Response) { r.where().metadata(resp.(*kmsg.MetadataResponse)) }
		return p, nil
	case *kmsg.FindCoordinatorRequest:
		p := to(-1, req)
		p.whole, p.learn = true, func(resp kmsg.Response) {
			r.where().coordinators(q.CoordinatorType, q.CoordinatorKey, resp.(*kmsg.FindCoordinatorResponse))
		}
		return p, nil
	case *kmsg.SASLHandshakeRequest, *kmsg.SASLAuthenticateRequest: // there is not one broker to be authenticated by
		return plan{resp: filter.Refusal(req, protocol.UnsupportedSaslMechanism, "SASL does not go through a proxy with one address.")}, nil
	case *kmsg.FetchRequest:
		return r.planFetch(q)
	case *kmsg.TxnOffsetCommitRequest:
		return r.toCoordinator(req, 0, q.Group)
	case *kmsg.InitProducerIDRequest:
		if q.TransactionalID == nil {
			return to(-1, req), nil
		}
	case *kmsg.DescribeConfigsRequest, *kmsg.AlterConfigsRequest, *kmsg.IncrementalAlterConfigsRequest:
		return r.planConfigs(req)
	}
	api, _ := protocol.Lookup(req.Key())
	switch api.Answers {
	case protocol.PartitionLeader:
		return r.toLeaders(req)
	case protocol.GroupCoordinator, protocol.TxnCoordinator:
		return r.planCoordinators(req, api)
	case protocol.ThisBroker:
		return r.toThis(req)
	case protocol.Controller:
		id, err := r.controller()
		p := to(id, req)
		_, p.whole = rewritings[req.Key()]
		return p, err
	}
	p := to(-1, req)
	_, p.whole = rewritings[req.Key()]
	return p, nil
}

func (r *router) where() *whereabouts { return r.c.l.c.where }

// planFetch sends a fetch without a session: a client that is given none sends all its partitions each time, so that what one broker is asked
// for never depends on what another was.
func (r *router) planFetch(q *kmsg.FetchRequest) (plan, error) {
	if q.SessionID != 0 {
		resp := q.ResponseKind().(*kmsg.FetchResponse)
		resp.ErrorCode = int16(protocol.FetchSessionIDNotFound)
		return plan{resp: resp}, nil
	}
	q.SessionEpoch, q.ForgottenTopics = -1, nil
	p, err := r.toLeaders(q)
	p.changed = true
	return p, err
}

// toLeaders splits by the leaders of partitions.
func (r *router) toLeaders(req kmsg.Request) (plan, error) {
	if err := r.locate(req); err != nil {
		return plan{}, err
	}
	w := r.where()
	leader := func(topic string, id [16]byte, partition int32) int32 {
		l, _ := w.leader(topic, id, partition)
		if l < 0 || r.c.l.c.known(l) == nil {
			return -1 // any broker knows what to say of a partition that has none
		}
		return l
	}
	if one, ok := r.sameLeader(req, leader); ok {
		return to(one, req), nil
	}
	return r.split(splitPartitions(req, leader)), nil
}

// split is a plan of several parts, in the order of the brokers.
func (r *router) split(parts map[int32]kmsg.Request) plan {
	var p plan
	for id, req := range parts {
		p.parts = append(p.parts, part{id, req})
	}
	slices.SortFunc(p.parts, func(a, b part) int { return int(a.broker) - int(b.broker) })
	return p
}

// sameLeader says whether all partitions have one leader. A request without any goes to the broker that the client means.
func (r *router) sameLeader(req kmsg.Request, leader func(string, [16]byte, int32) int32) (int32, bool) {
	first, one, found := r.this(), true, false
	see := func(topic string, id [16]byte, partition int32) bool {
		l := leader(topic, id, partition)
		if !found {
			first, found = l, true
		}
		one = one && l == first
		return one
	}
	switch q := req.(type) {
	case *kmsg.ProduceRequest:
		for i := range q.Topics {
			for j := range q.Topics[i].Partitions {
				if !see(q.Topics[i].Topic, q.Topics[i].TopicID, q.Topics[i].Partitions[j].Partition) {
					return 0, false
				}
			}
		}
	case *kmsg.FetchRequest:
		for i := range q.Topics {
			for j := range q.Topics[i].Partitions {
				if !see(q.Topics[i].Topic, q.Topics[i].TopicID, q.Topics[i].Partitions[j].Partition) {
					return 0, false
				}
			}
		}
	default:
		eachPartition(req, see)
	}
	return first, one
}

// eachPartition calls fn for the partitions of a request until it is false.
func eachPartition(req kmsg.Request, fn func(topic string, id [16]byte, partition int32) bool) {
	topics := reflect.ValueOf(req).Elem().FieldByName("Topics")
	if !topics.IsValid() {
		return
	}
	for i := range topics.Len() {
		t := topics.Index(i)
		name, id := topicOf(t)
		partitions := t.FieldByName("Partitions")
		for j := range partitions.Len() {
			if !fn(name, id, partitionOf(partitions.Index(j))) {
				return
			}
		}
	}
}

// locate asks for the leaders of topics that were not heard of.
func (r *router) locate(req kmsg.Request) error {
	names, ids := map[string]bool{}, map[[16]byte]bool{}
	eachPartition(req, func(topic string, id [16]byte, partition int32) bool {
		if _, known := r.where().leader(topic, id, partition); !known {
			if topic != "" {
				names[topic] = true
			} else {
				ids[id] = true
			}
		}
		return true
	})
	ask := func(version int16, topics []kmsg.MetadataRequestTopic) error {
		if len(topics) == 0 {
			return nil
		}
		_, err := r.askMetadata(version, topics)
		return err
	}
	var byName, byID []kmsg.MetadataRequestTopic
	for name := range names {
		byName = append(byName, kmsg.MetadataRequestTopic{Topic: &name})
	}
	for id := range ids {
		byID = append(byID, kmsg.MetadataRequestTopic{TopicID: id})
	}
	if err := ask(4, byName); err != nil {
		return err
	}
	return ask(12, byID)
}

// askMetadata learns of topics, and returns the brokers that there are now.
func (r *router) askMetadata(version int16, topics []kmsg.MetadataRequestTopic) ([]int32, error) {
	q := kmsg.NewPtrMetadataRequest()
	q.Version, q.Topics = version, topics
	if topics == nil {
		q.Topics = []kmsg.MetadataRequestTopic{}
	}
	resp, err := r.ask(q)
	if err != nil {
		return nil, err
	}
	var all []int32
	m := resp.(*kmsg.MetadataResponse)
	r.where().metadata(m)
	for _, b := range m.Brokers {
		if _, err := r.c.l.c.learn(b.NodeID, b.Host, b.Port); err != nil {
			r.c.l.c.once(fmt.Sprint("offer ", b.NodeID), "a broker cannot be used", "broker", b.NodeID, "error", err.Error())
			continue
		}
		all = append(all, b.NodeID)
	}
	return all, nil
}

// controller is where to send what a controller decides.
func (r *router) controller() (int32, error) {
	w := r.where()
	get := func() int32 {
		w.mu.RLock()
		defer w.mu.RUnlock()
		return w.controller
	}
	id := get()
	if id < 0 || r.c.l.c.known(id) == nil {
		if _, err := r.askMetadata(4, nil); err != nil {
			return -1, err
		}
		if id = get(); id < 0 || r.c.l.c.known(id) == nil {
			return -1, nil
		}
	}
	return id, nil
}

// this is the broker that the client means, -1 where it did not say.
func (r *router) this() int32 {
	if r.node >= 0 && r.c.l.c.known(r.node) != nil {
		return r.node
	}
	return -1
}

// toThis asks the broker that the client means, or all that there are. Who was heard of before may have left.
func (r *router) toThis(req kmsg.Request) (plan, error) {
	if id := r.this(); id >= 0 {
		return to(id, req), nil
	}
	all, err := r.askMetadata(4, nil)
	if err != nil || len(all) == 0 {
		return to(-1, req), err
	}
	var p plan
	for _, id := range all {
		p.parts = append(p.parts, part{id, req})
	}
	return p, nil
}

// planCoordinators splits by the coordinators of what is in a list, or sends to the one of the whole.
func (r *router) planCoordinators(req kmsg.Request, api protocol.API) (plan, error) {
	var keyType int8
	if api.Answers == protocol.TxnCoordinator {
		keyType = 1
	}
	v := reflect.ValueOf(req).Elem()
	list, ok := lists[api.Key]
	if api.Key == 24 && req.GetVersion() >= 4 {
		list, ok = "Transactions", true
	}
	if !ok || api.Key == 9 && req.GetVersion() < 8 {
		for _, name := range []string{"TransactionalID", "Group", "GroupID"} {
			if f := v.FieldByName(name); f.IsValid() {
				return r.toCoordinator(req, keyType, text(f))
			}
		}
		return to(-1, req), nil
	}
	var failed error
	parts := splitList(req, list, func(e reflect.Value) int32 {
		id, err := r.coordinator(keyType, text(e))
		if err != nil {
			failed = err
		}
		return id
	})
	if failed != nil {
		return plan{}, failed
	}
	if len(parts) < 2 {
		for id := range parts {
			return to(id, req), nil
		}
		return to(-1, req), nil
	}
	return r.split(parts), nil
}

// text is the name in a value: a string, or the first field of a structure.
func text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return text(v.Elem())
	case reflect.Struct:
		for _, name := range []string{"TransactionalID", "Group", "GroupID"} {
			if f := v.FieldByName(name); f.IsValid() {
				return text(f)
			}
		}
		return ""
	}
	return v.String()
}

func (r *router) toCoordinator(req kmsg.Request, keyType int8, key string) (plan, error) {
	id, err := r.coordinator(keyType, key)
	return to(id, req), err
}

// coordinator finds the coordinator of a group or transactional id; -1 where there is none, of which any broker knows what to say.
func (r *router) coordinator(keyType int8, key string) (int32, error) {
	w := r.where()
	if id, ok := w.coordinator(keyType, key); ok && r.c.l.c.known(id) != nil {
		return id, nil
	}
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.Version, q.CoordinatorType, q.CoordinatorKey = 1, keyType, key
	resp, err := r.ask(q)
	if err != nil {
		return -1, err
	}
	f := resp.(*kmsg.FindCoordinatorResponse)
	w.coordinators(keyType, key, f)
	if f.ErrorCode != 0 {
		return -1, nil
	}
	if _, err := r.c.l.c.learn(f.NodeID, f.Host, f.Port); err != nil {
		return -1, nil
	}
	return f.NodeID, nil
}

// planConfigs splits by the brokers that settings are of.
func (r *router) planConfigs(req kmsg.Request) (plan, error) {
	others := int32(-1)
	if req.Key() != int16(kmsg.DescribeConfigs) {
		var err error
		if others, err = r.controller(); err != nil {
			return plan{}, err
		}
	}
	parts := splitList(req, "Resources", func(e reflect.Value) int32 {
		switch kmsg.ConfigResourceType(e.FieldByName("ResourceType").Int()) {
		case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
			if id, err := strconv.ParseInt(e.FieldByName("ResourceName").String(), 10, 32); err == nil && r.c.l.c.known(int32(id)) != nil {
				return int32(id)
			}
		}
		return others
	})
	p := r.split(parts)
	if len(parts) == 0 {
		p = to(others, req)
	}
	p.whole = req.Key() == int16(kmsg.DescribeConfigs)
	return p, nil
}
