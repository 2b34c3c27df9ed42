package api

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// ListConfigResources (74), v0-1. Answered by any broker (KIP-1000, KIP-1142).
//
// Versions: 0 client metrics only · 1 resource types; none is all.
// Needs: DESCRIBE_CONFIGS on Cluster.
// Differs from Kafka: resources come sorted by name within their type.

func listConfigResources(s *Server, c *Call, q *kmsg.ListConfigResourcesRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	if !s.mayCluster(c.Session, DescribeConfigs) {
		resp.ErrorCode = int16(protocol.ClusterAuthorizationFailed)
		return resp, nil
	}
	// In the order of Kafka's answer.
	known := []int8{controller.GroupConfig, controller.ClientMetricsConfig, controller.BrokerLoggerConfig, controller.BrokerConfig, controller.TopicConfig}
	if q.Version == 0 {
		known = []int8{controller.ClientMetricsConfig}
	}
	for _, t := range q.ResourceTypes {
		if !slices.Contains(known, t) {
			resp.ErrorCode = int16(protocol.UnsupportedVersion)
			return resp, nil
		}
	}
	img := s.Image()
	for _, t := range known {
		if len(q.ResourceTypes) > 0 && !slices.Contains(q.ResourceTypes, t) {
			continue
		}
		for _, name := range resourceNames(img, t, c.Session.ListenerName) {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Name, r.Type = name, t
			resp.ConfigResources = append(resp.ConfigResources, r)
		}
	}
	return resp, nil
}

// resourceNames are the resources of a type that have settings: all topics and brokers, and of the rest those with settings of their own.
func resourceNames(img *controller.Image, resourceType int8, listener string) (names []string) {
	switch resourceType {
	case controller.TopicConfig:
		for t := range img.Topics() {
			names = append(names, t.Name)
		}
	case controller.BrokerConfig, controller.BrokerLoggerConfig:
		for _, n := range nodes(img, listener, true) {
			names = append(names, strconv.Itoa(int(n.ID)))
		}
	default:
		for r := range img.Configs() {
			if r.Type == resourceType {
				names = append(names, r.Name)
			}
		}
	}
	return names
}
