package peers.tool;

import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Follows the committed offsets of a group until they reach the ends that its inputs had at the start. All systems are measured
 * so: committed offsets are the one thing that each of them moves when the outputs before them are committed.
 */
final class Watch {
    private static final long INTERVAL_MS = 25;

    private final Topics topics;
    private final BlockingQueue<String> commands;
    private final String group;
    private final List<String> inputs;

    Watch(Topics topics, BlockingQueue<String> commands, Options options) {
        this.topics = topics;
        this.commands = commands;
        group = options.text("group");
        inputs = List.of(options.text("topics").split(","));
    }

    /**
     * A line for each step that is seen: what is committed, of how much, and how many partitions nobody has begun with. Ends when all is
     * committed, or with any further line of input.
     */
    String run() throws Exception {
        Map<TopicPartition, Long> ends = topics.ends(inputs);
        long goal = ends.values().stream().mapToLong(Long::longValue).sum();
        Tool.say("progress -1 " + goal + " " + ends.size());
        long seen = -1;
        while (true) {
            Map<TopicPartition, OffsetAndMetadata> committed = topics.committed(group);
            long sum = 0;
            int untouched = 0;
            for (Map.Entry<TopicPartition, Long> end : ends.entrySet()) {
                OffsetAndMetadata offset = committed.get(end.getKey());
                long taken = offset == null ? 0 : Math.min(offset.offset(), end.getValue());
                sum += taken;
                untouched += taken == 0 && end.getValue() > 0 ? 1 : 0;
            }
            if (sum != seen) {
                seen = sum;
                Tool.say("progress " + sum + " " + goal + " " + untouched);
            }
            if (sum == goal) {
                return "{\"drained\":true}";
            }
            if (commands.poll(INTERVAL_MS, TimeUnit.MILLISECONDS) != null) {
                return "{\"drained\":false}";
            }
        }
    }
}
