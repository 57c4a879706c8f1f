package peers.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.lineage.DefaultKafkaDatasetFacet;
import org.apache.flink.connector.kafka.lineage.DefaultKafkaDatasetIdentifier;
import org.apache.flink.connector.kafka.lineage.KafkaDatasetFacet;
import org.apache.flink.connector.kafka.lineage.KafkaDatasetFacetProvider;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import peers.job.Options;

/** The job on Flink: keyed state on the heap, event-time timers, one exactly-once sink, a mini cluster in this process. */
public final class Main {
    private static final TypeInformation<Tuple2<String, byte[]>> RECORD =
            Types.TUPLE(Types.STRING, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Options options = new Options(arguments);
        int parallelism = options.number("parallelism");
        String application = options.text("application");
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(parallelism, settings(options));
        DataStream<Tuple2<String, byte[]>> records =
                environment
                        .fromSource(source(options), WatermarkStrategy.forMonotonousTimestamps(), "records", RECORD)
                        .uid("records");
        keyed(records, parallelism)
                .process(new CustomerFunction(application, !options.text("returns").isEmpty()))
                .returns(Output.class)
                .uid("customers")
                .transform("profiles", TypeInformation.of(Output.class), new ProfileOperator(application))
                .uid("profiles")
                .sinkTo(sink(options))
                .uid("outputs");
        environment.execute(application);
    }

    /** With one subtask all keys are where they belong already, so nothing need be sent through the network stack. */
    private static KeyedStream<Tuple2<String, byte[]>, String> keyed(
            DataStream<Tuple2<String, byte[]>> records, int parallelism) {
        return parallelism == 1
                ? DataStreamUtils.reinterpretAsKeyedStream(records, record -> record.f0, Types.STRING)
                : records.keyBy(record -> record.f0, Types.STRING);
    }

    private static Configuration settings(Options options) throws IOException {
        Path checkpoints = Path.of(options.text("folder"), "checkpoints");
        Files.createDirectories(checkpoints);
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("execution.checkpointing.interval", options.text("interval_ms") + " ms");
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", checkpoints.toUri().toString());
        settings.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        settings.setString("state.backend.type", "hashmap");
        // The default holds records back for up to 100 ms before they cross to another subtask.
        settings.setString("execution.buffer-timeout.interval", "5 ms");
        settings.setString("restart-strategy.type", "none");
        if (Boolean.parseBoolean(options.text("restart"))) {
            settings.setString("execution.state-recovery.path", latest(checkpoints).toUri().toString());
        }
        return settings;
    }

    /** The newest complete checkpoint. */
    private static Path latest(Path checkpoints) throws IOException {
        try (Stream<Path> files = Files.walk(checkpoints)) {
            return files.filter(path -> path.endsWith("_metadata"))
                    .map(Path::getParent)
                    .max(Comparator.comparingLong(Main::number))
                    .orElseThrow(() -> new IOException("no checkpoint to start from"));
        }
    }

    private static long number(Path checkpoint) {
        return Long.parseLong(checkpoint.getFileName().toString().substring("chk-".length()));
    }

    private static KafkaSource<Tuple2<String, byte[]>> source(Options options) {
        String returns = options.text("returns");
        return KafkaSource.<Tuple2<String, byte[]>>builder()
                .setBootstrapServers(options.text("servers"))
                .setGroupId(options.text("application"))
                .setTopics(
                        returns.isEmpty()
                                ? List.of(options.text("orders"))
                                : List.of(options.text("orders"), returns))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Reading())
                .setProperty("max.poll.records", "10000")
                .setProperty("max.partition.fetch.bytes", String.valueOf(4 << 20))
                .setProperty("check.crcs", "false")
                .build();
    }

    private static KafkaSink<Output> sink(Options options) {
        Properties producer = new Properties();
        producer.put("transaction.timeout.ms", "60000");
        // A checkpoint sends what lingers: a long linger only makes full batches.
        producer.put("linger.ms", "100");
        producer.put("batch.size", String.valueOf(1 << 19));
        producer.put("buffer.memory", String.valueOf(128 << 20));
        producer.put("compression.type", "lz4");
        return KafkaSink.<Output>builder()
                .setBootstrapServers(options.text("servers"))
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(options.text("application"))
                .setTransactionNamingStrategy(TransactionNamingStrategy.POOLING)
                .setKafkaProducerConfig(producer)
                .setRecordSerializer(new Writing(options.text("signals"), options.text("profiles")))
                .build();
    }

    /** Key and value as they come: parsing waits until the record is where its customer is. */
    private static final class Reading implements KafkaRecordDeserializationSchema<Tuple2<String, byte[]>> {
        private static final long serialVersionUID = 1;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<String, byte[]>> out) {
            out.collect(Tuple2.of(new String(record.key(), StandardCharsets.UTF_8), record.value()));
        }

        @Override
        public TypeInformation<Tuple2<String, byte[]>> getProducedType() {
            return RECORD;
        }
    }

    /** One sink, and so one transaction, for both topics. */
    private static final class Writing implements KafkaRecordSerializationSchema<Output>, KafkaDatasetFacetProvider {
        private static final long serialVersionUID = 1;
        private final String signals;
        private final String profiles;

        Writing(String signals, String profiles) {
            this.signals = signals;
            this.profiles = profiles;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(Output output, KafkaSinkContext context, Long timestamp) {
            String topic = output.isProfile ? profiles : signals;
            return new ProducerRecord<>(topic, null, output.key, output.value, output.headers);
        }

        /** Pooled transactional ids are told from others' by their topics. */
        @Override
        public Optional<KafkaDatasetFacet> getKafkaDatasetFacet() {
            return Optional.of(
                    new DefaultKafkaDatasetFacet(DefaultKafkaDatasetIdentifier.ofTopics(List.of(signals, profiles))));
        }
    }
}
