package peers.streams;

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;
import peers.job.Options;

/** The job on Kafka Streams: exactly once, a cached store with a changelog, two threads. */
public final class Main {
    static final String SIGNALS = "signals";
    static final String PROFILES = "profiles";
    private static final long MEBI = 1024 * 1024;

    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        Options options = new Options(arguments);
        KafkaStreams streams = new KafkaStreams(topology(options), settings(options));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    ended.countDown();
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
        ended.await();
        System.exit(1);
    }

    private static Topology topology(Options options) {
        KeyValueBytesStoreSupplier store =
                options.text("store").equals("rocksdb")
                        ? Stores.persistentKeyValueStore(CustomerProcessor.STORE)
                        : Stores.inMemoryKeyValueStore(CustomerProcessor.STORE);
        String returns = options.text("returns");
        String[] inputs =
                returns.isEmpty()
                        ? new String[] {options.text("orders")}
                        : new String[] {options.text("orders"), returns};
        return new Topology()
                .addSource("records", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), inputs)
                .addProcessor("customers", CustomerProcessor::new, "records")
                .addStateStore(
                        Stores.keyValueStoreBuilder(store, Serdes.ByteArray(), Serdes.ByteArray())
                                .withCachingEnabled()
                                .withLoggingEnabled(java.util.Map.of()),
                        "customers")
                .addSink(
                        SIGNALS,
                        options.text("signals"),
                        Serdes.ByteArray().serializer(),
                        Serdes.ByteArray().serializer(),
                        "customers")
                .addSink(
                        PROFILES,
                        options.text("profiles"),
                        Serdes.ByteArray().serializer(),
                        Serdes.ByteArray().serializer(),
                        "customers");
    }

    private static Properties settings(Options options) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, options.text("application"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.text("servers"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, options.text("folder"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.number("interval_ms"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // Room for every customer of the comparison, so that only commits flush it.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 512 * MEBI);
        settings.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        // The default 10 s would be what a restart is measured by.
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), (int) (4 * MEBI));
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.CHECK_CRCS_CONFIG), false);
        // A commit sends what lingers: a long linger only makes full batches.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), (int) (MEBI / 2));
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128 * MEBI);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }
}
