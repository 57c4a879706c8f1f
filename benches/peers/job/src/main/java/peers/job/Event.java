package peers.job;

/** An order or a return, as far as the common subset looks at one. Reused from record to record. */
public final class Event {
    /** Whether goods came back; else an order was placed. */
    boolean isReturn;
    /** Of the order or the return. */
    String id;
    long idHash;
    int version;
    long at;
    /** In cents: total or refund. */
    long amount;
    String storeId;
    /** The order that a return names, or none. */
    String orderId;
    long orderHash;

    /** When it happened, in milliseconds. */
    public long at() {
        return at;
    }
}
