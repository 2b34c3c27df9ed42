package weir.compat;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The transactional producer of Kafka's own client.
 *
 * <pre>
 * write BOOTSTRAP TOPIC ID N          N transactions of 10 records each; every third is aborted
 * copy BOOTSTRAP FROM TO GROUP ID N   consume, transform, produce: N committed records, offsets in the transaction; every third attempt is aborted
 * fence BOOTSTRAP TOPIC ID            a second producer of the same id; the first must be told, and its record must not be there
 * </pre>
 */
public class Transactions {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "write" -> write(args[1], args[2], args[3], Integer.parseInt(args[4]));
            case "copy" -> copy(args[1], args[2], args[3], args[4], args[5], Integer.parseInt(args[6]));
            case "fence" -> fence(args[1], args[2], args[3]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static KafkaProducer<String, String> producer(String bootstrap, String id) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("transactional.id", id);
        p.put("key.serializer", StringSerializer.class.getName());
        p.put("value.serializer", StringSerializer.class.getName());
        KafkaProducer<String, String> producer = new KafkaProducer<>(p);
        producer.initTransactions();
        return producer;
    }

    static void write(String bootstrap, String topic, String id, int n) {
        try (KafkaProducer<String, String> producer = producer(bootstrap, id)) {
            for (int i = 0; i < n; i++) {
                producer.beginTransaction();
                boolean abort = i % 3 == 2;
                for (int j = 0; j < 10; j++) {
                    producer.send(new ProducerRecord<>(topic, "k" + j, (abort ? "aborted " : "committed ") + i + " " + j));
                }
                if (abort) {
                    producer.flush(); // so that there is something to abort
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
    }

    static void copy(String bootstrap, String from, String to, String group, String id, int n) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", group);
        p.put("isolation.level", "read_committed");
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("max.poll.records", "50");
        p.put("key.deserializer", StringDeserializer.class.getName());
        p.put("value.deserializer", StringDeserializer.class.getName());
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(p); KafkaProducer<String, String> producer = producer(bootstrap, id)) {
            consumer.subscribe(List.of(from));
            for (int attempt = 0, copied = 0; copied < n; ) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofSeconds(1));
                if (records.isEmpty()) {
                    continue;
                }
                attempt++;
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                Map<TopicPartition, Long> first = new HashMap<>();
                for (ConsumerRecord<String, String> r : records) {
                    TopicPartition tp = new TopicPartition(r.topic(), r.partition());
                    first.putIfAbsent(tp, r.offset());
                    producer.send(new ProducerRecord<>(to, r.key(), r.value() + " copied"));
                    next.put(tp, new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                if (attempt % 3 == 0) {
                    producer.abortTransaction();
                    first.forEach(consumer::seek);
                } else {
                    producer.commitTransaction();
                    copied += records.count();
                }
            }
        }
    }

    static void fence(String bootstrap, String topic, String id) throws Exception {
        try (KafkaProducer<String, String> old = producer(bootstrap, id)) {
            old.beginTransaction();
            old.send(new ProducerRecord<>(topic, "k", "fenced")).get();
            try (KafkaProducer<String, String> fresh = producer(bootstrap, id)) {
                fresh.beginTransaction();
                fresh.send(new ProducerRecord<>(topic, "k", "fresh"));
                fresh.commitTransaction();
            }
            try {
                old.send(new ProducerRecord<>(topic, "k", "late")).get();
                old.commitTransaction();
                System.out.println("not fenced");
            } catch (ProducerFencedException | InvalidProducerEpochException e) {
                System.out.println("fenced");
            } catch (KafkaException | java.util.concurrent.ExecutionException e) {
                Throwable cause = e.getCause();
                System.out.println(cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException ? "fenced" : e.toString());
            }
        }
    }
}
