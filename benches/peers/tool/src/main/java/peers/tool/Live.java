package peers.tool;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Latency: orders of now at a steady rate, and for each the time from handing it to the producer until a read_committed consumer
 * has a profile that includes it. So it contains the producer's linger (5 ms, its default since Kafka 4.0) and the consumer's fetch,
 * the same for all systems.
 */
final class Live {
    private static final byte[] LAST_ORDER_AT = "\"last_order_at\":\"".getBytes(StandardCharsets.US_ASCII);
    private static final Duration TAIL_PATIENCE = Duration.ofSeconds(30);
    /** Counts of latencies, a tenth of a millisecond each, up to a minute. */
    private final int[] counts = new int[600_000];

    private final String servers;
    private final Options options;
    private final int customers;
    /** For each customer the orders that no profile includes yet: time in milliseconds, then in nanoseconds. */
    private final List<ArrayDeque<long[]>> waiting;
    private long measureFrom;
    private volatile boolean sending = true;
    private volatile long sent;
    private volatile long visible;
    private volatile Exception failure;

    Live(String servers, Options options) {
        this.servers = servers;
        this.options = options;
        customers = options.number("customers", 200_000);
        waiting =
                java.util.stream.IntStream.range(0, customers)
                        .mapToObj(index -> new ArrayDeque<long[]>(1))
                        .collect(Collectors.toList());
    }

    String run() throws Exception {
        double rate = options.decimal("rate", 1000);
        long warmUp = TimeUnit.SECONDS.toNanos(options.number("warm_up", 10));
        long measured = TimeUnit.SECONDS.toNanos(options.number("seconds", 20));
        measureFrom = System.nanoTime() + warmUp;
        Thread reader = new Thread(this::read, "reader");
        try (KafkaProducer<byte[], byte[]> producer = Loader.producer(servers, 5, "1")) {
            reader.start();
            send(producer, rate, warmUp + measured);
            producer.flush();
        }
        sending = false;
        reader.join();
        if (failure != null) {
            throw failure;
        }
        return String.format(
                "{\"sent\":%d,\"visible\":%d,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"p999_ms\":%.1f,\"max_ms\":%.1f}",
                sent, visible, quantile(0.5), quantile(0.99), quantile(0.999), quantile(1.0));
    }

    /** Paced by the clock, not by the systems: who is slow is measured as slow. */
    private void send(KafkaProducer<byte[], byte[]> producer, double rate, long nanos) {
        String topic = options.text("orders");
        Shop shop = new Shop(ThreadLocalRandom.current().nextLong());
        // Coprime with any number of customers that is no multiple of it: everyone in turn, neighbours far apart.
        final int stride = 7_919;
        long begin = System.nanoTime();
        long index = 0;
        int customer = 0;
        while (true) {
            long now = System.nanoTime();
            if (now - begin >= nanos) {
                return;
            }
            long due = (long) ((now - begin) / 1e9 * rate);
            for (; index < due; index++) {
                customer = (int) ((customer + (long) stride) % customers);
                long at = System.currentTimeMillis();
                long handed = System.nanoTime();
                synchronized (waiting) {
                    waiting.get(customer).add(new long[] {at, handed});
                }
                byte[] key = Shop.customerKey(customer);
                producer.send(new ProducerRecord<>(topic, null, at, key, shop.order(key, index, at, false)));
                sent++;
            }
            LockSupport.parkNanos(500_000);
        }
    }

    private void read() {
        String topic = options.text("profiles");
        try (KafkaConsumer<byte[], byte[]> consumer = Dump.consumer(servers)) {
            List<TopicPartition> partitions =
                    consumer.partitionsFor(topic).stream()
                            .map(info -> new TopicPartition(topic, info.partition()))
                            .collect(Collectors.toList());
            consumer.assign(partitions);
            consumer.seekToEnd(partitions);
            long ended = 0;
            while (visible < sent || sending) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    take(record);
                }
                if (!sending && ended == 0) {
                    ended = System.nanoTime();
                }
                if (ended != 0 && System.nanoTime() - ended > TAIL_PATIENCE.toNanos()) {
                    return;
                }
            }
        } catch (Exception error) {
            failure = error;
        }
    }

    private void take(ConsumerRecord<byte[], byte[]> record) {
        long now = System.nanoTime();
        int customer = Shop.customerOf(record.key());
        long last = Shop.parseTime(record.value(), find(record.value()));
        synchronized (waiting) {
            ArrayDeque<long[]> orders = waiting.get(customer);
            while (!orders.isEmpty() && orders.peek()[0] <= last) {
                long handed = orders.poll()[1];
                visible++;
                if (handed >= measureFrom) {
                    counts[(int) Math.min(counts.length - 1, (now - handed) / 100_000)]++;
                }
            }
        }
    }

    private static int find(byte[] value) {
        search:
        for (int start = 0; start + LAST_ORDER_AT.length < value.length; start++) {
            for (int index = 0; index < LAST_ORDER_AT.length; index++) {
                if (value[start + index] != LAST_ORDER_AT[index]) {
                    continue search;
                }
            }
            return start + LAST_ORDER_AT.length;
        }
        throw new IllegalStateException("a profile without last_order_at");
    }

    private double quantile(double share) {
        long all = 0;
        for (int count : counts) {
            all += count;
        }
        long rank = (long) Math.ceil(share * all);
        long below = 0;
        for (int index = 0; index < counts.length; index++) {
            below += counts[index];
            if (below >= rank && all > 0) {
                return (index + 1) / 10.0;
            }
        }
        return Double.NaN;
    }
}
