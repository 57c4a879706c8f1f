package peers.streams;

import java.time.Duration;
import java.util.PriorityQueue;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.processor.internals.ProcessorNode;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.internals.WrappedStateStore;
import peers.job.Customer;
import peers.job.Event;
import peers.job.EventReader;
import peers.job.Job;

/**
 * One partition's customers. Signals are forwarded as they arise; profiles when the store's cache is flushed, so once a touched
 * customer and commit. That is what a cached KTable aggregate does, by the same listener; the listener is internal to Kafka Streams,
 * but without it the Processor API would write a profile for each event.
 */
final class CustomerProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    static final String STORE = "customers";

    private final EventReader reader = new EventReader();
    private final Job job = new Job();
    private final Customer customer = new Customer();
    private final Customer flushed = new Customer();
    /** One entry a customer, at or before its next deadline: an order that moves the deadline costs nothing here. */
    private final PriorityQueue<Timer> timers = new PriorityQueue<>();

    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> store;

    private record Timer(long at, byte[] key) implements Comparable<Timer> {
        @Override
        public int compareTo(Timer other) {
            return Long.compare(at, other.at);
        }
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        store = context.getStateStore(STORE);
        forwardProfilesOnFlush();
        restoreTimers();
        // Ten minutes of the shop's time: what is due is said at its own instant in any case.
        context.schedule(Duration.ofMinutes(10), PunctuationType.STREAM_TIME, this::punctuate);
    }

    @SuppressWarnings("unchecked")
    private void forwardProfilesOnFlush() {
        InternalProcessorContext<byte[], byte[]> internal = (InternalProcessorContext<byte[], byte[]>) context;
        ProcessorNode<?, ?, ?, ?> node = internal.currentNode();
        boolean isCached =
                ((WrappedStateStore<?, byte[], byte[]>) store)
                        .setFlushListener(
                                record -> {
                                    ProcessorNode<?, ?, ?, ?> before = internal.currentNode();
                                    internal.setCurrentNode(node);
                                    try {
                                        byte[] state = record.value().newValue;
                                        byte[] profile = job.profile(record.key(), flushed.load(state));
                                        context.forward(record.withValue(profile), Main.PROFILES);
                                    } finally {
                                        internal.setCurrentNode(before);
                                    }
                                },
                                false);
        if (!isCached) {
            throw new IllegalStateException("the store has no cache");
        }
    }

    private void restoreTimers() {
        try (KeyValueIterator<byte[], byte[]> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<byte[], byte[]> entry = all.next();
                arm(entry.key, job.deadline(customer.load(entry.value)));
            }
        }
    }

    private void arm(byte[] key, long deadline) {
        if (deadline != Long.MAX_VALUE) {
            timers.add(new Timer(deadline, key));
        }
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        Event event = reader.read(record.value());
        if (event == null) {
            return;
        }
        byte[] key = record.key();
        byte[] state = store.get(key);
        customer.load(state);
        // A timer stands while a deadline does: for who is new or lapsed there is none.
        boolean isArmed = job.deadline(customer) != Long.MAX_VALUE;
        if (job.apply(key, customer, event, (to, signal) -> say(to, signal, record.timestamp()))) {
            store.put(key, customer.store());
            if (!isArmed) {
                arm(key, job.deadline(customer));
            }
        }
    }

    private void punctuate(long clock) {
        while (!timers.isEmpty() && timers.peek().at <= clock) {
            byte[] key = timers.poll().key;
            customer.load(store.get(key));
            if (job.advance(key, customer, clock, (to, signal) -> say(to, signal, clock))) {
                store.put(key, customer.store());
            }
            arm(key, job.deadline(customer));
        }
    }

    private void say(byte[] key, byte[] signal, long at) {
        context.forward(new Record<>(key, signal, at), Main.SIGNALS);
    }
}
