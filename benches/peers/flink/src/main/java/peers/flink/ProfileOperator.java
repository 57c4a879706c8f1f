package peers.flink;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.kafka.common.header.Headers;
import peers.job.Customer;
import peers.job.Job;

/**
 * Holds profiles back until just before a checkpoint's barrier, so that one stands for all events since the last: a bundle as Flink's
 * own mini-batches are, empty whenever a checkpoint is taken, so it needs no state.
 */
final class ProfileOperator extends AbstractStreamOperator<Output> implements OneInputStreamOperator<Output, Output> {
    private static final long serialVersionUID = 1;

    private final String application;

    /** Of the last checkpoint. */
    private transient long batch;
    private transient Map<String, byte[]> touched;
    private transient Job job;
    private transient Customer customer;
    private transient StreamRecord<Output> reused;

    ProfileOperator(String application) {
        this.application = application;
    }

    @Override
    public void open() throws Exception {
        super.open();
        touched = new HashMap<>();
        job = new Job(application);
        customer = new Customer();
        reused = new StreamRecord<>(null);
    }

    @Override
    public void processElement(StreamRecord<Output> record) {
        Output value = record.getValue();
        if (value.touched == null) {
            output.collect(record);
        } else {
            touched.put(value.touched, value.value);
        }
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) {
        batch = checkpointId;
        write();
    }

    @Override
    public void finish() {
        batch++;
        write();
    }

    private void write() {
        int subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
        long number = 0;
        for (Map.Entry<String, byte[]> each : touched.entrySet()) {
            byte[] key = Job.bytes(each.getKey());
            byte[] profile = job.profile(key, customer.load(each.getValue()));
            Headers headers = job.profileHeaders(customer, subtask, batch, number++);
            output.collect(reused.replace(Output.profile(key, profile, headers)));
        }
        touched.clear();
    }
}
