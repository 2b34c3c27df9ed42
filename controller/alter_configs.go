package controller

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

// configChange is what a request wants of one setting.
type configChange struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// configEdit is what a request wants of one resource.
type configEdit struct {
	resource Resource
	replace  bool // AlterConfigs: what is not named goes
	changes  []configChange
}

// incrementalAlterConfigs decides IncrementalAlterConfigs (KIP-339).
func (c *Controller) incrementalAlterConfigs(in Input, q *kmsg.IncrementalAlterConfigsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	edits := make([]configEdit, len(q.Resources))
	for i := range q.Resources {
		e := &edits[i]
		e.resource = Resource{int8(q.Resources[i].ResourceType), clone(q.Resources[i].ResourceName)}
		for _, s := range q.Resources[i].Configs {
			e.changes = append(e.changes, configChange{clone(s.Name), s.Op, cloneNullable(s.Value)})
		}
	}
	outcomes, records := c.editConfigs(in.Image, edits)
	if slices.ContainsFunc(edits, configEdit.unknownChange) {
		outcomes, records = slices.Repeat([]outcome{{code: protocol.UnknownServerError}}, len(edits)), nil
	}
	for i, o := range outcomes {
		a := kmsg.NewIncrementalAlterConfigsResponseResource()
		a.ErrorCode, a.ErrorMessage = int16(o.code), o.text()
		a.ResourceType, a.ResourceName = q.Resources[i].ResourceType, edits[i].resource.Name
		r.Resources = append(r.Resources, a)
	}
	if q.ValidateOnly {
		return r, nil
	}
	return r, records
}

// alterConfigs decides AlterConfigs: what is not named is taken back.
func (c *Controller) alterConfigs(in Input, q *kmsg.AlterConfigsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.AlterConfigsResponse)
	edits := make([]configEdit, len(q.Resources))
	for i := range q.Resources {
		e := &edits[i]
		e.resource, e.replace = Resource{int8(q.Resources[i].ResourceType), clone(q.Resources[i].ResourceName)}, true
		for _, s := range q.Resources[i].Configs {
			e.changes = append(e.changes, configChange{clone(s.Name), kmsg.IncrementalAlterConfigOpSet, cloneNullable(s.Value)})
		}
	}
	outcomes, records := c.editConfigs(in.Image, edits)
	for i, o := range outcomes {
		a := kmsg.NewAlterConfigsResponseResource()
		a.ErrorCode, a.ErrorMessage = int16(o.code), o.text()
		a.ResourceType, a.ResourceName = q.Resources[i].ResourceType, edits[i].resource.Name
		r.Resources = append(r.Resources, a)
	}
	if q.ValidateOnly {
		return r, nil
	}
	return r, records
}

func cloneNullable(s *string) *string {
	if s == nil {
		return nil
	}
	v := clone(*s)
	return &v
}

// editConfigs decides all resources of a request: those that succeed change together.
func (c *Controller) editConfigs(m *Image, edits []configEdit) (outcomes []outcome, records []Record) {
	count := map[Resource]int{}
	for i := range edits {
		count[edits[i].resource]++
	}
	outcomes = make([]outcome, len(edits))
	for i := range edits {
		if count[edits[i].resource] > 1 {
			outcomes[i] = outcome{protocol.InvalidRequest, "Each resource must appear at most once."}
			continue
		}
		var more []Record
		more, outcomes[i] = c.editResource(m, &edits[i])
		records = append(records, more...)
	}
	if len(records) > MaxRecordsPerUserOp {
		for i := range outcomes {
			outcomes[i] = tooManyRecords
		}
		return outcomes, nil
	}
	return outcomes, records
}

// editResource returns the records of one resource, or why there are none.
func (c *Controller) editResource(m *Image, e *configEdit) ([]Record, outcome) {
	if o := e.check(); o.failed() {
		return nil, o
	}
	set := maps.Clone(m.Config(e.resource.Type, e.resource.Name))
	if set == nil {
		set = map[string]string{}
	}
	var records []Record
	record := func(name string, value *string) {
		records = append(records, &ConfigRecord{e.resource.Type, e.resource.Name, name, value})
	}
	named := map[string]bool{}
	for _, change := range e.changes {
		named[change.name] = true
		old, had := set[change.name]
		value, o := e.apply(change, old, had)
		if o.failed() {
			return nil, o
		}
		if value == nil {
			delete(set, change.name)
		} else {
			set[change.name] = *value
		}
		// A broker reloads what it is told even where the value is the same: files behind it may have changed.
		if same := had == (value != nil) && (value == nil || *value == old); !same || e.resource.Type == BrokerConfig {
			record(change.name, value)
		}
	}
	if e.replace {
		for _, name := range slices.Sorted(maps.Keys(set)) {
			if !named[name] {
				delete(set, name)
				record(name, nil)
			}
		}
	}
	if o := c.checkSettings(m, e.resource, set); o.failed() {
		return nil, o
	}
	if o := m.checkExists(e.resource); o.failed() {
		return nil, o
	}
	return records, outcome{}
}

// unknownChange says whether a topic's setting is to be changed in a way that there is not. Kafka's controller, unlike its broker, has not
// thought of that: the request as a whole fails, without words.
func (e configEdit) unknownChange() bool {
	return e.resource.Type == TopicConfig && slices.ContainsFunc(e.changes, func(c configChange) bool {
		return c.op < kmsg.IncrementalAlterConfigOpSet || c.op > kmsg.IncrementalAlterConfigOpSubtract
	})
}

// check is what Kafka's broker looks at before the controller does.
func (e *configEdit) check() outcome {
	bad := func(why string) outcome { return outcome{protocol.InvalidRequest, why} }
	names := map[string]bool{}
	var null []string
	for _, change := range e.changes {
		if names[change.name] {
			return bad("Error due to duplicate config keys")
		}
		names[change.name] = true
		if change.value == nil && change.op != kmsg.IncrementalAlterConfigOpDelete {
			null = append(null, change.name)
		}
	}
	if len(null) > 0 {
		return bad("Null value not supported for : " + strings.Join(null, ", "))
	}
	if t := e.resource.Type; t != TopicConfig && t != BrokerConfig && t != GroupConfig {
		return bad("Unknown resource type " + strconv.Itoa(int(e.resource.Type)))
	}
	for _, change := range e.changes {
		if change.op < kmsg.IncrementalAlterConfigOpSet || change.op > kmsg.IncrementalAlterConfigOpSubtract {
			return bad("Unknown operations type " + strconv.Itoa(int(change.op)))
		}
	}
	return outcome{}
}

// apply returns the new value of a setting; nil takes it back.
func (e *configEdit) apply(change configChange, old string, had bool) (*string, outcome) {
	switch change.op {
	case kmsg.IncrementalAlterConfigOpSet:
		return change.value, outcome{}
	case kmsg.IncrementalAlterConfigOpDelete:
		return nil, outcome{}
	}
	scope := config.BrokerScope
	switch e.resource.Type {
	case TopicConfig:
		scope = config.TopicScope
	case GroupConfig:
		scope = config.GroupScope
	}
	s := config.Lookup(scope, change.name)
	if s == nil || s.Type != config.List {
		return nil, e.notList(change)
	}
	if !had {
		old = s.Default
	}
	items := slices.DeleteFunc(strings.Split(old, ","), func(item string) bool { return item == "" })
	for item := range strings.SplitSeq(*change.value, ",") {
		i := slices.Index(items, item)
		switch {
		case change.op == kmsg.IncrementalAlterConfigOpAppend && i < 0:
			items = append(items, item)
		case change.op == kmsg.IncrementalAlterConfigOpSubtract && i >= 0:
			items = slices.Delete(items, i, i+1)
		}
	}
	value := strings.Join(items, ",")
	return &value, outcome{}
}

func (e *configEdit) notList(change configChange) outcome {
	op := "APPEND"
	if change.op == kmsg.IncrementalAlterConfigOpSubtract {
		op = "SUBTRACT"
	}
	if e.resource.Type == BrokerConfig {
		return outcome{protocol.InvalidConfig, "Config value " + strings.ToLower(op) + " is not allowed for config key: " + change.name}
	}
	return outcome{protocol.InvalidConfig, "Can't " + op + " to key " + change.name + " because its type is not LIST."}
}

// checkSettings holds all settings that a resource would have against the table, and its name against the rules for names.
func (c *Controller) checkSettings(m *Image, r Resource, set map[string]string) outcome {
	if r.Type == TopicConfig {
		if r.Name == "" {
			return outcome{protocol.InvalidRequest, "Default topic resources are not allowed."}
		}
		if o := checkTopicName(r.Name); o.failed() {
			return o
		}
		return settingOutcome(c.layers(m, set).CheckTopicSet())
	}
	l := c.layers(m, nil)
	if r.Type == GroupConfig {
		if r.Name == "" {
			return outcome{protocol.InvalidRequest, "Default group resources are not allowed."}
		}
		l.Group = set
		return settingOutcome(l.CheckGroupSet())
	}
	if r.Name == "" {
		l.Cluster, l.Broker = set, nil
		return settingOutcome(l.CheckBrokerSet(true))
	}
	if id, err := strconv.ParseInt(r.Name, 10, 32); err != nil {
		return outcome{protocol.InvalidRequest, "Unable to parse broker name as a base 10 number."}
	} else if id < 0 {
		return outcome{protocol.InvalidRequest, "Invalid negative broker ID."}
	}
	l.Broker = set
	return settingOutcome(l.CheckBrokerSet(false))
}

func (m *Image) checkExists(r Resource) outcome {
	switch {
	case r.Type == TopicConfig && m.Topic(r.Name) == nil:
		return outcome{protocol.UnknownTopicOrPartition, "The topic '" + r.Name + "' does not exist."}
	case r.Type == BrokerConfig && r.Name != "":
		if id, err := strconv.ParseInt(r.Name, 10, 32); err != nil || m.Broker(int32(id)) == nil {
			return outcome{protocol.BrokerIDNotRegistered, "No broker with id " + r.Name + " found."}
		}
	}
	return outcome{}
}
