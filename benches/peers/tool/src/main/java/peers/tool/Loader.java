package peers.tool;

import java.util.Map;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Fills the input topics with a shop's history, in time order, evenly over its days. Record times are event times. */
final class Loader {
    /** 2025-01-01. */
    private static final long START_MS = 1_735_689_600_000L;
    private static final long DAY_MS = 86_400_000;
    /** Orders that a return may name: the last ones. */
    private static final int RECENT = 1 << 14;
    private static final int REPEATABLE = 64;
    /** Of so many customers one always buys the same article, where there are unusual events. */
    private static final int ONE_ARTICLE_OF = 8;

    private final Options options;
    private final String servers;
    private final String orders;
    private final String returns;
    private final int customers;
    private final long seed;
    private final double unusual;
    private final Shop shop;
    private final SplittableRandom random;

    private final long[] recentOrder = new long[RECENT];
    private final int[] recentCustomer = new int[RECENT];
    private final int[] recentTotal = new int[RECENT];
    /** When the last order was placed. */
    private long recentAt;
    private long ordersWritten;
    private long corrections;
    private long bytes;
    private long records;

    Loader(String servers, Options options) {
        this.servers = servers;
        this.options = options;
        orders = options.text("orders");
        returns = options.text("returns");
        customers = options.number("customers", 200_000);
        seed = Long.parseLong(options.text("seed", "1"));
        unusual = options.decimal("unusual", 0);
        shop = new Shop(seed);
        random = new SplittableRandom(seed + 1);
    }

    /**
     * {@code events} records; then, an hour later, an order (and a return, if there are any) in each partition at one instant, so
     * that every clock stands there when all is read.
     */
    String load() {
        long events = options.number("events");
        double returned = options.decimal("returned", 0);
        double repeated = options.decimal("repeated", 0);
        double span = options.decimal("days", 180) * DAY_MS;
        Crowd crowd = new Crowd(options.text("skew", "uniform"), customers, seed + 2);
        @SuppressWarnings({"unchecked", "rawtypes"})
        ProducerRecord<byte[], byte[]>[] last = new ProducerRecord[REPEATABLE];
        long at = START_MS;
        try (KafkaProducer<byte[], byte[]> producer = producer(servers, 50, "1")) {
            for (long index = 0; index < events; index++) {
                at = START_MS + (long) (span * index / events);
                double draw = random.nextDouble();
                ProducerRecord<byte[], byte[]> record = last[random.nextInt(REPEATABLE)];
                if (draw < repeated && record != null) {
                    send(producer, record);
                    continue;
                }
                record = draw < repeated + returned ? giveBack(index, at) : draw > 1 - unusual ? unusual(index, at) : null;
                if (record == null) {
                    record = order(crowd.next(), at);
                }
                last[(int) (index % REPEATABLE)] = record;
                send(producer, record);
            }
            at += DAY_MS / 24;
            closeDay(producer, at, returned > 0);
        }
        return String.format(
                "{\"records\":%d,\"bytes\":%d,\"corrections\":%d,\"end_ms\":%d}", records, bytes, corrections, at);
    }

    /** Some more orders of customers that are there, all at the instant {@code at_ms}. */
    String more() {
        long at = options.number("at_ms");
        int count = options.number("count", 100);
        ordersWritten = Long.parseLong(options.text("first", "0"));
        try (KafkaProducer<byte[], byte[]> producer = producer(servers, 0, "1")) {
            for (int index = 0; index < count; index++) {
                send(producer, order(random.nextInt(customers), at));
            }
        }
        return "{}";
    }

    private ProducerRecord<byte[], byte[]> order(int customer, long at) {
        byte[] key = Shop.customerKey(customer);
        byte[] value = shop.order(key, ordersWritten, at, unusual > 0 && customer % ONE_ARTICLE_OF == 0);
        int place = (int) (ordersWritten % RECENT);
        recentOrder[place] = ordersWritten;
        recentCustomer[place] = customer;
        recentTotal[place] = shop.total();
        recentAt = at;
        ordersWritten++;
        return new ProducerRecord<>(orders, null, at, key, value);
    }

    /** None if the order drawn is not there or has been returned: each at most once, at most half of it. */
    private ProducerRecord<byte[], byte[]> giveBack(long index, long at) {
        int place = random.nextInt(RECENT);
        if (recentTotal[place] == 0) {
            return null;
        }
        byte[] key = Shop.customerKey(recentCustomer[place]);
        int refund = random.nextInt(1, recentTotal[place] / 2);
        recentTotal[place] = 0;
        return new ProducerRecord<>(
                returns, null, at, key, shop.giveBack(key, index, recentOrder[place], refund, at));
    }

    /**
     * What a benchmark leaves out: an order of somebody who never comes back; money given back for no order, or for one that nobody
     * placed, also to some who never bought; a correction of the last order.
     */
    private ProducerRecord<byte[], byte[]> unusual(long index, long at) {
        byte[] key = Shop.customerKey(random.nextInt(customers + customers / 100));
        return switch (random.nextInt(4)) {
            case 0 -> order(2 * customers + (int) index, at);
            case 1 -> new ProducerRecord<>(returns, null, at, key, shop.giveBackSomething(key, index, at));
            case 2 -> {
                int refund = random.nextInt(1, Shop.LEAST_TOTAL);
                yield new ProducerRecord<>(returns, null, at, key, shop.giveBack(key, index, -1 - index, refund, at));
            }
            default -> correction();
        };
    }

    /** None if something of the order has been given back. */
    private ProducerRecord<byte[], byte[]> correction() {
        int place = (int) ((ordersWritten + RECENT - 1) % RECENT);
        if (recentTotal[place] == 0) {
            return null;
        }
        byte[] key = Shop.customerKey(recentCustomer[place]);
        byte[] value = shop.correction(key, ordersWritten - 1, recentAt);
        corrections++;
        return new ProducerRecord<>(orders, null, recentAt, key, value);
    }

    private void closeDay(KafkaProducer<byte[], byte[]> producer, long at, boolean withReturns) {
        int partitions = producer.partitionsFor(orders).size();
        boolean[] closed = new boolean[partitions];
        int open = partitions;
        for (int candidate = 0; open > 0; candidate++) {
            byte[] key = Shop.customerKey(90_000_000 + candidate);
            int partition = BuiltInPartitioner.partitionForKey(key, partitions);
            if (closed[partition]) {
                continue;
            }
            closed[partition] = true;
            open--;
            long number = ordersWritten++;
            send(producer, new ProducerRecord<>(orders, null, at, key, shop.order(key, number, at, false)));
            if (withReturns) {
                byte[] value = shop.giveBack(key, -1 - candidate, number, 1, at);
                send(producer, new ProducerRecord<>(returns, null, at, key, value));
            }
        }
    }

    private void send(KafkaProducer<byte[], byte[]> producer, ProducerRecord<byte[], byte[]> record) {
        bytes += record.key().length + record.value().length;
        records++;
        producer.send(
                record,
                (metadata, error) -> {
                    if (error != null) {
                        throw new IllegalStateException("an event was not written", error);
                    }
                });
    }

    static KafkaProducer<byte[], byte[]> producer(String servers, int lingerMs, String acks) {
        return new KafkaProducer<>(
                Map.of(
                        ProducerConfig.BOOTSTRAP_SERVERS_CONFIG,
                        servers,
                        ProducerConfig.ACKS_CONFIG,
                        acks,
                        ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG,
                        false,
                        ProducerConfig.MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION,
                        1,
                        ProducerConfig.LINGER_MS_CONFIG,
                        lingerMs,
                        ProducerConfig.BATCH_SIZE_CONFIG,
                        256 * 1024,
                        ProducerConfig.BUFFER_MEMORY_CONFIG,
                        64L * 1024 * 1024,
                        ProducerConfig.COMPRESSION_TYPE_CONFIG,
                        "lz4"),
                new ByteArraySerializer(),
                new ByteArraySerializer());
    }
}
