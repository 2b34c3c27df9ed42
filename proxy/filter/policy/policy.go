package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// Config is what the filter is made of. What is not set is no rule.
type Config struct {
	MinPartitions  int32    `yaml:"min-partitions"`
	MaxPartitions  int32    `yaml:"max-partitions"`
	MinReplication int16    `yaml:"min-replication"`
	MaxReplication int16    `yaml:"max-replication"`
	MaxRetentionMs int64    `yaml:"max-retention-ms"`
	Names          string   `yaml:"names"`       // a regular expression for the whole name
	Acks           string   `yaml:"acks"`        // all: nothing less is taken
	Compression    []string `yaml:"compression"` // the codecs that are taken: none, gzip, snappy, lz4, zstd
}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Filter holds to rules.
type Filter struct {
	cfg    Config
	names  *regexp.Regexp
	codecs []int
}

// New makes the filter.
func New(c Config) (*Filter, error) {
	f := &Filter{cfg: c}
	if c.Names != "" {
		re, err := regexp.Compile("^(?:" + c.Names + ")$")
		if err != nil {
			return nil, fmt.Errorf("names: %w", err)
		}
		f.names = re
	}
	if c.Acks != "" && c.Acks != "all" {
		return nil, fmt.Errorf("acks %q: allowed is all", c.Acks)
	}
	for _, name := range c.Compression {
		i := slices.Index(codecs, name)
		if i < 0 {
			return nil, fmt.Errorf("compression %q: allowed are %v", name, codecs)
		}
		f.codecs = append(f.codecs, i)
	}
	if c.MinPartitions < 0 || c.MaxPartitions < 0 || c.MinReplication < 0 || c.MaxReplication < 0 || c.MaxRetentionMs < 0 {
		return nil, errors.New("a bound is below zero")
	}
	return f, nil
}

// Hooks implements filter.Filter.
func (f *Filter) Hooks() []filter.Hook {
	hooks := []filter.Hook{
		filter.OnRequest(f.create), filter.OnResponse(f.created), filter.OnRequest(f.partitions), filter.OnResponse(f.added),
		filter.OnRequest(f.incremental), filter.OnRequest(f.alter),
	}
	if f.cfg.Acks != "" || len(f.codecs) > 0 {
		hooks = append(hooks, filter.OnRequest(f.produce))
	}
	return hooks
}

// broken is the topics that were taken out of a request, and the rule that each breaks.
type broken struct{ names, rules []string }

func (b *broken) add(name, rule string) {
	b.names, b.rules = append(b.names, name), append(b.rules, rule)
}

// takeOut takes the topics that break a rule out of a request. Where none is left it answers, and created or added fill that in.
func takeOut[T any](x *filter.Exchange, r kmsg.Request, topics *[]T, check func(*T) (name, rule string)) (kmsg.Response, error) {
	var bad broken
	*topics = slices.DeleteFunc(*topics, func(t T) bool {
		name, rule := check(&t)
		if rule != "" {
			bad.add(name, rule)
		}
		return rule != ""
	})
	if len(bad.names) == 0 {
		return nil, nil
	}
	x.Set(&bad)
	if len(*topics) > 0 {
		return nil, nil
	}
	return r.ResponseKind(), nil
}

func (f *Filter) create(x *filter.Exchange, r *kmsg.CreateTopicsRequest) (kmsg.Response, error) {
	return takeOut(x, r, &r.Topics, func(t *kmsg.CreateTopicsRequestTopic) (string, string) { return t.Topic, f.topic(t) })
}

func (f *Filter) created(x *filter.Exchange, r *kmsg.CreateTopicsResponse) error {
	bad, _ := x.Get().(*broken)
	if bad == nil {
		return nil
	}
	for i, name := range bad.names {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = name, int16(protocol.PolicyViolation), &bad.rules[i]
		r.Topics = append(r.Topics, t)
	}
	return nil
}

// topic returns the rule that a new topic breaks.
func (f *Filter) topic(t *kmsg.CreateTopicsRequestTopic) string {
	partitions, replication := t.NumPartitions, t.ReplicationFactor
	if len(t.ReplicaAssignment) > 0 {
		partitions, replication = int32(len(t.ReplicaAssignment)), int16(len(t.ReplicaAssignment[0].Replicas))
	}
	c := &f.cfg
	if f.names != nil && !f.names.MatchString(t.Topic) {
		return fmt.Sprintf("A topic's name must fit %s.", c.Names)
	}
	if rule := count("partitions", int64(partitions), int64(c.MinPartitions), int64(c.MaxPartitions)); rule != "" {
		return rule
	}
	if rule := count("replicas", int64(replication), int64(c.MinReplication), int64(c.MaxReplication)); rule != "" {
		return rule
	}
	for _, s := range t.Configs {
		if rule := f.setting(s.Name, s.Value); rule != "" {
			return rule
		}
	}
	return ""
}

// count is the rule that a number breaks. -1, the cluster's own default, is not known here and breaks none.
func count(what string, n, least, most int64) string {
	switch {
	case n < 0:
	case n < least:
		return fmt.Sprintf("A topic must have at least %d %s.", least, what)
	case most > 0 && n > most:
		return fmt.Sprintf("A topic must have at most %d %s.", most, what)
	}
	return ""
}

// setting is the rule that a setting of a topic breaks.
func (f *Filter) setting(name string, value *string) string {
	if name != "retention.ms" || value == nil || f.cfg.MaxRetentionMs == 0 {
		return ""
	}
	if n, err := strconv.ParseInt(*value, 10, 64); err == nil && (n < 0 || n > f.cfg.MaxRetentionMs) {
		return fmt.Sprintf("retention.ms must be at most %d.", f.cfg.MaxRetentionMs)
	}
	return ""
}

func (f *Filter) partitions(x *filter.Exchange, r *kmsg.CreatePartitionsRequest) (kmsg.Response, error) {
	return takeOut(x, r, &r.Topics, func(t *kmsg.CreatePartitionsRequestTopic) (string, string) {
		return t.Topic, count("partitions", int64(t.Count), 0, int64(f.cfg.MaxPartitions))
	})
}

func (f *Filter) added(x *filter.Exchange, r *kmsg.CreatePartitionsResponse) error {
	bad, _ := x.Get().(*broken)
	if bad == nil {
		return nil
	}
	for i, name := range bad.names {
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = name, int16(protocol.PolicyViolation), &bad.rules[i]
		r.Topics = append(r.Topics, t)
	}
	return nil
}

// altered refuses a setting that breaks a rule.
func (f *Filter) altered(of kmsg.ConfigResourceType, name string, value *string) error {
	if rule := f.setting(name, value); rule != "" && of == kmsg.ConfigResourceTypeTopic {
		return filter.Refuse(protocol.PolicyViolation, rule)
	}
	return nil
}

func (f *Filter) incremental(_ *filter.Exchange, r *kmsg.IncrementalAlterConfigsRequest) (kmsg.Response, error) {
	for _, res := range r.Resources {
		for _, s := range res.Configs {
			if err := f.altered(res.ResourceType, s.Name, s.Value); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func (f *Filter) alter(_ *filter.Exchange, r *kmsg.AlterConfigsRequest) (kmsg.Response, error) {
	for _, res := range r.Resources {
		for _, s := range res.Configs {
			if err := f.altered(res.ResourceType, s.Name, s.Value); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// produce looks at the acks and at the attributes of each batch, and at nothing else of the records.
func (f *Filter) produce(_ *filter.Exchange, r *kmsg.ProduceRequest) (kmsg.Response, error) {
	if f.cfg.Acks == "all" && r.Acks != -1 {
		return nil, filter.Refuse(protocol.PolicyViolation, "Producers must use acks=all.")
	}
	if len(f.codecs) == 0 {
		return nil, nil
	}
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			if !f.compressed(r.Topics[i].Partitions[j].Records) {
				return nil, filter.Refuse(protocol.PolicyViolation, fmt.Sprintf("Records must be compressed with one of %v.", f.cfg.Compression))
			}
		}
	}
	return nil, nil
}

// compressed says whether all batches of a record set have a codec that is taken. What is no batch is left to the broker.
func (f *Filter) compressed(b []byte) bool {
	for len(b) >= 23 {
		size := int(int32(binary.BigEndian.Uint32(b[8:])))
		attributes := int(binary.BigEndian.Uint16(b[21:]))
		if magic := b[16]; magic < 2 { // messages of the old formats have them right behind the magic
			attributes = int(b[17])
		}
		if !slices.Contains(f.codecs, attributes&7) {
			return false
		}
		if size < 11 || size > len(b)-12 {
			return true
		}
		b = b[12+size:]
	}
	return true
}
