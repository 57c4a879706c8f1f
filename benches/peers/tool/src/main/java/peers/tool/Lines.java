package peers.tool;

import java.io.BufferedReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Writes the lines of a file into a topic, each a record with the line's number as its key. */
final class Lines {
    private Lines() {}

    static String load(String servers, Options options) throws Exception {
        String topic = options.text("topic");
        long records = 0;
        long bytes = 0;
        try (BufferedReader lines = Files.newBufferedReader(Path.of(options.text("file")));
                KafkaProducer<byte[], byte[]> producer = Loader.producer(servers, 50, "1")) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                byte[] key = Long.toString(records).getBytes(StandardCharsets.UTF_8);
                byte[] value = line.getBytes(StandardCharsets.UTF_8);
                producer.send(new ProducerRecord<>(topic, key, value));
                records++;
                bytes += value.length;
            }
        }
        return "{\"records\":" + records + ",\"bytes\":" + bytes + "}";
    }
}
