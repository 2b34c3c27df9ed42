import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.server.common.ApiMessageAndVersion;

/**
 * Prints records of __consumer_offsets as Kafka itself writes them: the golden file of coordinator/group/records_test.go.
 * Usage, in this folder: java -cp "$(./kafka.sh jars 4.4.0)/*" GroupRecords.java > ../../coordinator/group/testdata/records/kafka-4.4.0.txt
 */
public class GroupRecords {
    static final GroupCoordinatorRecordSerde serde = new GroupCoordinatorRecordSerde();
    static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    static final Uuid A = Uuid.fromString("AAECAwQFBgcICQoLDA0ODw"), B = Uuid.fromString("EBESExQVFhcYGRobHB0eHw");

    static String hex(byte[] b) {
        if (b == null) return "null";
        var s = new StringBuilder();
        for (byte x : b) s.append(String.format("%02x", x));
        return s.toString();
    }

    static void record(String name, ApiMessage key, ApiMessage value, int version) {
        var r = value == null ? CoordinatorRecord.tombstone(key) : CoordinatorRecord.record(key, new ApiMessageAndVersion(value, (short) version));
        out.printf("%s%n%s%n%s%n", name, hex(serde.serializeKey(r)), hex(serde.serializeValue(r)));
    }

    static byte[] bytes(String s) { return s.getBytes(StandardCharsets.UTF_8); }

    public static void main(String[] args) {
        var offset = new OffsetCommitKey().setGroup("g").setTopic("topic").setPartition(3);
        record("offset tombstone", offset, null, 0);
        record("offset legacy", new LegacyOffsetCommitKey().setGroup("g").setTopic("topic").setPartition(3),
            new LegacyOffsetCommitValue().setOffset(7).setMetadata("m").setCommitTimestamp(1000), 0);
        for (int v = 0; v <= 4; v++)
            record("offset v" + v, offset, new OffsetCommitValue().setOffset(1L << 40).setMetadata("möre").setCommitTimestamp(1234567890123L)
                .setLeaderEpoch(v >= 3 ? 5 : -1).setExpireTimestamp(v == 1 ? 99 : -1).setTopicId(v >= 4 ? A : Uuid.ZERO_UUID), v);
        record("offset v4 without id", offset, new OffsetCommitValue().setOffset(7).setMetadata("").setCommitTimestamp(1000).setLeaderEpoch(-1), 4);

        var group = new GroupMetadataKey().setGroup("group-é");
        record("group tombstone", group, null, 0);
        record("group empty", group, new GroupMetadataValue().setProtocolType("").setGeneration(0).setProtocol(null).setLeader(null)
            .setCurrentStateTimestamp(1000).setMembers(List.of()), 3);
        for (int v = 0; v <= 4; v++)
            record("group v" + v, group, new GroupMetadataValue().setProtocolType("consumer").setGeneration(12).setProtocol("range").setLeader("m1")
                .setCurrentStateTimestamp(v >= 2 ? 5000 : -1).setMembers(List.of(
                    new GroupMetadataValue.MemberMetadata().setMemberId("m1").setGroupInstanceId(v >= 3 ? "i1" : null).setClientId("c1").setClientHost("/127.0.0.1")
                        .setRebalanceTimeout(v >= 1 ? 60000 : -1).setSessionTimeout(45000).setSubscription(bytes("sub")).setAssignment(bytes("assigned")),
                    new GroupMetadataValue.MemberMetadata().setMemberId("m2").setClientId("").setClientHost("/::1")
                        .setRebalanceTimeout(v >= 1 ? 1 : -1).setSessionTimeout(6000).setSubscription(new byte[0]).setAssignment(new byte[0]))), v);

        record("consumer metadata", new ConsumerGroupMetadataKey().setGroupId("g"), new ConsumerGroupMetadataValue().setEpoch(3), 0);
        record("consumer metadata hash", new ConsumerGroupMetadataKey().setGroupId("g"), new ConsumerGroupMetadataValue().setEpoch(3).setMetadataHash(-2L), 0);
        record("consumer partition tombstone", new ConsumerGroupPartitionMetadataKey().setGroupId("g"), null, 0);
        var member = new ConsumerGroupMemberMetadataKey().setGroupId("g").setMemberId("m");
        record("consumer member", member, new ConsumerGroupMemberMetadataValue().setInstanceId(null).setRackId(null).setClientId("c").setClientHost("/h")
            .setSubscribedTopicNames(List.of()).setSubscribedTopicRegex(null).setRebalanceTimeoutMs(-1).setServerAssignor(null)
            .setClassicMemberMetadata(null), 0); // as the coordinator does: the default is an empty one
        record("consumer member full", member, new ConsumerGroupMemberMetadataValue().setInstanceId("i").setRackId("r").setClientId("c").setClientHost("/h")
            .setSubscribedTopicNames(List.of("a", "b")).setSubscribedTopicRegex("x.*").setRebalanceTimeoutMs(45000).setServerAssignor("uniform")
            .setClassicMemberMetadata(new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata().setSessionTimeoutMs(30000).setSupportedProtocols(List.of(
                new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("range").setMetadata(bytes("meta")),
                new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("sticky").setMetadata(new byte[200])))), 0);
        record("consumer target", new ConsumerGroupTargetAssignmentMetadataKey().setGroupId("g"), new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(4), 0);
        record("consumer target timestamp", new ConsumerGroupTargetAssignmentMetadataKey().setGroupId("g"),
            new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(4).setAssignmentTimestamp(1234567890123L), 0);
        record("consumer target member", new ConsumerGroupTargetAssignmentMemberKey().setGroupId("g").setMemberId("m"),
            new ConsumerGroupTargetAssignmentMemberValue().setTopicPartitions(List.of(
                new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(A).setPartitions(List.of(0, 1, 2)),
                new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(B).setPartitions(List.of()))), 0);
        record("consumer current", new ConsumerGroupCurrentMemberAssignmentKey().setGroupId("g").setMemberId("m"),
            new ConsumerGroupCurrentMemberAssignmentValue().setMemberEpoch(5).setPreviousMemberEpoch(4).setState((byte) 1)
                .setAssignedPartitions(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(A).setPartitions(List.of(1, 2))
                    .setAssignmentEpochs(List.of(4, 5))))
                .setPartitionsPendingRevocation(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(B).setPartitions(List.of(7)))), 0);
        record("consumer current tombstone", new ConsumerGroupCurrentMemberAssignmentKey().setGroupId("g").setMemberId("m"), null, 0);
        record("consumer regex", new ConsumerGroupRegularExpressionKey().setGroupId("g").setRegularExpression("x.*"),
            new ConsumerGroupRegularExpressionValue().setTopics(List.of("xa", "xb")).setVersion(9).setTimestamp(1000), 0);
    }
}
