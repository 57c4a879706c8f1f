package peers.tool;

import java.io.BufferedOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Writes the committed records of a topic to a file, one a line, in the order of each partition: the value, then each header as
 * {@code name=value}, with tabs between.
 */
final class Dump {
    private Dump() {}

    /** Ends when nothing more has come for {@code quiet_ms}: timers may still fire after the last input is committed. */
    static String run(String servers, Options options) throws Exception {
        String topic = options.text("topic");
        long quietNanos = Duration.ofMillis(options.number("quiet_ms", 3000)).toNanos();
        long records = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(servers);
                OutputStream file = new BufferedOutputStream(Files.newOutputStream(Path.of(options.text("file"))))) {
            List<TopicPartition> partitions =
                    consumer.partitionsFor(topic).stream()
                            .map(info -> new TopicPartition(topic, info.partition()))
                            .collect(Collectors.toList());
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long last = System.nanoTime();
            while (System.nanoTime() - last < quietNanos) {
                ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(100));
                for (ConsumerRecord<byte[], byte[]> record : batch) {
                    file.write(record.value());
                    for (Header header : record.headers()) {
                        file.write('\t');
                        file.write(header.key().getBytes(StandardCharsets.UTF_8));
                        file.write('=');
                        file.write(header.value());
                    }
                    file.write('\n');
                    records++;
                }
                if (!batch.isEmpty()) {
                    last = System.nanoTime();
                }
            }
        }
        return "{\"records\":" + records + "}";
    }

    static KafkaConsumer<byte[], byte[]> consumer(String servers) {
        return new KafkaConsumer<>(
                Map.of(
                        ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG,
                        servers,
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_committed",
                        ConsumerConfig.MAX_POLL_RECORDS_CONFIG,
                        20_000,
                        ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG,
                        false,
                        ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG,
                        100),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
    }
}
