package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// DescribeCluster (60), v0-2. Answered by any broker; on a controller listener by any controller.
//
// Versions: 1 brokers or controllers (KIP-919) · 2 fenced brokers (KIP-1073).
// Needs: DESCRIBE on Cluster for the operations on it; on a controller listener ALTER on Cluster.
// Differs from Kafka: on a controller listener the nodes are the brokers that have registered that listener, for every controller is
// one of them.

// The endpoint types of KIP-919.
const (
	brokerEndpoint     = 1
	controllerEndpoint = 2
)

func describeCluster(s *Server, c *Call, q *kmsg.DescribeClusterRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ControllerID, resp.ClusterAuthorizedOperations, resp.EndpointType = -1, unknownOperations, brokerEndpoint
	here, asked := int8(brokerEndpoint), q.EndpointType
	if c.Session.OnController {
		here = controllerEndpoint
		if !s.mayCluster(c.Session, Alter) {
			resp.ErrorCode, resp.ErrorMessage = int16(protocol.ClusterAuthorizationFailed), text(protocol.ClusterAuthorizationFailed.Message())
			return resp, nil
		}
	}
	if q.Version == 0 {
		asked = brokerEndpoint // the field's default
	}
	if code, message := endpointProblem(here, asked); code != protocol.None {
		if q.Version == 0 {
			code = protocol.InvalidRequest
		}
		resp.ErrorCode, resp.ErrorMessage = int16(code), text(message)
		return resp, nil
	}
	if q.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = 0
		if s.mayCluster(c.Session, Describe) {
			resp.ClusterAuthorizedOperations = s.authorizedOperations(c.Session, ClusterResource, ClusterName)
		}
	}
	known := nodes(s.Image(), c.Session.ListenerName, q.IncludeFencedBrokers && here == brokerEndpoint)
	for _, n := range known {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack, b.IsFenced = n.ID, n.host, n.port, text(n.Rack), n.Fenced
		resp.Brokers = append(resp.Brokers, b)
	}
	resp.ClusterID, resp.EndpointType, resp.ControllerID = s.ClusterID, here, s.controllerID(known)
	return resp, nil
}

func endpointProblem(here, asked int8) (protocol.Code, string) {
	names := map[int8]string{brokerEndpoint: "BROKER", controllerEndpoint: "CONTROLLER"}
	switch {
	case names[asked] == "":
		return protocol.UnsupportedEndpointType, fmt.Sprintf("Unsupported endpoint type %d", asked)
	case asked != here:
		return protocol.MismatchedEndpointType, fmt.Sprintf("The request was sent to an endpoint of type %s, but we wanted an endpoint of type %s", names[here], names[asked])
	}
	return protocol.None, ""
}
