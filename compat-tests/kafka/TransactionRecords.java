import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.coordinator.transaction.TransactionLog;
import org.apache.kafka.coordinator.transaction.TransactionState;
import org.apache.kafka.coordinator.transaction.TxnTransitMetadata;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogValue;
import org.apache.kafka.server.common.TransactionVersion;

/**
 * Prints records of __transaction_state as Kafka itself writes them: the golden file of coordinator/txn/records_test.go.
 * Usage, in this folder: java -cp "$(./kafka.sh jars 4.4.0)/*" TransactionRecords.java > ../../coordinator/txn/testdata/records/kafka-4.4.0.txt
 */
public class TransactionRecords {
    static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    static String hex(byte[] b) {
        if (b == null) return "null";
        var s = new StringBuilder();
        for (byte x : b) s.append(String.format("%02x", x));
        return s.toString();
    }

    static void print(String name, String id, byte[] value) {
        out.printf("%s%n%s%n%s%n", name, hex(TransactionLog.keyToBytes(id)), hex(value));
    }

    static void record(String name, String id, TransactionVersion level, long pid, long prev, long next, int epoch, TransactionState state,
            Set<TopicPartition> parts, long start, TransactionVersion client) {
        print(name, id, TransactionLog.valueToBytes(new TxnTransitMetadata(pid, prev, next, (short) epoch, (short) -1, 60000, state, new java.util.HashSet<>(parts),
            start, 1234567890123L, client), level));
    }

    static TransactionLogValue.PartitionsSchema parts(String topic, Integer... n) {
        return new TransactionLogValue.PartitionsSchema().setTopic(topic).setPartitionIds(List.of(n));
    }

    public static void main(String[] args) {
        var none = Set.<TopicPartition>of();
        var one = Set.of(new TopicPartition("topic", 3));
        print("tombstone", "id-é", null);
        for (var level : TransactionVersion.values()) {
            var v = " level " + level.featureLevel();
            record("empty" + v, "id", level, 7, 7, -1, 0, TransactionState.EMPTY, none, -1, TransactionVersion.TV_0);
            record("ongoing" + v, "id", level, 7, 7, -1, 0, TransactionState.ONGOING, one, 1234567890000L, TransactionVersion.TV_0);
            record("prepare commit" + v, "id", level, 7, 7, -1, 0, TransactionState.PREPARE_COMMIT, one, 1234567890000L, TransactionVersion.TV_0);
            record("prepare abort" + v, "id", level, 7, 7, -1, 1, TransactionState.PREPARE_ABORT, one, 1234567890000L, TransactionVersion.TV_0);
            record("complete commit" + v, "id", level, 7, 7, -1, 0, TransactionState.COMPLETE_COMMIT, none, 1234567890000L, TransactionVersion.TV_0);
            record("complete abort" + v, "id", level, 7, 7, -1, 1, TransactionState.COMPLETE_ABORT, none, 1234567890000L, TransactionVersion.TV_0);
        }
        for (var level : List.of(TransactionVersion.TV_1, TransactionVersion.TV_2)) {
            var v = " of version 2, level " + level.featureLevel();
            record("ongoing" + v, "id", level, 1L << 40, 1L << 40, -1, 5, TransactionState.ONGOING, one, 1234567890000L, TransactionVersion.TV_2);
            record("prepare commit" + v, "id", level, 1L << 40, 1L << 40, -1, 6, TransactionState.PREPARE_COMMIT, one, 1234567890000L, TransactionVersion.TV_2);
            record("last epoch" + v, "id", level, 7, 7, 8, 32767, TransactionState.PREPARE_COMMIT, one, 1234567890000L, TransactionVersion.TV_2);
            record("rotated" + v, "id", level, 8, 7, -1, 0, TransactionState.COMPLETE_COMMIT, none, 1234567890000L, TransactionVersion.TV_2);
            record("previous not known" + v, "id", level, 8, -1, -1, 0, TransactionState.COMPLETE_COMMIT, none, 1234567890000L, TransactionVersion.TV_2);
        }
        // Kafka's sets have no order: what has several partitions is made by hand, sorted.
        for (short version = 0; version <= 1; version++)
            print("many version " + version, "é".repeat(100), MessageUtil.toVersionPrefixedBytes(version, new TransactionLogValue().setProducerId(9).setProducerEpoch((short) 300)
                .setPreviousProducerId(version == 0 ? -1 : 9).setTransactionTimeoutMs(Integer.MAX_VALUE).setTransactionStatus((byte) 1).setTransactionStartTimestampMs(1).setTransactionLastUpdateTimestampMs(2)
                .setTransactionPartitions(List.of(parts("__consumer_offsets", 49), parts("a", 0, 1, 200), parts("t".repeat(200), 7)))));
    }
}
