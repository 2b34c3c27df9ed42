import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.internals.*;
import org.apache.kafka.server.record.BrokerCompressionType;
import org.apache.kafka.storage.internals.log.*;

/** Makes record sets, good ones and mutated ones, and writes what Kafka's own validation says of them, one a line. */
public class ValidateOracle {
    static final long NOW = 1_700_000_000_000L;
    static final TopicPartition TP = new TopicPartition("t", 0);
    static final Time TIME = new Time() {
        public long milliseconds() { return NOW; }
        public long nanoseconds() { return 0; }
        public void sleep(long ms) { }
    };
    static final LogValidator.MetricsRecorder METRICS = new LogValidator.MetricsRecorder() {
        public void recordInvalidMagic() { }
        public void recordInvalidOffset() { }
        public void recordInvalidSequence() { }
        public void recordInvalidChecksums() { }
        public void recordNoKeyCompactedTopic() { }
    };

    static Random g;

    static void varint(ByteArrayOutputStream o, long v) {
        long u = (v << 1) ^ (v >> 63);
        while ((u & ~0x7fL) != 0) { o.write((int) (u & 0x7f | 0x80)); u >>>= 7; }
        o.write((int) u);
    }

    static void field(ByteArrayOutputStream o, int n) {
        varint(o, n);
        for (int i = 0; i < n; i++) o.write('a' + g.nextInt(4));
    }

    /** One record, sometimes with something wrong in it. */
    static byte[] record(int i, boolean strange) {
        ByteArrayOutputStream o = new ByteArrayOutputStream();
        o.write(0);
        long ts = g.nextInt(2000);
        if (strange && g.nextInt(6) == 0) ts = g.nextInt(4) == 0 ? g.nextLong() : g.nextInt(20_000) - 10_000;
        varint(o, ts);
        varint(o, strange && g.nextInt(8) == 0 ? i + g.nextInt(3) - 1 : i);
        field(o, strange && g.nextInt(4) == 0 ? -1 : g.nextInt(5));
        field(o, g.nextInt(6) == 0 ? -1 : g.nextInt(30));
        int h = strange && g.nextInt(12) == 0 ? g.nextInt(5) - 2 : g.nextInt(8) == 0 ? g.nextInt(3) : 0;
        varint(o, h);
        for (int k = 0; k < h; k++) { field(o, strange && g.nextInt(10) == 0 ? -1 : g.nextInt(4)); field(o, g.nextInt(4) == 0 ? -1 : g.nextInt(6)); }
        byte[] body = o.toByteArray();
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        varint(all, strange && g.nextInt(25) == 0 ? body.length + g.nextInt(3) - 1 : body.length);
        all.write(body, 0, body.length);
        return all.toByteArray();
    }

    static byte[] batch(boolean strange) throws IOException {
        int n = g.nextInt(8) == 0 ? 0 : 1 + g.nextInt(5);
        if (!strange && n == 0) n = 1;
        CompressionType type = CompressionType.values()[g.nextInt(3) == 0 ? 0 : g.nextInt(5)];
        ByteBufferOutputStream out = new ByteBufferOutputStream(256);
        try (OutputStream s = Compression.of(type).build().wrapForOutput(out, (byte) 2)) {
            for (int i = 0; i < n; i++) s.write(record(i, strange));
            if (strange && g.nextInt(20) == 0) s.write(g.nextInt());
        }
        out.buffer().flip();
        byte[] body = new byte[out.buffer().remaining()];
        out.buffer().get(body);
        if (strange && type != CompressionType.NONE && body.length > 0 && g.nextInt(10) == 0) body[g.nextInt(body.length)] ^= 1 << g.nextInt(8);
        if (strange && type != CompressionType.NONE && g.nextInt(20) == 0) body = Arrays.copyOf(body, g.nextInt(body.length + 1));
        ByteBuffer b = ByteBuffer.allocate(61 + body.length);
        b.putLong(strange && g.nextInt(40) == 0 ? g.nextInt(3) - 1 : 0);
        b.putInt(49 + body.length).putInt(g.nextInt(3) - 1).put((byte) 2).putInt(0);
        int attrs = type.id;
        if (strange && g.nextInt(15) == 0) attrs ^= 1 << g.nextInt(16);
        if (g.nextInt(6) == 0) attrs |= 0x10;
        b.putShort((short) attrs);
        b.putInt(strange && g.nextInt(20) == 0 ? n - g.nextInt(4) : n - 1);
        long first = NOW - 1000;
        b.putLong(first).putLong(strange && g.nextInt(4) == 0 ? first + g.nextInt(3000) : NOW + 1000);
        boolean pid = g.nextInt(3) == 0;
        b.putLong(pid ? 7 : -1).putShort((short) (pid ? 1 : -1)).putInt(pid ? (strange && g.nextInt(6) == 0 ? -1 : g.nextInt(9)) : -1);
        b.putInt(strange && g.nextInt(20) == 0 ? n + g.nextInt(3) - 1 : n);
        b.put(body);
        return b.array();
    }

    static void crc(byte[] b) {
        if (b.length < 61) return;
        java.util.zip.CRC32C c = new java.util.zip.CRC32C();
        c.update(b, 21, b.length - 21);
        ByteBuffer.wrap(b).putInt(17, (int) c.getValue());
    }

    static byte[] concat(byte[] a, byte[] b) {
        byte[] c = Arrays.copyOf(a, a.length + b.length);
        System.arraycopy(b, 0, c, a.length, b.length);
        return c;
    }

    static byte[] make(boolean strange) throws IOException {
        byte[] b = batch(strange);
        crc(b);
        if (!strange) return b;
        switch (g.nextInt(14)) {
            case 0: b[g.nextInt(61)] ^= 1 << g.nextInt(8); break;
            case 1: b[g.nextInt(b.length)] = (byte) g.nextInt(); crc(b); break;
            case 2: b[g.nextInt(b.length)] ^= 1 << g.nextInt(8); crc(b); break;
            case 3: b = Arrays.copyOf(b, g.nextInt(b.length)); break;
            case 4: b = concat(b, new byte[g.nextInt(40)]); break;
            case 5: b = concat(b, batch(false)); break;
            case 6: b = concat(b, Arrays.copyOf(batch(false), 1 + g.nextInt(60))); break;
            case 7: b[16] = (byte) (g.nextInt(5) - 1); crc(b); break;
            default:
        }
        return b;
    }

    static String hex(byte[] b) { return b.length == 0 ? "." : HexFormat.of().formatHex(b); }

    static String verdict(byte[] in, short version, boolean compacted, boolean lat, long before, long after, int max, int maxRecord, String target) {
        try {
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(in.clone()));
            ProduceRequest.validateRecords(version, records);
            CompressionType source = CompressionType.NONE;
            int valid = 0;
            for (MutableRecordBatch b : records.batches()) { // UnifiedLog.analyzeAndValidateRecords
                if (b.magic() >= 2 && b.baseOffset() != 0) throw new InvalidRecordException("base offset");
                b.lastOffset();
                if (b.sizeInBytes() > max) throw new RecordTooLargeException("size");
                if (!b.isValid()) throw new CorruptRecordException("crc");
                valid += b.sizeInBytes();
                CompressionType c = CompressionType.forId(b.compressionType().id);
                if (c != CompressionType.NONE) source = c;
            }
            ByteBuffer trimmed = records.buffer().duplicate();
            trimmed.limit(valid);
            records = MemoryRecords.readableRecords(trimmed);
            Optional<Compression> want = target.equals("producer") ? Optional.empty() : Optional.of(Compression.of(target.equals("uncompressed") ? "none" : target).build());
            LogValidator v = new LogValidator(records, TP, TIME, source, BrokerCompressionType.targetCompression(want, source), compacted, (byte) 2,
                lat ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME, before, after, 5, AppendOrigin.CLIENT, maxRecord);
            PrimitiveRef.LongRef offset = PrimitiveRef.ofLong(1000);
            LogValidator.ValidationResult r = v.validateMessagesAndAssignOffsets(offset, METRICS, BufferSupplier.NO_CACHING);
            if (r.messageSizeMaybeChanged())
                for (MutableRecordBatch b : r.validatedRecords().batches())
                    if (b.sizeInBytes() > max) throw new RecordTooLargeException("size after");
            ByteBuffer o = r.validatedRecords().buffer().duplicate();
            byte[] out = new byte[o.remaining()];
            o.get(out);
            return "0 " + r.maxTimestampMs() + " " + offset.value + " " + (r.messageSizeMaybeChanged() ? 1 : 0) + " " + hex(out);
        } catch (RecordValidationException e) {
            StringBuilder s = new StringBuilder();
            e.recordErrors().forEach(x -> s.append(s.length() == 0 ? "" : ",").append(x.batchIndex));
            return Errors.forException(e.invalidException()).code() + " " + s;
        } catch (Throwable t) {
            return Errors.forException(t).code() + " -";
        }
    }

    public static void main(String[] a) throws Exception {
        g = new Random(Long.parseLong(a[0]));
        PrintStream p = new PrintStream(new BufferedOutputStream(System.out, 1 << 20));
        String[] targets = {"producer", "producer", "producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"};
        for (int i = 0; i < Integer.parseInt(a[1]); i++) {
            boolean strange = g.nextInt(5) > 0;
            byte[] in = make(strange);
            short version = (short) (g.nextInt(6) == 0 ? 3 + g.nextInt(4) : 7 + g.nextInt(7));
            boolean compacted = g.nextInt(4) == 0, lat = g.nextInt(4) == 0;
            long before = g.nextInt(3) == 0 ? g.nextInt(1500) : Long.MAX_VALUE, after = g.nextInt(3) == 0 ? g.nextInt(1500) : 3_600_000;
            int max = g.nextInt(6) == 0 ? 60 + g.nextInt(150) : 1 << 20, maxRecord = g.nextInt(5) == 0 ? g.nextInt(40) : Integer.MAX_VALUE;
            String target = targets[g.nextInt(targets.length)];
            p.println(hex(in) + " " + version + " " + compacted + " " + lat + " " + before + " " + after + " " + max + " " + maxRecord + " " + target
                + " " + verdict(in, version, compacted, lat, before, after, max, maxRecord, target));
        }
        p.flush();
    }
}
