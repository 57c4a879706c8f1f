import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Handles each signal of retention-signals once.
 *
 * <p>Three things make it so, and each consumer needs all of them: {@code isolation.level=read_committed}, since records of aborted
 * transactions stay in the topic and the default shows them; the ids of handled signals, kept where the effect is (here both are the line
 * of a file); and offsets that are committed after the effect, so that a crash in between repeats records and loses none.
 *
 * <pre>Signals BOOTSTRAP_SERVERS [TOPIC [GROUP [FILE [once]]]]</pre>
 */
public final class Signals {
    public static void main(String[] arguments) throws IOException {
        String bootstrapServers = argument(arguments, 0, "localhost:9092");
        String topic = argument(arguments, 1, "retention.signals");
        String group = argument(arguments, 2, "signals-java");
        Path file = Path.of(argument(arguments, 3, "signals.jsonl"));
        boolean once = argument(arguments, 4, "").equals("once");

        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrapServers);
        settings.put("group.id", group);
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        Set<String> handled = handledBefore(file);
        try (KafkaConsumer<String, String> consumer =
                        new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
                FileChannel effects = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            consumer.subscribe(List.of(topic));
            while (!once || !isAtEnd(consumer)) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(500));
                for (ConsumerRecord<String, String> record : records) {
                    String id = id(record);
                    if (handled.add(id)) {
                        handle(id, record, effects);
                    }
                }
                effects.force(false);
                if (!records.isEmpty()) {
                    consumer.commitSync();
                }
            }
        }
    }

    /** The effect of a signal: a line of the file, which begins with the id. */
    private static void handle(String id, ConsumerRecord<String, String> record, FileChannel effects) throws IOException {
        ByteBuffer line = ByteBuffer.wrap((id + " " + record.value() + "\n").getBytes(StandardCharsets.UTF_8));
        while (line.hasRemaining()) {
            effects.write(line);
        }
        System.out.println(id + " " + record.key());
    }

    /** The id is a header too, so that no JSON is needed to drop a repetition. */
    private static String id(ConsumerRecord<String, String> record) {
        return new String(record.headers().lastHeader("ce_id").value(), StandardCharsets.UTF_8);
    }

    /** A line that a crash has cut short has no end: its signal is handled again. */
    private static Set<String> handledBefore(Path file) throws IOException {
        Set<String> handled = new HashSet<>();
        if (!Files.exists(file)) {
            return handled;
        }
        byte[] bytes = Files.readAllBytes(file);
        int end = bytes.length;
        while (end > 0 && bytes[end - 1] != '\n') {
            end--;
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.truncate(end);
        }
        new String(bytes, 0, end, StandardCharsets.UTF_8).lines().forEach(line -> handled.add(line.substring(0, line.indexOf(' '))));
        return handled;
    }

    /** Whether every assigned partition is read to the last stable offset. */
    private static boolean isAtEnd(KafkaConsumer<String, String> consumer) {
        Set<TopicPartition> assigned = consumer.assignment();
        Map<TopicPartition, Long> ends = consumer.endOffsets(assigned);
        return !assigned.isEmpty() && assigned.stream().allMatch(one -> consumer.position(one) >= ends.get(one));
    }

    private static String argument(String[] arguments, int place, String fallback) {
        return arguments.length > place ? arguments[place] : fallback;
    }
}
