package api

import "weir/protocol"

// Table is the only registration of handlers, sorted by key. A key that is not in it is not advertised.
var Table = []Row{
	{0, handle(produce)},
	{1, handle(fetchRecords)},
	{2, handle(listOffsets)},
	{3, handle(metadata)},
	{8, handle(offsetCommit)},
	{9, handle(offsetFetch)},
	{10, handle(findCoordinator)},
	{11, handle(joinGroup)},
	{12, handle(heartbeat)},
	{13, handle(leaveGroup)},
	{14, handle(syncGroup)},
	{15, handle(describeGroups)},
	{16, handle(listGroups)},
	{18, handle(apiVersions)},
	{19, handle(createTopics)},
	{20, handle(deleteTopics)},
	{21, handle(deleteRecords)},
	{22, handle(initProducerID)},
	{23, handle(offsetForLeaderEpoch)},
	{24, handle(addPartitionsToTxn)},
	{25, handle(addOffsetsToTxn)},
	{26, handle(endTxn)},
	{27, handle(writeTxnMarkers)},
	{28, handle(txnOffsetCommit)},
	{32, handle(describeConfigs)},
	{33, handle(alterConfigs)},
	{35, handle(describeLogDirs)},
	{37, handle(createPartitions)},
	{42, handle(deleteGroups)},
	{43, handle(electLeaders)},
	{44, handle(incrementalAlterConfigs)},
	{45, handle(alterPartitionReassignments)},
	{46, handle(listPartitionReassignments)},
	{47, handle(offsetDelete)},
	{55, handle(describeQuorum)},
	{57, handle(updateFeatures)},
	{60, handle(describeCluster)},
	{61, handle(describeProducers)},
	{64, handle(unregisterBroker)},
	{65, handle(describeTransactions)},
	{66, handle(listTransactions)},
	{68, handle(consumerGroupHeartbeat)},
	{69, handle(consumerGroupDescribe)},
	{74, handle(listConfigResources)},
	{75, handle(describeTopicPartitions)},
	{80, handle(addRaftVoter)},
	{81, handle(removeRaftVoter)},
}

// tableEntries is Entries for the handler of ApiVersions. It stands in the table itself: only through an interface is that not an
// initialization cycle.
var tableEntries interface{ entries() []*Entry } = registered{}

type registered struct{}

func (registered) entries() []*Entry { return Entries() }

// Entry is a row of Table together with what the protocol says of its key.
type Entry struct {
	Row
	API protocol.API
}

// Served says whether the key is served on a controller listener, or on one for clients.
func (e *Entry) Served(onController bool) bool {
	if onController {
		return e.API.Listeners&protocol.OnController != 0
	}
	return e.API.Listeners&protocol.OnBroker != 0
}

// Accepts says whether a request of that version is answered. Produce is advertised from version 0 but answered from 3 only, as
// Kafka does: older librdkafka turns compression off where it does not see version 0 to 2.
func (e *Entry) Accepts(version int16) bool {
	lowest := e.API.Min
	if e.Key == 0 {
		lowest = 3
	}
	return version >= lowest && version <= e.API.Max
}

// Entries returns the table by key: index k is key k, nil where it is not served.
func Entries() []*Entry {
	out := make([]*Entry, protocol.APIs[len(protocol.APIs)-1].Key+1)
	for _, a := range protocol.APIs {
		for _, r := range Table {
			if r.Key == a.Key {
				out[a.Key] = &Entry{Row: r, API: a}
			}
		}
	}
	return out
}
