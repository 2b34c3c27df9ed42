package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// response builds the answer from the image. Topics that exist come before those that do not.
func (w *metadataWork) response() Response {
	resp := w.resp
	alive := nodes(w.img, w.who.ListenerName, false)
	resp.Brokers = make([]kmsg.MetadataResponseBroker, 0, len(alive))
	for _, n := range alive {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.host, n.port, text(n.Rack)
		resp.Brokers = append(resp.Brokers, b)
	}
	resp.ClusterID = text(w.s.ClusterID)
	resp.ControllerID = w.s.controllerID(alive)
	for _, id := range w.unknownIDs {
		t := kmsg.NewMetadataResponseTopic()
		t.ErrorCode, t.TopicID = int16(protocol.UnknownTopicID), id
		resp.Topics = append(resp.Topics, t)
	}
	if w.all {
		for t := range w.img.Topics() {
			if w.s.mayTopic(w.who, Describe, t.Name) {
				resp.Topics = append(resp.Topics, w.topic(t))
			}
		}
		return resp
	}
	var missing []kmsg.MetadataResponseTopic
	for _, name := range w.names {
		if t := w.img.Topic(name); t != nil {
			resp.Topics = append(resp.Topics, w.topic(t))
		} else {
			missing = append(missing, w.missing(name))
		}
	}
	resp.Topics = append(append(resp.Topics, missing...), w.denied...)
	return resp
}

// missing is the answer for a topic that is not there (or not yet).
func (w *metadataWork) missing(name string) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.IsInternal = &name, isInternal(name)
	t.ErrorCode = int16(protocol.UnknownTopicOrPartition)
	if topicNameProblem(name) != "" {
		t.ErrorCode = int16(protocol.InvalidTopicException)
	}
	if w.topicOps {
		t.AuthorizedOperations = w.s.authorizedOperations(w.who, TopicResource, name)
	}
	return t
}

// topic describes a topic. Replicas and ISR are the image's own slices: they are only read.
func (w *metadataWork) topic(t *controller.Topic) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = &t.Name, t.ID, isInternal(t.Name)
	if w.topicOps {
		rt.AuthorizedOperations = w.s.authorizedOperations(w.who, TopicResource, t.Name)
	}
	listener := w.who.ListenerName
	rt.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		rp := &rt.Partitions[i]
		rp.Default()
		rp.Partition, rp.LeaderEpoch, rp.Leader = int32(i), p.LeaderEpoch, -1
		rp.Replicas, rp.ISR, rp.OfflineReplicas = p.Replicas, p.ISR, offlineReplicas(w.img, listener, p)
		leader := w.img.Broker(p.Leader)
		if leader == nil {
			rp.ErrorCode = int16(protocol.LeaderNotAvailable)
		} else if _, ok := leader.Endpoint(listener); ok {
			rp.Leader = p.Leader
		} else if w.resp.Version >= 6 {
			rp.ErrorCode = int16(protocol.ListenerNotFound)
		} else {
			rp.ErrorCode = int16(protocol.LeaderNotAvailable)
		}
		if w.resp.Version == 0 {
			w.onlyAlive(rp)
		}
	}
	return rt
}

// onlyAlive is the way of version 0: brokers that cannot be reached are left out of the partition and make it an error.
func (w *metadataWork) onlyAlive(rp *kmsg.MetadataResponseTopicPartition) {
	alive := func(ids []int32) []int32 {
		unreachable := func(id int32) bool {
			b := w.img.Broker(id)
			if b == nil || b.Fenced {
				return true
			}
			_, ok := b.Endpoint(w.who.ListenerName)
			return !ok
		}
		if !slices.ContainsFunc(ids, unreachable) {
			return ids
		}
		return slices.DeleteFunc(slices.Clone(ids), unreachable)
	}
	replicas, isr := len(rp.Replicas), len(rp.ISR)
	rp.Replicas, rp.ISR = alive(rp.Replicas), alive(rp.ISR)
	if rp.ErrorCode == 0 && (len(rp.Replicas) < replicas || len(rp.ISR) < isr) {
		rp.ErrorCode = int16(protocol.ReplicaNotAvailable)
	}
}
