package protocol

// Listeners says on which kinds of listener a key is served.
type Listeners uint8

const (
	// OnBroker is a listener for clients and other brokers.
	OnBroker Listeners = 1 << iota
	// OnController is a listener of controller.listener.names.
	OnController
)

// Answerer says which broker of a cluster can answer a request: what a proxy routes by and a broker forwards by.
type Answerer uint8

const (
	// AnyBroker can answer.
	AnyBroker Answerer = iota
	// ThisBroker answers for itself only: what it has is not what another has.
	ThisBroker
	// PartitionLeader answers for the partitions it leads.
	PartitionLeader
	// GroupCoordinator answers for the groups it coordinates.
	GroupCoordinator
	// TxnCoordinator answers for the transactional ids it coordinates.
	TxnCoordinator
	// ShareCoordinator answers for the share-group state it holds.
	ShareCoordinator
	// Controller answers; every broker forwards to it.
	Controller
)

// API is one Kafka API key as Kafka 4.4 serves it.
type API struct {
	Key       int16
	Name      string
	Min, Max  int16 // versions, both included
	Listeners Listeners
	Answers   Answerer
}

// APIs is every key of Kafka 4.4, sorted by key. Which of them this binary serves is said by the table of broker/api.
var APIs = []API{
	{0, "Produce", 0, 13, OnBroker, PartitionLeader},
	{1, "Fetch", 4, 18, OnBroker | OnController, PartitionLeader},
	{2, "ListOffsets", 1, 11, OnBroker, PartitionLeader},
	{3, "Metadata", 0, 13, OnBroker, AnyBroker},
	{8, "OffsetCommit", 2, 10, OnBroker, GroupCoordinator},
	{9, "OffsetFetch", 1, 10, OnBroker, GroupCoordinator},
	{10, "FindCoordinator", 0, 6, OnBroker, AnyBroker},
	{11, "JoinGroup", 0, 9, OnBroker, GroupCoordinator},
	{12, "Heartbeat", 0, 4, OnBroker, GroupCoordinator},
	{13, "LeaveGroup", 0, 5, OnBroker, GroupCoordinator},
	{14, "SyncGroup", 0, 5, OnBroker, GroupCoordinator},
	{15, "DescribeGroups", 0, 6, OnBroker, GroupCoordinator},
	{16, "ListGroups", 0, 5, OnBroker, ThisBroker},
	{17, "SaslHandshake", 0, 1, OnBroker | OnController, ThisBroker},
	{18, "ApiVersions", 0, 5, OnBroker | OnController, ThisBroker},
	{19, "CreateTopics", 2, 7, OnBroker | OnController, Controller},
	{20, "DeleteTopics", 1, 6, OnBroker | OnController, Controller},
	{21, "DeleteRecords", 0, 2, OnBroker, PartitionLeader},
	{22, "InitProducerId", 0, 5, OnBroker, TxnCoordinator},
	{23, "OffsetForLeaderEpoch", 2, 4, OnBroker, PartitionLeader},
	{24, "AddPartitionsToTxn", 0, 5, OnBroker, TxnCoordinator},
	{25, "AddOffsetsToTxn", 0, 4, OnBroker, TxnCoordinator},
	{26, "EndTxn", 0, 5, OnBroker, TxnCoordinator},
	{27, "WriteTxnMarkers", 1, 2, OnBroker, PartitionLeader},
	{28, "TxnOffsetCommit", 0, 6, OnBroker, GroupCoordinator},
	{29, "DescribeAcls", 1, 3, OnBroker | OnController, Controller},
	{30, "CreateAcls", 1, 3, OnBroker | OnController, Controller},
	{31, "DeleteAcls", 1, 3, OnBroker | OnController, Controller},
	{32, "DescribeConfigs", 1, 4, OnBroker | OnController, AnyBroker},
	{33, "AlterConfigs", 0, 2, OnBroker | OnController, Controller},
	{34, "AlterReplicaLogDirs", 1, 2, OnBroker, ThisBroker},
	{35, "DescribeLogDirs", 1, 5, OnBroker, ThisBroker},
	{36, "SaslAuthenticate", 0, 2, OnBroker | OnController, ThisBroker},
	{37, "CreatePartitions", 0, 3, OnBroker | OnController, Controller},
	{38, "CreateDelegationToken", 1, 3, OnBroker | OnController, Controller},
	{39, "RenewDelegationToken", 1, 2, OnBroker | OnController, Controller},
	{40, "ExpireDelegationToken", 1, 2, OnBroker | OnController, Controller},
	{41, "DescribeDelegationToken", 1, 3, OnBroker | OnController, Controller},
	{42, "DeleteGroups", 0, 3, OnBroker, GroupCoordinator},
	{43, "ElectLeaders", 0, 2, OnBroker | OnController, Controller},
	{44, "IncrementalAlterConfigs", 0, 1, OnBroker | OnController, Controller},
	{45, "AlterPartitionReassignments", 0, 1, OnBroker | OnController, Controller},
	{46, "ListPartitionReassignments", 0, 0, OnBroker | OnController, Controller},
	{47, "OffsetDelete", 0, 0, OnBroker, GroupCoordinator},
	{48, "DescribeClientQuotas", 0, 1, OnBroker, Controller},
	{49, "AlterClientQuotas", 0, 1, OnBroker | OnController, Controller},
	{50, "DescribeUserScramCredentials", 0, 0, OnBroker | OnController, Controller},
	{51, "AlterUserScramCredentials", 0, 0, OnBroker | OnController, Controller},
	{52, "Vote", 0, 2, OnController, Controller},
	{53, "BeginQuorumEpoch", 0, 1, OnController, Controller},
	{54, "EndQuorumEpoch", 0, 1, OnController, Controller},
	{55, "DescribeQuorum", 0, 2, OnBroker | OnController, Controller},
	{56, "AlterPartition", 2, 3, OnController, Controller},
	{57, "UpdateFeatures", 0, 2, OnBroker | OnController, Controller},
	{58, "Envelope", 0, 0, OnController, Controller},
	{59, "FetchSnapshot", 0, 1, OnController, Controller},
	{60, "DescribeCluster", 0, 2, OnBroker | OnController, AnyBroker},
	{61, "DescribeProducers", 0, 0, OnBroker, PartitionLeader},
	{62, "BrokerRegistration", 0, 4, OnController, Controller},
	{63, "BrokerHeartbeat", 0, 2, OnController, Controller},
	{64, "UnregisterBroker", 0, 0, OnBroker | OnController, Controller},
	{65, "DescribeTransactions", 0, 0, OnBroker, TxnCoordinator},
	{66, "ListTransactions", 0, 2, OnBroker, ThisBroker},
	{67, "AllocateProducerIds", 0, 0, OnController, Controller},
	{68, "ConsumerGroupHeartbeat", 0, 1, OnBroker, GroupCoordinator},
	{69, "ConsumerGroupDescribe", 0, 1, OnBroker, GroupCoordinator},
	{70, "ControllerRegistration", 0, 0, OnController, Controller},
	{71, "GetTelemetrySubscriptions", 0, 0, OnBroker, AnyBroker},
	{72, "PushTelemetry", 0, 0, OnBroker, AnyBroker},
	{73, "AssignReplicasToDirs", 0, 0, OnController, Controller},
	{74, "ListConfigResources", 0, 1, OnBroker, AnyBroker},
	{75, "DescribeTopicPartitions", 0, 0, OnBroker, AnyBroker},
	{76, "ShareGroupHeartbeat", 1, 1, OnBroker, GroupCoordinator},
	{77, "ShareGroupDescribe", 1, 1, OnBroker, GroupCoordinator},
	{78, "ShareFetch", 1, 2, OnBroker, PartitionLeader},
	{79, "ShareAcknowledge", 1, 2, OnBroker, PartitionLeader},
	{80, "AddRaftVoter", 0, 1, OnBroker | OnController, Controller},
	{81, "RemoveRaftVoter", 0, 0, OnBroker | OnController, Controller},
	{82, "UpdateRaftVoter", 0, 0, OnController, Controller},
	{83, "InitializeShareGroupState", 0, 0, OnBroker, ShareCoordinator},
	{84, "ReadShareGroupState", 0, 0, OnBroker, ShareCoordinator},
	{85, "WriteShareGroupState", 0, 1, OnBroker, ShareCoordinator},
	{86, "DeleteShareGroupState", 0, 0, OnBroker, ShareCoordinator},
	{87, "ReadShareGroupStateSummary", 0, 1, OnBroker, ShareCoordinator},
	{88, "StreamsGroupHeartbeat", 0, 1, OnBroker, GroupCoordinator},
	{89, "StreamsGroupDescribe", 0, 1, OnBroker, GroupCoordinator},
	{90, "DescribeShareGroupOffsets", 0, 1, OnBroker, GroupCoordinator},
	{91, "AlterShareGroupOffsets", 0, 0, OnBroker, GroupCoordinator},
	{92, "DeleteShareGroupOffsets", 0, 0, OnBroker, GroupCoordinator},
	{93, "StreamsGroupTopologyDescriptionUpdate", 0, 0, OnBroker, GroupCoordinator},
	{94, "UnregisterController", 0, 0, OnBroker | OnController, Controller},
}
