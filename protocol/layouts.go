package protocol

// layoutTexts says how each request lies on the wire, in the words of parseLayout. It is written by
// go test -run TestLayouts -update, from kmsg's decoders.
var layoutTexts = [...]string{
	0: "S:3+ 2 4 [64 s:0-12 16:13+ [40 4 B ] ]", // Produce
	1: "4:0-14 4 4 4:3+ 1:4+ 4:7+ 4:7+ [64 s:0-12 16:13+ [72 4 4:9+ 8 4:12+ 8:5+ 4 #0 16 #1 8 ] ] [64 s:7-12 16:13+ " +
		"[4 = 4 ] ]:7+ s:11+ #0 S #1 { 4 8 }", // Fetch
	2:  "4 1:2+ [48 s [32 4 4:4+ 8 4:0-0 ] ] 4:10+",                                                   // ListOffsets
	3:  "?1[32 16:10+ s:0-9 S:10+ ] 1:4+ 1:8-10 1:8+",                                                 // Metadata
	8:  "s 4:1+ s:1+ S:7+ 8:2-4 [64 s:0-9 16:10+ [48 4 8 8:1-1 4:6+ S ] ]",                            // OffsetCommit
	9:  "s:0-7 ?2[48 s [4 = 4 ] ]:0-7 [64 s S:9+ 4:9+ ?0[64 s:8-9 16:10+ [4 = 4 ] ] ]:8+ 1:7+",        // OffsetFetch
	10: "s:0-3 1:1+ [16 = s ]:4+",                                                                     // FindCoordinator
	11: "s 4 4:1+ s S:5+ s [48 s b ] S:8+",                                                            // JoinGroup
	12: "s 4 s S:3+",                                                                                  // Heartbeat
	13: "s s:0-2 [40 s S S:5+ ]:3+",                                                                   // LeaveGroup
	14: "s 4 s S:3+ S:5+ S:5+ [48 s b ]",                                                              // SyncGroup
	15: "[16 = s ] 1:3+",                                                                              // DescribeGroups
	16: "[16 = s ]:4+ [16 = s ]:5+",                                                                   // ListGroups
	17: "s",                                                                                           // SaslHandshake
	18: "s:3+ s:3+ S:5+ 4:5+",                                                                         // ApiVersions
	19: "[80 s 4 2 [40 4 [4 = 4 ] ] [32 s S ] ] 4 1:1+",                                               // CreateTopics
	20: "[16 = s ]:0-5 [32 S 16 ]:6+ 4",                                                               // DeleteTopics
	21: "[48 s [24 4 8 ] ] 4",                                                                         // DeleteRecords
	22: "S 4 8:3+ 2:3+",                                                                               // InitProducerId
	23: "4:3+ [48 s [24 4 4:2+ 4 ] ]",                                                                 // OffsetForLeaderEpoch
	24: "s:0-3 8:0-3 2:0-3 [48 s [4 = 4 ] ]:0-3 [64 s 8 2 1 [48 s [4 = 4 ] ] ]:4+",                    // AddPartitionsToTxn
	25: "s 8 2 s",                                                                                     // AddOffsetsToTxn
	26: "s 8 2 1",                                                                                     // EndTxn
	27: "[56 8 2 1 [48 s [4 = 4 ] ] 4 1:2+ ]",                                                         // WriteTxnMarkers
	28: "s s 8 2 4:3+ s:3+ S:3+ [64 s:0-5 16:6+ [40 4 8 4:2+ S ] ]",                                   // TxnOffsetCommit
	29: "1 S 1:1+ S S 1 1",                                                                            // DescribeAcls
	30: "[80 1 s 1:1+ s s 1 1 ]",                                                                      // CreateAcls
	31: "[56 1 S 1:1+ S S 1 1 ]",                                                                      // DeleteAcls
	32: "[56 1 s ?0[16 = s ] ] 1:1+ 1:3+",                                                             // DescribeConfigs
	33: "[56 1 s [32 s S ] ] 1",                                                                       // AlterConfigs
	34: "[48 s [48 s [4 = 4 ] ] ]",                                                                    // AlterReplicaLogDirs
	35: "?0[48 s [4 = 4 ] ]",                                                                          // DescribeLogDirs
	36: "b",                                                                                           // SaslAuthenticate
	37: "[56 s 4 ?0[32 [4 = 4 ] ] ] 4 1",                                                              // CreatePartitions
	38: "S:3+ S:3+ [40 s s ] 8",                                                                       // CreateDelegationToken
	39: "b 8",                                                                                         // RenewDelegationToken
	40: "b 8",                                                                                         // ExpireDelegationToken
	41: "?0[40 s s ]",                                                                                 // DescribeDelegationToken
	42: "[16 = s ]",                                                                                   // DeleteGroups
	43: "1:1+ ?0[48 s [4 = 4 ] ] 4",                                                                   // ElectLeaders
	44: "[56 1 s [40 s 1 S ] ] 1",                                                                     // IncrementalAlterConfigs
	45: "4 1:1+ [48 s [40 4 ?0[4 = 4 ] ] ]",                                                           // AlterPartitionReassignments
	46: "4 ?0[48 s [4 = 4 ] ]",                                                                        // ListPartitionReassignments
	47: "s [40 s [4 4 ] ]",                                                                            // OffsetDelete
	48: "[40 s 1 S ] 1",                                                                               // DescribeClientQuotas
	49: "[56 [32 s S ] [40 s 8 1 ] ] 1",                                                               // AlterClientQuotas
	50: "?0[24 s ]",                                                                                   // DescribeUserScramCredentials
	51: "[32 s 1 ] [80 s 1 4 b b ]",                                                                   // AlterUserScramCredentials
	52: "S 4:1+ [48 s [72 4 4 4 16:1+ 16:1+ 4 8 1:2+ ] ]",                                             // Vote
	53: "S 4:1+ [48 s [40 4 16:1+ 4 4 ] ] [48 s s 2 ]:1+",                                             // BeginQuorumEpoch
	54: "S [48 s [72 4 4 4 [4 = 4 ]:0-0 [32 4 16 ]:1+ ] ] [48 s s 2 ]:1+",                             // EndQuorumEpoch
	55: "[48 s [16 4 ] ]",                                                                             // DescribeQuorum
	56: "4 8 [64 s:0-1 16:2+ [72 4 4 [4 = 4 ]:0-2 [24 4 8 ]:3+ 1:1+ 4 ] ]",                            // AlterPartition
	57: "4 [32 s 2 1:0-0 1:1+ ] 1:1+",                                                                 // UpdateFeatures
	58: "b B b",                                                                                       // Envelope
	59: "4 4 [48 s [64 4 4 { 8 4 } 8 #0 16 ] ] #0 S",                                                  // FetchSnapshot
	60: "1 1:1+ 1:2+",                                                                                 // DescribeCluster
	61: "[48 s [4 = 4 ] ]",                                                                            // DescribeProducers
	62: "4 s 16 [48 s s 2 2 ] [32 s 2 2 ] S 1:1+ [16 = 16 ]:2+ 8:3+",                                  // BrokerRegistration
	63: "4 8 8 1 1 #0 [16 = 16 ] #1 ?0[16 = 16 ]",                                                     // BrokerHeartbeat
	64: "4",                                                                                           // UnregisterBroker
	65: "[16 = s ]",                                                                                   // DescribeTransactions
	66: "[16 = s ] [8 = 8 ] 8:1+ S:2+",                                                                // ListTransactions
	67: "4 8",                                                                                         // AllocateProducerIds
	68: "s s 4 S S 4 ?0[16 = s ] S:1+ S ?0[48 16 [4 = 4 ] ]",                                          // ConsumerGroupHeartbeat
	69: "[16 = s ] 1",                                                                                 // ConsumerGroupDescribe
	70: "4 16 1 [48 s s 2 2 ] [32 s 2 2 ]",                                                            // ControllerRegistration
	71: "16",                                                                                          // GetTelemetrySubscriptions
	72: "16 4 1 1 b",                                                                                  // PushTelemetry
	73: "4 8 [48 16 [48 16 [16 4 ] ] ]",                                                               // AssignReplicasToDirs
	74: "[1 = 1 ]:1+",                                                                                 // ListConfigResources
	75: "[24 s ] 4 ?{ s 4 }",                                                                          // DescribeTopicPartitions
	76: "s s 4 S ?0[16 = s ]",                                                                         // ShareGroupHeartbeat
	77: "[16 = s ] 1",                                                                                 // ShareGroupDescribe
	78: "S S 4 4 4 4 4:1+ 4:1+ 1:2+ 1:2+ [48 16 [40 4 4:0-0 [48 8 8 [1 = 1 ] ] ] ] [48 16 [4 = 4 ] ]", // ShareFetch
	79: "S S 4 1:2+ [48 16 [40 4 [48 8 8 [1 = 1 ] ] ] ]",                                              // ShareAcknowledge
	80: "S 4 4 16 [48 s s 2 ] 1:1+",                                                                   // AddRaftVoter
	81: "S 4 16",                                                                                      // RemoveRaftVoter
	82: "S 4 4 16 [48 s s 2 ] { 2 2 }",                                                                // UpdateRaftVoter
	83: "s [48 16 [24 4 4 8 ] ]",                                                                      // InitializeShareGroupState
	84: "s [48 16 [16 4 4 ] ]",                                                                        // ReadShareGroupState
	85: "s [48 16 [64 4 4 4 8 4:1+ [32 8 8 1 2 ] ] ]",                                                 // WriteShareGroupState
	86: "s [48 16 [16 4 ] ]",                                                                          // DeleteShareGroupState
	87: "s [48 16 [16 4 4 ] ]",                                                                        // ReadShareGroupStateSummary
	88: "s s 4 4 S S 4 ?{ 4 [168 s [16 = s ] [16 = s ] [56 s 4 2 [40 s s ] ] [16 = s ] [56 s 4 2 [40 s s ] ] [80 [2 = " +
		"2 ] [2 = 2 ] [2 = 2 ] ] ] } ?0[48 s [4 = 4 ] ] ?0[48 s [4 = 4 ] ] ?0[48 s [4 = 4 ] ] S ?{ s 2 } ?0[40 s s ] " +
		"?0[40 s 4 8 ] ?0[40 s 4 8 ] 1", // StreamsGroupHeartbeat
	89: "[16 = s ] 1 1:1+",           // StreamsGroupDescribe
	90: "[48 s ?0[48 s [4 = 4 ] ] ]", // DescribeShareGroupOffsets
	91: "s [48 s [24 4 8 ] ]",        // AlterShareGroupOffsets
	92: "s [24 s ]",                  // DeleteShareGroupOffsets
	93: "s s 4 { [48 s [112 s 1 [16 = s ] S [16 = s ] [16 = s ] ] ] [232 { s 1 [16 = s ] S [16 = s ] [16 = s ] } { s 1 " +
		"[16 = s ] S [16 = s ] [16 = s ] } ] }", // StreamsGroupTopologyDescriptionUpdate
	94: "4", // UnregisterController
}
