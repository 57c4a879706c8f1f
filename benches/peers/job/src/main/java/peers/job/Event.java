package peers.job;

/** An order or a return, as far as the common subset looks at one. Reused from record to record. */
public final class Event {
    static final long NO_GOODS = 0;
    static final long VARIED_GOODS = 1;

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
    /** {@link #NO_GOODS}, the hash of the only SKU, or {@link #VARIED_GOODS}. */
    long goods;

    /** The goods of both together. */
    static long goods(long one, long other) {
        return one == NO_GOODS || one == other ? other : other == NO_GOODS ? one : VARIED_GOODS;
    }

    /** When it happened, in milliseconds. */
    public long at() {
        return at;
    }
}
