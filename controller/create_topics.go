package controller

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// createTopics decides CreateTopics: each topic on its own, all that succeed in one batch.
func (c *Controller) createTopics(in Input, q *kmsg.CreateTopicsRequest) (kmsg.Response, []Record) {
	w := topicCreation{c: c, in: in, q: q, outcomes: map[string]outcome{}}
	r := q.ResponseKind().(*kmsg.CreateTopicsResponse)
	unique := w.unique()
	whole := outcome{}
	if c.totalPartitions(q, unique) > MaxRecordsPerUserOp {
		whole = tooManyNew
	}
	for _, t := range unique {
		if whole.failed() {
			break
		}
		w.create(t)
		if len(w.records) > MaxRecordsPerUserOp {
			whole = tooManyRecords
		}
	}
	answered := map[string]bool{}
	for i := range q.Topics {
		name := q.Topics[i].Topic
		if answered[name] {
			continue
		}
		answered[name] = true
		o := w.outcomes[name]
		if whole.failed() && !w.refused[name] {
			o = whole
		}
		if o.failed() {
			r.Topics = append(r.Topics, failedTopic(name, o))
		} else {
			r.Topics = append(r.Topics, w.created[name])
		}
	}
	if q.ValidateOnly || whole.failed() {
		return r, nil
	}
	return r, w.records
}

func failedTopic(name string, o outcome) kmsg.CreateTopicsResponseTopic {
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic, t.ErrorCode, t.ErrorMessage = clone(name), int16(o.code), o.text()
	t.NumPartitions, t.ReplicationFactor = -1, -1
	return t
}

// topicCreation is one CreateTopics request under way.
type topicCreation struct {
	c        *Controller
	in       Input
	q        *kmsg.CreateTopicsRequest
	outcomes map[string]outcome
	refused  map[string]bool // outcomes that stand before the controller looks at the request as a whole
	created  map[string]kmsg.CreateTopicsResponseTopic
	records  []Record
}

// unique returns the topics whose names occur once and may be used, and refuses the others.
func (w *topicCreation) unique() []*kmsg.CreateTopicsRequestTopic {
	w.refused, w.created = map[string]bool{}, map[string]kmsg.CreateTopicsResponseTopic{}
	count := map[string]int{}
	for i := range w.q.Topics {
		count[w.q.Topics[i].Topic]++
	}
	var unique []*kmsg.CreateTopicsRequestTopic
	for i := range w.q.Topics {
		t := &w.q.Topics[i]
		switch {
		case count[t.Topic] > 1:
			w.refused[t.Topic], w.outcomes[t.Topic] = true, outcome{protocol.InvalidRequest, "Duplicate topic name."}
		case t.Topic == metadataTopic:
			w.refused[t.Topic] = true
			w.outcomes[t.Topic] = outcome{protocol.InvalidRequest, "Creation of internal topic " + metadataTopic + " is prohibited."}
		default:
			unique = append(unique, t)
		}
	}
	return unique
}

// totalPartitions counts what a request asks for, before anything else is looked at.
func (c *Controller) totalPartitions(q *kmsg.CreateTopicsRequest, topics []*kmsg.CreateTopicsRequestTopic) int64 {
	total := int64(0)
	for _, t := range topics {
		switch {
		case len(t.ReplicaAssignment) > 0:
			total += int64(len(t.ReplicaAssignment))
		case t.NumPartitions == -1:
			total += int64(c.cfg.NumPartitions)
		case t.NumPartitions > 0:
			total += int64(t.NumPartitions)
		}
	}
	return total
}

func (w *topicCreation) create(t *kmsg.CreateTopicsRequestTopic) {
	o := w.checkName(t.Topic)
	configs := map[string]string{}
	if !o.failed() {
		configs, o = w.configs(t)
	}
	var partitions []*PartitionRecord
	id := protocol.UUID{}
	if !o.failed() {
		id = w.newID()
		partitions, o = w.place(t, id)
	}
	w.outcomes[t.Topic] = o
	if o.failed() {
		return
	}
	name := clone(t.Topic)
	w.records = append(w.records, &TopicRecord{Name: name, TopicID: id})
	// In the order of the request, after the topic and before its partitions.
	for _, s := range t.Configs {
		if v, ok := configs[s.Name]; ok {
			delete(configs, s.Name)
			v = clone(v)
			w.records = append(w.records, &ConfigRecord{TopicConfig, name, clone(s.Name), &v})
		}
	}
	for _, p := range partitions {
		w.records = append(w.records, p)
	}
	w.created[t.Topic] = w.response(t, id, partitions)
}

func (w *topicCreation) newID() protocol.UUID {
	for {
		if id := newUUID(w.in.Rand); w.in.Image.TopicByID(id) == nil {
			return id
		}
	}
}

func (w *topicCreation) checkName(name string) outcome {
	if w.in.Image.Topic(name) != nil {
		return outcome{protocol.TopicAlreadyExists, "Topic '" + name + "' already exists."}
	}
	if o := checkTopicName(name); o.failed() {
		return o
	}
	if !collides(name) {
		return outcome{}
	}
	if other, ok := w.in.Image.folded.get(foldName(name)); ok {
		return outcome{protocol.InvalidTopicException, "Topic '" + name + "' collides with existing topic: " + other}
	}
	return outcome{}
}

// configs gathers and checks the settings of a new topic.
func (w *topicCreation) configs(t *kmsg.CreateTopicsRequestTopic) (map[string]string, outcome) {
	set := map[string]string{}
	null := ""
	for _, s := range t.Configs {
		if s.Value != nil {
			set[s.Name] = *s.Value
			continue
		}
		if null != "" {
			null += ","
		}
		null += s.Name
	}
	if null != "" {
		return nil, outcome{protocol.InvalidConfig, "Null value not supported for topic configs: " + null}
	}
	if len(set) == 0 {
		return set, outcome{}
	}
	return set, settingOutcome(w.c.layers(w.in.Image, set).CheckTopicSet())
}

// place makes the partitions of a new topic, where the user says or where it is best.
func (w *topicCreation) place(t *kmsg.CreateTopicsRequestTopic, id protocol.UUID) ([]*PartitionRecord, outcome) {
	switch {
	case len(t.ReplicaAssignment) > 0:
		return w.assigned(t, id)
	case t.ReplicationFactor < -1 || t.ReplicationFactor == 0:
		return nil, outcome{protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."}
	case t.NumPartitions < -1 || t.NumPartitions == 0:
		return nil, outcome{protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."}
	}
	n, factor := int(t.NumPartitions), int(t.ReplicationFactor)
	if n == -1 {
		n = int(w.c.cfg.NumPartitions)
	}
	if factor == -1 {
		factor = int(w.c.cfg.DefaultReplicationFactor)
	}
	return placeNew(w.in, newPlacer(w.in.Image, w.in.Rand), id, 0, n, factor)
}

// placeNew makes n partitions from first on.
func placeNew(in Input, p *placer, topic protocol.UUID, first, n, factor int) ([]*PartitionRecord, outcome) {
	unable := func(why string) outcome {
		return outcome{protocol.InvalidReplicationFactor, "Unable to replicate the partition " + strconv.Itoa(factor) + " time(s): " + why}
	}
	if why := p.check(factor); why != "" {
		return nil, unable(why)
	}
	records := make([]*PartitionRecord, 0, n)
	for i := range n {
		replicas := p.place(factor)
		isr := in.Image.activeOf(replicas)
		if len(isr) == 0 {
			return nil, unable("All brokers are currently fenced or in controlled shutdown.")
		}
		records = append(records, in.Image.newPartition(topic, int32(first+i), replicas, isr))
	}
	return records, outcome{}
}

// assigned makes the partitions of a topic whose replicas the user chose.
func (w *topicCreation) assigned(t *kmsg.CreateTopicsRequestTopic, id protocol.UUID) ([]*PartitionRecord, outcome) {
	if t.ReplicationFactor != -1 {
		return nil, outcome{protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."}
	}
	if t.NumPartitions != -1 {
		return nil, outcome{protocol.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."}
	}
	byID := map[int32]*PartitionRecord{}
	factor := 0
	for _, a := range t.ReplicaAssignment {
		n := strconv.Itoa(int(a.Partition))
		if byID[a.Partition] != nil {
			return nil, outcome{protocol.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition " + n}
		}
		if o := w.in.Image.checkAssignment(a.Replicas, factor); o.failed() {
			return nil, o
		}
		factor = len(a.Replicas)
		isr := w.in.Image.activeOf(a.Replicas)
		if len(isr) == 0 {
			return nil, assignmentDown(n)
		}
		byID[a.Partition] = w.in.Image.newPartition(id, a.Partition, slices.Clone(a.Replicas), slices.Clone(isr))
	}
	records := make([]*PartitionRecord, 0, len(byID))
	for i := range int32(len(byID)) {
		p := byID[i]
		if p == nil {
			return nil, outcome{protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"}
		}
		records = append(records, p)
	}
	return records, outcome{}
}

func assignmentDown(partition string) outcome {
	return outcome{protocol.InvalidReplicaAssignment,
		"All brokers specified in the manual partition assignment for partition " + partition + " are fenced or in controlled shutdown."}
}

// response shows what a topic got, with its settings as DescribeConfigs would (version 5 on). Whoever may not see those takes them out
// and sets ConfigErrorCode.
func (w *topicCreation) response(t *kmsg.CreateTopicsRequestTopic, id protocol.UUID, partitions []*PartitionRecord) kmsg.CreateTopicsResponseTopic {
	r := kmsg.NewCreateTopicsResponseTopic()
	r.Topic, r.TopicID = clone(t.Topic), id
	r.NumPartitions, r.ReplicationFactor = int32(len(partitions)), int16(len(partitions[0].Replicas))
	if w.q.Version < 5 {
		return r
	}
	set := map[string]string{}
	for _, s := range t.Configs {
		set[s.Name] = *s.Value
	}
	for _, d := range w.c.layers(w.in.Image, set).DescribeNewTopic() {
		e := kmsg.NewCreateTopicsResponseTopicConfig()
		e.Name, e.ReadOnly, e.Source, e.IsSensitive = d.Name, d.ReadOnly, int8(d.Source), d.Sensitive
		if !d.Null {
			e.Value = &d.Value
		}
		r.Configs = append(r.Configs, e)
	}
	return r
}
