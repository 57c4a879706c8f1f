package peers.job;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.header.internals.RecordHeaders;

/** The headers of signals and profiles: CloudEvents in binary mode, as the service writes them. */
final class CloudEvents {
    private static final Header VERSION = header("ce_specversion", "1.0");
    private static final Header SIGNAL = header("ce_type", "retention.signal.v1");
    private static final Header PROFILE = header("ce_type", "retention.profile.v1");
    private static final Header CONTENT = header("content-type", "application/json");

    private final Header source;

    CloudEvents(String application) {
        source = header("ce_source", application);
    }

    Headers signal(byte[] id, byte[] time) {
        return headers(SIGNAL, id, time);
    }

    Headers profile(byte[] id, byte[] time) {
        return headers(PROFILE, id, time);
    }

    private Headers headers(Header type, byte[] id, byte[] time) {
        return new RecordHeaders(
                new Header[] {
                    VERSION, type, source, new RecordHeader("ce_id", id), new RecordHeader("ce_time", time), CONTENT
                });
    }

    private static Header header(String name, String value) {
        return new RecordHeader(name, value.getBytes(StandardCharsets.UTF_8));
    }
}
