package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

func TestDescribeCluster(t *testing.T) {
	versions(t, 60, func(t *testing.T, v int16) {
		w := newWorld(t)
		q := kmsg.NewPtrDescribeClusterRequest()
		r := call[*kmsg.DescribeClusterResponse](w, v, q)
		if r.ErrorCode != 0 || r.ErrorMessage != nil || r.ClusterID != testCluster || r.ControllerID != 1 || r.ClusterAuthorizedOperations != unknownOperations || r.EndpointType != 1 {
			t.Errorf("%+v", r)
		}
		if len(r.Brokers) != 2 || r.Brokers[0].Host != "h1" || r.Brokers[1].NodeID != 2 || value(r.Brokers[1].Rack) != "r2" || r.Brokers[0].IsFenced {
			t.Errorf("%+v", r.Brokers)
		}
		q.IncludeClusterAuthorizedOperations, q.IncludeFencedBrokers = true, true
		r = call[*kmsg.DescribeClusterResponse](w, v, q)
		if r.ClusterAuthorizedOperations != 8096 {
			t.Errorf("operations %d", r.ClusterAuthorizedOperations)
		}
		if (len(r.Brokers) == 3 && r.Brokers[2].IsFenced) != (v >= 2) {
			t.Errorf("%+v", r.Brokers)
		}
		w.auth.deny(Describe, ClusterResource, ClusterName)
		if r = call[*kmsg.DescribeClusterResponse](w, v, q); r.ErrorCode != 0 || r.ClusterAuthorizedOperations != 0 {
			t.Errorf("denied: %+v", r)
		}
		if v == 0 {
			return
		}
		for endpoint, want := range map[int8]struct {
			code    protocol.Code
			message string
		}{
			0: {protocol.UnsupportedEndpointType, "Unsupported endpoint type 0"},
			2: {protocol.MismatchedEndpointType, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"},
			3: {protocol.UnsupportedEndpointType, "Unsupported endpoint type 3"},
		} {
			q.EndpointType = endpoint
			r = call[*kmsg.DescribeClusterResponse](w, v, q)
			if code(t, r.ErrorCode, want.code, "endpoint"); value(r.ErrorMessage) != want.message || r.ClusterID != "" || r.ControllerID != -1 || r.ClusterAuthorizedOperations != unknownOperations {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestDescribeClusterOnController(t *testing.T) {
	w := newWorld(t)
	w.who.OnController, w.who.ListenerName = true, "EXTERNAL"
	q := kmsg.NewPtrDescribeClusterRequest()
	r := call[*kmsg.DescribeClusterResponse](w, 2, q)
	if code(t, r.ErrorCode, protocol.MismatchedEndpointType, "brokers asked for"); value(r.ErrorMessage) != "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER" {
		t.Error(value(r.ErrorMessage))
	}
	q.EndpointType = 2
	r = call[*kmsg.DescribeClusterResponse](w, 2, q)
	if r.ErrorCode != 0 || r.EndpointType != 2 || len(r.Brokers) != 1 || r.Brokers[0].Host != "x1" {
		t.Errorf("%+v", r)
	}
	w.auth.deny(Alter, ClusterResource, ClusterName)
	code(t, call[*kmsg.DescribeClusterResponse](w, 2, q).ErrorCode, protocol.ClusterAuthorizationFailed, "denied")
}
