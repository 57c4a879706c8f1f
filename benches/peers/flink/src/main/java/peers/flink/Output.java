package peers.flink;

import org.apache.kafka.common.header.Headers;

/** What leaves the function; it stays within one chain of operators and is never serialized. */
public final class Output {
    /** Of a customer whose profile is due at the next checkpoint; else none. */
    String touched;
    byte[] key;
    /** A signal or a profile, or the state of whom is touched. */
    byte[] value;
    boolean isProfile;
    Headers headers;

    static Output signal(byte[] key, byte[] signal, Headers headers) {
        Output output = new Output();
        output.key = key;
        output.value = signal;
        output.headers = headers;
        return output;
    }

    static Output profile(byte[] key, byte[] profile, Headers headers) {
        Output output = signal(key, profile, headers);
        output.isProfile = true;
        return output;
    }

    static Output touched(String customer, byte[] state) {
        Output output = new Output();
        output.touched = customer;
        output.value = state;
        return output;
    }
}
