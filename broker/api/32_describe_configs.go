package api

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/controller"
	"weir/protocol"
)

// DescribeConfigs (32), v1-4. Answered by any broker for topics, groups and the default of all brokers, by this broker for itself and its
// loggers.
//
// Versions: 1 sources and synonyms · 3 types and documentation (KIP-569) · 4 flexible.
// Needs: DESCRIBE_CONFIGS on Topic, on Group, or on Cluster for the rest.
// Differs from Kafka:
//   - settings come sorted by name, with documentation in other words
//   - the loggers are Weir's own: root, and one for each of its larger parts
//   - node.id and process.roles have defaults, which show among their synonyms
//   - min.insync.replicas is a default where Kafka's controller has set it for all brokers, as it does with eligible leader replicas
//   - resources that do not fit into one answer are answered INVALID_REQUEST: Kafka describes one resource as often as it is named

// invalidDescription is a resource that Kafka answers INVALID_REQUEST.
type invalidDescription string

func describeConfigs(s *Server, c *Call, q *kmsg.DescribeConfigsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DescribeConfigsResponse)
	if slices.ContainsFunc(q.Resources, func(r kmsg.DescribeConfigsRequestResource) bool { return !knownResource(int8(r.ResourceType)) }) {
		for i := range q.Resources { // one such spoils the request
			resp.Resources = append(resp.Resources, notDescribed(&q.Resources[i], protocol.InvalidRequest, protocol.InvalidRequest.Message()))
		}
		return resp, nil
	}
	var denied []kmsg.DescribeConfigsResponseResource
	d := describer{s: s, img: s.Image(), synonyms: q.IncludeSynonyms, docs: q.IncludeDocumentation && q.Version >= 3}
	fit, err := d.reserve(c, q)
	if err != nil {
		return nil, err
	}
	for i := range q.Resources {
		r := &q.Resources[i]
		if i >= fit {
			denied = append(denied, notDescribed(r, protocol.InvalidRequest, tooManyResources))
			continue
		}
		if code, message := s.mayConfigure(c.Session, DescribeConfigs, int8(r.ResourceType), r.ResourceName); code != protocol.None {
			denied = append(denied, notDescribed(r, code, message))
			continue
		}
		resp.Resources = append(resp.Resources, d.resource(r))
	}
	resp.Resources = append(resp.Resources, denied...)
	return resp, nil
}

const tooManyResources = "The request describes more resources than fit into one answer."

func knownResource(t int8) bool {
	switch t {
	case controller.TopicConfig, controller.BrokerConfig, controller.BrokerLoggerConfig, controller.ClientMetricsConfig, controller.GroupConfig:
		return true
	}
	return false
}

// mayConfigure authorizes op on the settings of a resource.
func (s *Server) mayConfigure(who *Session, op Operation, resourceType int8, name string) (protocol.Code, string) {
	switch resourceType {
	case controller.TopicConfig:
		if !s.mayTopic(who, op, name) {
			return protocol.TopicAuthorizationFailed, protocol.TopicAuthorizationFailed.Message()
		}
	case controller.GroupConfig:
		if !s.Authorizer.Authorize(who, op, GroupResource, name) {
			return protocol.GroupAuthorizationFailed, protocol.GroupAuthorizationFailed.Message()
		}
	default:
		if !s.mayCluster(who, op) {
			return protocol.ClusterAuthorizationFailed, protocol.ClusterAuthorizationFailed.Message()
		}
	}
	return protocol.None, ""
}

func notDescribed(r *kmsg.DescribeConfigsRequestResource, code protocol.Code, message string) kmsg.DescribeConfigsResponseResource {
	out := kmsg.NewDescribeConfigsResponseResource()
	out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
	out.ErrorCode, out.ErrorMessage = int16(code), &message // "", not null, where all is well: Kafka's default
	return out
}

// describer describes the resources of one request from one image.
type describer struct {
	s              *Server
	img            *controller.Image
	synonyms, docs bool
}

func (d *describer) resource(r *kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
	if int8(r.ResourceType) == controller.TopicConfig {
		if problem := topicNameProblem(r.ResourceName); problem != "" {
			return notDescribed(r, protocol.InvalidTopicException, problem)
		}
		if d.img.Topic(r.ResourceName) == nil {
			return notDescribed(r, protocol.UnknownTopicOrPartition, "")
		}
	}
	found, problem := d.settings(int8(r.ResourceType), r.ResourceName, r.ConfigNames)
	if problem != "" {
		return notDescribed(r, protocol.InvalidRequest, string(problem))
	}
	out := notDescribed(r, protocol.None, "")
	out.Configs = make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(found))
	for i := range found {
		out.Configs = append(out.Configs, d.entry(&found[i]))
	}
	if int8(r.ResourceType) == controller.BrokerLoggerConfig {
		for i := range out.Configs {
			out.Configs[i].Documentation = new(string) // "", not null, whatever was asked for
		}
	}
	return out
}

// settings asks config for what a resource has.
func (d *describer) settings(resourceType int8, name string, names []string) ([]config.Described, invalidDescription) {
	l := d.s.layers(d.img)
	switch resourceType {
	case controller.TopicConfig:
		l.Topic = d.img.Config(resourceType, name)
		return l.DescribeTopic(names, d.synonyms, d.docs), ""
	case controller.BrokerConfig:
		if name == "" {
			return l.DescribeClusterDefault(names, d.synonyms, d.docs), ""
		}
		if id, err := strconv.ParseInt(name, 10, 32); err != nil {
			return nil, invalidDescription("Broker id must be an integer, but it is: " + name)
		} else if int32(id) != d.s.NodeID {
			return nil, invalidDescription(fmt.Sprintf("Unexpected broker id, expected %d or empty string, but received %s", d.s.NodeID, name))
		}
		return l.DescribeBroker(names, d.synonyms, d.docs), ""
	case controller.BrokerLoggerConfig:
		return d.loggers(name, names)
	case controller.ClientMetricsConfig:
		if name == "" {
			return nil, "Client metrics subscription name must not be empty"
		}
		return d.clientMetrics(d.img.Config(resourceType, name), names), ""
	}
	if name == "" {
		return nil, "Group name must not be empty"
	}
	l.Group = d.img.Config(resourceType, name)
	return l.DescribeGroup(names, d.synonyms, d.docs), ""
}

// clientMetrics describes a subscription (KIP-714). It has no synonyms but its own value.
func (d *describer) clientMetrics(set map[string]string, names []string) []config.Described {
	var found []config.Described
	for _, row := range config.Settings(config.ClientMetricsScope) {
		if len(names) > 0 && !slices.Contains(names, row.Name) {
			continue
		}
		e := config.Described{Name: row.Name, Value: row.Default, Source: config.FromDefault, Type: row.Type}
		if own, ok := set[row.Name]; ok {
			e.Value, e.Source = own, config.FromClientMetrics
			if d.synonyms {
				e.Synonyms = []config.DescribedSynonym{{Name: row.Name, Value: own, Source: config.FromClientMetrics}}
			}
		}
		if d.docs {
			e.Doc = row.Doc
		}
		found = append(found, e)
	}
	return found
}

// entry is one setting in the terms of the response.
func (d *describer) entry(e *config.Described) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.ReadOnly, out.IsSensitive, out.IsDefault = e.Name, e.ReadOnly, e.Sensitive, e.IsDefault
	out.Source, out.ConfigType, out.Documentation = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type), text(e.Doc)
	if !e.Null {
		out.Value = &e.Value
	}
	for i := range e.Synonyms {
		y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		y.Name, y.Source = e.Synonyms[i].Name, kmsg.ConfigSource(e.Synonyms[i].Source)
		if !e.Synonyms[i].Null {
			y.Value = &e.Synonyms[i].Value
		}
		out.ConfigSynonyms = append(out.ConfigSynonyms, y)
	}
	return out
}
