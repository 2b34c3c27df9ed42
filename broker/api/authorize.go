package api

// The operations that each kind of resource knows, for the bit fields of Metadata, DescribeCluster, DescribeGroups and the like
// (org.apache.kafka.security.authorizer.AclEntry.supportedOperations).
var (
	topicOperations   = []Operation{Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs}
	clusterOperations = []Operation{Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite}
	groupOperations   = []Operation{Read, Delete, Describe, DescribeConfigs, AlterConfigs}
)

// unknownOperations is what a client reads that did not ask for authorized operations.
const unknownOperations = -1 << 31

// authorizedOperations returns a bit for each operation that the session may do to a resource.
func (s *Server) authorizedOperations(who *Session, r Resource, name string) int32 {
	known := topicOperations
	switch r {
	case ClusterResource:
		known = clusterOperations
	case GroupResource:
		known = groupOperations
	}
	var bits int32
	for _, op := range known {
		if s.Authorizer.Authorize(who, op, r, name) {
			bits |= 1 << op
		}
	}
	return bits
}

// mayTopic says whether the session may do op to a topic.
func (s *Server) mayTopic(who *Session, op Operation, topic string) bool {
	return s.Authorizer.Authorize(who, op, TopicResource, topic)
}

// mayCluster says whether the session may do op to the cluster.
func (s *Server) mayCluster(who *Session, op Operation) bool {
	return s.Authorizer.Authorize(who, op, ClusterResource, ClusterName)
}
