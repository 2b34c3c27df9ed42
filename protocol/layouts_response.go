package protocol

// responseTexts says how each response lies on the wire, in the words of parseLayout. It is written by
// go test -run TestLayouts -update, from kmsg's decoders.
var responseTexts = [...]string{
	0: "[64 s:0-12 16:13+ [88 4 2 8 8:2+ 8:5+ [24 4 S ]:8+ S:8+ #0 { 4 4 } ] ] 4:1+ #0 [48 4 s 4 S ]", // Produce
	1: "4:1+ 2:7+ 4:7+ [64 s:0-12 16:13+ [160 4 2 8 8:4+ 8:5+ ?0[24 8 8 ]:4+ 4:11+ B #0 { 4 8 } #1 { 4 4 } #2 { 8 4 } " +
		"] ] #0 [48 4 s 4 S ]", // Fetch
	2: "4:2+ [48 s [64 4 2 [8 = 8 ]:0-0 8:1+ 8:1+ 4:4+ ] ]", // ListOffsets
	3: "4:3+ [48 4 s 4 S:1+ ] S:2+ 4:1+ [80 2 s:0-11 S:12+ 16:10+ 1:1+ [96 2 4 4 4:7+ [4 = 4 ] [4 = 4 ] [4 = 4 ]:5+ ] " +
		"4:8+ ] 4:8-10 2:13+", // Metadata
	8:  "4:3+ [64 s:0-9 16:10+ [16 4 2 ] ]",                                                                              // OffsetCommit
	9:  "4:3+ [48 s [48 4 8 4:5+ S 2 ] ]:0-7 2:2-7 [56 s [64 s:8-9 16:10+ [48 4 8 4 S 2 ] ] 2 ]:8+",                      // OffsetFetch
	10: "4:1+ 2:0-3 S:1-3 4:0-3 s:0-3 4:0-3 [64 s 4 s 4 2 S ]:4+",                                                        // FindCoordinator
	11: "4:2+ 2 4 S:7+ s:0-6 S:7+ s 1:9+ s [56 s S:5+ b ]",                                                               // JoinGroup
	12: "4:1+ 2",                                                                                                         // Heartbeat
	13: "4:1+ 2 [40 s S 2 ]:3+",                                                                                          // LeaveGroup
	14: "4:1+ 2 S:5+ S:5+ b",                                                                                             // SyncGroup
	15: "4:1+ [120 2 S:6+ s s s s [112 s S:4+ s s b b ] 4:3+ ]",                                                          // DescribeGroups
	16: "4:1+ 2 [72 s s s:4+ s:5+ ]",                                                                                     // ListGroups
	17: "2 [16 = s ]",                                                                                                    // SaslHandshake
	18: "2 [16 2 2 2 ] 4:1+ #0 [32 s 2 2 ] #1 8 #2 [32 s 2 2 ] #3 1",                                                     // ApiVersions
	19: "4:2+ [96 s 16:7+ 2 S:1+ 4:5+ 2:5+ ?0[40 s S 1 1 1 ]:5+ #0 2 ]",                                                  // CreateTopics
	20: "4:1+ [48 s:0-5 S:6+ 16:6+ 2 S:5+ ]",                                                                             // DeleteTopics
	21: "4 [48 s [32 4 8 2 ] ]",                                                                                          // DeleteRecords
	22: "4 2 8 2",                                                                                                        // InitProducerId
	23: "4:2+ [48 s [32 2 4 4:1+ 8 ] ]",                                                                                  // OffsetForLeaderEpoch
	24: "4 2:4+ [48 s [48 s [16 4 2 ] ] ]:4+ [48 s [16 4 2 ] ]:0-3",                                                      // AddPartitionsToTxn
	25: "4 2",                                                                                                            // AddOffsetsToTxn
	26: "4 2 8:5+ 2:5+",                                                                                                  // EndTxn
	27: "[40 8 [48 s [16 4 2 ] ] ]",                                                                                      // WriteTxnMarkers
	28: "4 [64 s:0-5 16:6+ [16 4 2 ] ]",                                                                                  // TxnOffsetCommit
	29: "4 2 S [64 1 s 1:1+ [48 s s 1 1 ] ]",                                                                             // DescribeAcls
	30: "4 [24 2 S ]",                                                                                                    // CreateAcls
	31: "4 [48 2 S [96 2 S 1 s 1:1+ s s 1 1 ] ]",                                                                         // DeleteAcls
	32: "4 [72 2 S 1 s [80 s S 1 1:0-0 1:1+ 1 [40 s S 1 ]:1+ 1:3+ S:3+ ] ]",                                              // DescribeConfigs
	33: "4 [48 2 S 1 s ]",                                                                                                // AlterConfigs
	34: "4 [48 s [16 4 2 ] ]",                                                                                            // AlterReplicaLogDirs
	35: "4 2:3+ [80 2 s [48 s [40 4 8 8 1 ] ] 8:4+ 8:4+ 1:5+ ]",                                                          // DescribeLogDirs
	36: "2 S b 8:1+",                                                                                                     // SaslAuthenticate
	37: "4 [40 s 2 S ]",                                                                                                  // CreatePartitions
	38: "2 s s s:3+ s:3+ 8 8 8 s b 4",                                                                                    // CreateDelegationToken
	39: "2 8 4",                                                                                                          // RenewDelegationToken
	40: "2 8 4",                                                                                                          // ExpireDelegationToken
	41: "2 [160 s s s:3+ s:3+ 8 8 8 s b [40 s s ] ] 4",                                                                   // DescribeDelegationToken
	42: "4 [40 s 2 S:3+ ]",                                                                                               // DeleteGroups
	43: "4 2:1+ [48 s [24 4 2 S ] ]",                                                                                     // ElectLeaders
	44: "4 [48 2 S 1 s ]",                                                                                                // IncrementalAlterConfigs
	45: "4 1:1+ 2 S [48 s [24 4 2 S ] ]",                                                                                 // AlterPartitionReassignments
	46: "4 2 S [48 s [88 4 [4 = 4 ] [4 = 4 ] [4 = 4 ] ] ]",                                                               // ListPartitionReassignments
	47: "2 4 [40 s [8 4 2 ] ]",                                                                                           // OffsetDelete
	48: "4 2 S ?0[56 [32 s S ] [32 s 8 ] ]",                                                                              // DescribeClientQuotas
	49: "4 [48 2 S [32 s S ] ]",                                                                                          // AlterClientQuotas
	50: "4 2 S [64 s 2 S [16 1 4 ] ]",                                                                                    // DescribeUserScramCredentials
	51: "4 [40 s 2 S ]",                                                                                                  // AlterUserScramCredentials
	52: "2 [48 s [32 4 2 4 4 1 ] ] #0 [40 4:1+ s:1+ 2:1+ ]",                                                              // Vote
	53: "2 [48 s [24 4 2 4 4 ] ] #0 [40 4:1+ s:1+ 2:1+ ]",                                                                // BeginQuorumEpoch
	54: "2 [48 s [24 4 2 4 4 ] ] #0 [40 4:1+ s:1+ 2:1+ ]",                                                                // EndQuorumEpoch
	55: "2 S:2+ [48 s [88 4 2 S:2+ 4 4 8 [56 4 16:2+ 8 8:1+ 8:1+ ] [56 4 16:2+ 8 8:1+ 8:1+ ] ] ] [40 4 [48 s s 2 ] ]:2+", // DescribeQuorum
	56: "4 2 [64 s:0-1 16:2+ [56 4 2 4 4 [4 = 4 ] 1:1+ 4 ] ]",                                                            // AlterPartition
	57: "4 2 S [40 s 2 S ]:0-1",                                                                                          // UpdateFeatures
	58: "B 2",                                                                                                            // Envelope
	59: "4 2 [48 s [96 4 2 { 8 4 } 8 8 b #0 { 4 4 } ] ] #0 [40 4:1+ s:1+ 2:1+ ]",                                         // FetchSnapshot
	60: "4 2 S 1:1+ s 4 [56 4 s 4 S 1:2+ ] 4",                                                                            // DescribeCluster
	61: "4 [48 s [48 4 2 S [48 8 4 4 8 4 8 ] ] ]",                                                                        // DescribeProducers
	62: "4 2 8",                                                                                                          // BrokerRegistration
	63: "4 2 1 1 1",                                                                                                      // BrokerHeartbeat
	64: "4 2 S",                                                                                                          // UnregisterBroker
	65: "4 [104 2 s s 4 8 8 2 [48 s [4 = 4 ] ] ]",                                                                        // DescribeTransactions
	66: "4 2 [16 = s ] [48 s 8 s ]",                                                                                      // ListTransactions
	67: "4 2 8 4",                                                                                                        // AllocateProducerIds
	68: "4 2 S S 4 4 ?{ [48 16 [4 = 4 ] ] }",                                                                             // ConsumerGroupHeartbeat
	69: "4 [112 2 S s s 4 4 s [184 s S S 4 s s [16 = s ] S { [64 16 s [4 = 4 ] ] } { [64 16 s [4 = 4 ] ] } 1:1+ ] 4 ]",   // ConsumerGroupDescribe
	70: "4 2 S",                                                                                                          // ControllerRegistration
	71: "4 2 16 4 [1 = 1 ] 4 4 1 [16 = s ]",                                                                              // GetTelemetrySubscriptions
	72: "4 2",                                                                                                            // PushTelemetry
	73: "4 2 [48 16 [48 16 [16 4 2 ] ] ]",                                                                                // AssignReplicasToDirs
	74: "4 2 [32 s 1:1+ ]",                                                                                               // ListConfigResources
	75: "4 [80 2 S 16 1 [144 2 4 4 4 [4 = 4 ] [4 = 4 ] ?0[4 = 4 ] ?0[4 = 4 ] [4 = 4 ] ] 4 ] ?{ s 4 }",                    // DescribeTopicPartitions
	76: "4 2 S S 4 4 ?{ [48 16 [4 = 4 ] ] }",                                                                             // ShareGroupHeartbeat
	77: "4 [112 2 S s s 4 4 s [128 s S 4 s s [16 = s ] { [64 16 s [4 = 4 ] ] } ] 4 ]",                                    // ShareGroupDescribe
	78: "4 2 S 4:1+ [48 16 [104 4 2 S 2 S { 4 4 } B [32 8 8 2 ] ] ] [48 4 s 4 S ]",                                       // ShareFetch
	79: "4 2 S 4:2+ [48 16 [40 4 2 S { 4 4 } ] ] [48 4 s 4 S ]",                                                          // ShareAcknowledge
	80: "4 2 S",                                                                                                          // AddRaftVoter
	81: "4 2 S",                                                                                                          // RemoveRaftVoter
	82: "4 2 #0 { 4 4 s 4 }",                                                                                             // UpdateRaftVoter
	83: "[48 16 [24 4 2 S ] ]",                                                                                           // InitializeShareGroupState
	84: "[48 16 [64 4 2 S 4 8 [32 8 8 1 2 ] ] ]",                                                                         // ReadShareGroupState
	85: "[48 16 [24 4 2 S ] ]",                                                                                           // WriteShareGroupState
	86: "[48 16 [24 4 2 S ] ]",                                                                                           // DeleteShareGroupState
	87: "[48 16 [48 4 2 S 4 4 8 4:1+ ] ]",                                                                                // ReadShareGroupStateSummary
	88: "4 2 S s 4 4 4:0-0 4 8:1+ ?0[32 1 s ] ?0[48 s [4 = 4 ] ] ?0[48 s [4 = 4 ] ] ?0[48 s [4 = 4 ] ] 1:1+ 4 ?0[88 { " +
		"s 2 } [48 s [4 = 4 ] ] [48 s [4 = 4 ] ] ]", // StreamsGroupHeartbeat
	89: "4 [128 2 S s s 4 4 ?{ 4 ?0[120 s [16 = s ] [16 = s ] [56 s 4 2 [40 s s ] ] [56 s 4 2 [40 s s ] ] ] } [352 s 4 " +
		"S S s s 4 s ?{ s 2 } [40 s s ] [40 s 4 8 ] [40 s 4 8 ] { [48 s [4 = 4 ] ] [48 s [4 = 4 ] ] [48 s [4 = 4 ] ] } " +
		"{ [48 s [4 = 4 ] ] [48 s [4 = 4 ] ] [48 s [4 = 4 ] ] } 1 ] 4 ?{ [48 s [112 s 1 [16 = s ] S [16 = s ] [16 = s " +
		"] ] ] [232 { s 1 [16 = s ] S [16 = s ] [16 = s ] } { s 1 [16 = s ] S [16 = s ] [16 = s ] } ] }:1+ 1:1+ S:1+ ]", // StreamsGroupDescribe
	90: "4 [64 s [64 s 16 [56 4 8 4 8:1+ 2 S ] ] 2 S ]", // DescribeShareGroupOffsets
	91: "4 2 S [64 s 16 [24 4 2 S ] ]",                  // AlterShareGroupOffsets
	92: "4 2 S [56 s 16 2 S ]",                          // DeleteShareGroupOffsets
	93: "4 2 S",                                         // StreamsGroupTopologyDescriptionUpdate
	94: "4 2 S",                                         // UnregisterController
}
