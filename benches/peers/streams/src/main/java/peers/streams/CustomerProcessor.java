package peers.streams;

import java.util.HashMap;
import java.util.Map;
import java.util.PriorityQueue;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
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
    private final Customer customer = new Customer();
    private final Customer flushed = new Customer();
    /** By the time at which one was put here; an order only moves its deadline, which is seen when it comes up. */
    private final PriorityQueue<Timer> timers = new PriorityQueue<>();
    /** The same: looking here is cheaper than asking the store, whose cache is a tree. */
    private final Map<Bytes, Timer> timerOf = new HashMap<>();

    /** Told in the ids of profiles: a task that starts again counts from zero. */
    private final long startedAt = System.currentTimeMillis();
    private long profiles;

    private Job job;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> store;

    private static final class Timer implements Comparable<Timer> {
        private final byte[] key;
        private long place;
        private long deadline;

        Timer(byte[] key, long deadline) {
            this.key = key;
            this.place = deadline;
            this.deadline = deadline;
        }

        @Override
        public int compareTo(Timer other) {
            return Long.compare(place, other.place);
        }
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        job = new Job(context.applicationId());
        store = context.getStateStore(STORE);
        forwardProfilesOnFlush();
        restoreTimers();
    }

    @SuppressWarnings("unchecked")
    private void forwardProfilesOnFlush() {
        InternalProcessorContext<byte[], byte[]> internal = (InternalProcessorContext<byte[], byte[]>) context;
        ProcessorNode<?, ?, ?, ?> node = internal.currentNode();
        int partition = context.taskId().partition();
        boolean isCached =
                ((WrappedStateStore<?, byte[], byte[]>) store)
                        .setFlushListener(
                                record -> {
                                    ProcessorNode<?, ?, ?, ?> before = internal.currentNode();
                                    internal.setCurrentNode(node);
                                    try {
                                        byte[] state = record.value().newValue;
                                        byte[] profile = job.profile(record.key(), flushed.load(state));
                                        Headers headers =
                                                job.profileHeaders(flushed, partition, startedAt, profiles++);
                                        context.forward(
                                                new Record<>(record.key(), profile, record.timestamp(), headers),
                                                Main.PROFILES);
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
        if (deadline == Long.MAX_VALUE) {
            return;
        }
        Bytes name = Bytes.wrap(key);
        Timer timer = timerOf.get(name);
        if (timer == null) {
            timer = new Timer(key, deadline);
            timerOf.put(name, timer);
            timers.add(timer);
        } else {
            timer.deadline = deadline;
        }
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        fireTimers(record.timestamp());
        Event event = reader.read(record.value());
        if (event == null) {
            return;
        }
        byte[] key = record.key();
        customer.load(store.get(key));
        if (job.apply(key, customer, event, (to, signal, headers) -> say(to, signal, headers, record.timestamp()))) {
            store.put(key, customer.store());
            arm(key, job.deadline(customer));
        }
    }

    /**
     * What a stream-time punctuator would do, at once and at less cost: a thread that has called a punctuator halves the number of
     * records that it takes before it polls again, and in a backlog a day passes in a moment.
     */
    private void fireTimers(long clock) {
        while (!timers.isEmpty() && timers.peek().place <= clock) {
            Timer timer = timers.poll();
            if (timer.deadline <= clock) {
                customer.load(store.get(timer.key));
                if (job.advance(timer.key, customer, clock, (to, signal, headers) -> say(to, signal, headers, clock))) {
                    store.put(timer.key, customer.store());
                }
                timer.deadline = job.deadline(customer);
            }
            timer.place = timer.deadline;
            if (timer.place == Long.MAX_VALUE) {
                timerOf.remove(Bytes.wrap(timer.key));
            } else {
                timers.add(timer);
            }
        }
    }

    private void say(byte[] key, byte[] signal, Headers headers, long at) {
        context.forward(new Record<>(key, signal, at, headers), Main.SIGNALS);
    }
}
