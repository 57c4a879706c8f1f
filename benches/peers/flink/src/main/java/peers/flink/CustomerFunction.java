package peers.flink;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import peers.job.Customer;
import peers.job.Event;
import peers.job.EventReader;
import peers.job.Job;

/**
 * A customer's records and timers: signals, and the state of whom they touched.
 *
 * <p>The orders of a customer come in order, since they lie in one partition. Orders and returns do not: Flink reads its inputs side by
 * side and does not merge them by time. So where there are returns, a record waits until the watermark has passed it.
 */
final class CustomerFunction extends KeyedProcessFunction<String, Tuple2<String, byte[]>, Output> {
    private final String application;
    private final boolean hasReturns;
    private transient EventReader reader;
    private transient Job job;
    private transient Customer customer;
    private transient ValueState<byte[]> state;
    private transient MapState<Long, byte[]> waiting;

    CustomerFunction(String application, boolean hasReturns) {
        this.application = application;
        this.hasReturns = hasReturns;
    }

    @Override
    public void open(OpenContext context) {
        reader = new EventReader();
        job = new Job(application);
        customer = new Customer();
        state =
                getRuntimeContext()
                        .getState(
                                new ValueStateDescriptor<>(
                                        "customer", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        waiting =
                getRuntimeContext()
                        .getMapState(
                                new MapStateDescriptor<>(
                                        "waiting",
                                        Types.LONG,
                                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
    }

    @Override
    public void processElement(Tuple2<String, byte[]> record, Context context, Collector<Output> out)
            throws Exception {
        if (hasReturns && context.timestamp() > context.timerService().currentWatermark()) {
            await(record.f1, context);
        } else {
            apply(record.f0, record.f1, context, out);
        }
    }

    /** Records of one customer and one instant take the milliseconds' next places: there are few, and all are exact repetitions. */
    private void await(byte[] record, Context context) throws Exception {
        long place = context.timestamp() << 8;
        while (waiting.contains(place)) {
            place++;
        }
        waiting.put(place, record);
        context.timerService().registerEventTimeTimer(context.timestamp());
    }

    private void apply(String name, byte[] record, Context context, Collector<Output> out) throws Exception {
        Event event = reader.read(record);
        if (event == null) {
            return;
        }
        customer.load(state.value());
        // A timer stands while a deadline does, at or before it: an order that moves the deadline costs no new timer.
        boolean isArmed = job.deadline(customer) != Long.MAX_VALUE;
        byte[] key = Job.bytes(name);
        if (job.apply(key, customer, event, (to, signal, headers) -> out.collect(Output.signal(to, signal, headers)))) {
            keep(name, out);
            if (!isArmed) {
                arm(context);
            }
        }
    }

    @Override
    public void onTimer(long at, OnTimerContext context, Collector<Output> out) throws Exception {
        for (long place = at << 8; hasReturns && waiting.contains(place); place++) {
            apply(context.getCurrentKey(), waiting.get(place), context, out);
            waiting.remove(place);
        }
        customer.load(state.value());
        byte[] key = Job.bytes(context.getCurrentKey());
        if (job.advance(key, customer, at, (to, signal, headers) -> out.collect(Output.signal(to, signal, headers)))) {
            keep(context.getCurrentKey(), out);
        }
        arm(context);
    }

    private void keep(String key, Collector<Output> out) throws Exception {
        byte[] bytes = customer.store();
        state.update(bytes);
        out.collect(Output.touched(key, bytes));
    }

    private void arm(Context context) {
        long deadline = job.deadline(customer);
        if (deadline != Long.MAX_VALUE) {
            context.timerService().registerEventTimeTimer(deadline);
        }
    }
}
