package peers.tool;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Topics, their ends, and what groups have committed. */
final class Topics implements AutoCloseable {
    private static final Duration START_PATIENCE = Duration.ofSeconds(120);

    private final Admin admin;

    Topics(String servers) {
        admin =
                Admin.create(
                        Map.of(
                                AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG,
                                servers,
                                AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG,
                                (int) START_PATIENCE.toMillis(),
                                AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG,
                                10_000));
    }

    /** Returns when the node answers. */
    String await(int ignored) throws Exception {
        return "{\"cluster\":\"" + admin.describeCluster().clusterId().get() + "\"}";
    }

    String create(Options options) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (String setting : options.text("settings", "").split(",")) {
            if (!setting.isEmpty()) {
                String[] parts = setting.split(":", 2);
                settings.put(parts[0], parts[1]);
            }
        }
        List<NewTopic> topics = new ArrayList<>();
        for (String name : options.text("topics").split(",")) {
            topics.add(new NewTopic(name, options.number("partitions", 1), (short) 1).configs(settings));
        }
        admin.createTopics(topics).all().get();
        List<String> names = topics.stream().map(NewTopic::name).toList();
        while (!areThere(names)) {
            LockSupport.parkNanos(5_000_000);
        }
        return "{}";
    }

    /** A node answers for a new topic a little later than its controller has made it. */
    private boolean areThere(List<String> names) throws InterruptedException {
        try {
            return admin.describeTopics(names).allTopicNames().get().values().stream()
                    .flatMap(topic -> topic.partitions().stream())
                    .allMatch(partition -> partition.leader() != null);
        } catch (ExecutionException error) {
            return false;
        }
    }

    String delete(List<String> topics) throws Exception {
        admin.deleteTopics(topics).all().get();
        return "{}";
    }

    /** Records from the first offset to the end, markers of transactions included. */
    String size(List<String> topics) throws Exception {
        long records = 0;
        for (long end : ends(topics).values()) {
            records += end;
        }
        return "{\"records\":" + records + "}";
    }

    List<TopicPartition> partitions(List<String> topics) throws Exception {
        List<TopicPartition> found = new ArrayList<>();
        admin.describeTopics(topics)
                .allTopicNames()
                .get()
                .forEach(
                        (name, topic) ->
                                topic.partitions()
                                        .forEach(part -> found.add(new TopicPartition(name, part.partition()))));
        return found;
    }

    Map<TopicPartition, Long> ends(List<String> topics) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (TopicPartition partition : partitions(topics)) {
            wanted.put(partition, OffsetSpec.latest());
        }
        Map<TopicPartition, Long> ends = new HashMap<>();
        for (Map.Entry<TopicPartition, ListOffsetsResultInfo> end :
                admin.listOffsets(wanted).all().get().entrySet()) {
            ends.put(end.getKey(), end.getValue().offset());
        }
        return ends;
    }

    /** Nothing for a group that is not there yet or whose coordinator is still being found. */
    Map<TopicPartition, OffsetAndMetadata> committed(String group) throws InterruptedException {
        try {
            return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        } catch (ExecutionException error) {
            return Map.of();
        }
    }

    @Override
    public void close() {
        admin.close(Duration.ZERO);
    }
}
