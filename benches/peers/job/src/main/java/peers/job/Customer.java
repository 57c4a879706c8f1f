package peers.job;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * The state of one customer: figures, and below them the orders and returns that were seen, to tell repetitions and to find what a
 * return names. It is kept as bytes in both frameworks, so that neither serializes anything but this; a view is laid over the bytes
 * for the time of a record and reused.
 */
public final class Customer {
    static final byte PROSPECT = 0;
    static final byte ACTIVE = 1;
    static final byte AT_RISK = 2;
    static final byte LAPSED = 3;

    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int HEADER = 96;
    /** Hash of the id, time, cents, cents given back, version; the version's highest bit says that something was given back. */
    private static final int ORDER = 36;
    /** Hash of the id, time, cents that stand without an order. */
    private static final int RETURN = 24;
    private static final int GIVEN_BACK = 1 << 31;
    /** As many as the service keeps: a reseller's oldest orders are forgotten. */
    private static final int ORDERS_MAX = 1000;

    long gross;
    long refunded;
    long firstOrderAt;
    long lastOrderAt;
    long asOf;
    /** The part of what was given back that stands without an order. */
    long unattributed;
    /** Sum of squared gaps between purchase days. */
    long squaredGaps;
    /** See {@link Event#goods}. */
    long goods;
    int placed;
    int returnedOrders;
    int purchaseDays;
    int firstDay;
    int lastDay;
    byte told;
    boolean firstTold;
    boolean secondTold;
    private int orders;
    private int returns;
    private byte[] ledger = new byte[0];

    /** Lays the view over a customer's bytes; none for one who is new. */
    public Customer load(byte[] state) {
        if (state == null) {
            gross = refunded = firstOrderAt = lastOrderAt = asOf = 0;
            unattributed = squaredGaps = 0;
            goods = Event.NO_GOODS;
            placed = returnedOrders = purchaseDays = firstDay = lastDay = orders = returns = 0;
            told = PROSPECT;
            firstTold = secondTold = false;
            ledger = new byte[0];
            return this;
        }
        gross = (long) LONG.get(state, 0);
        refunded = (long) LONG.get(state, 8);
        firstOrderAt = (long) LONG.get(state, 16);
        lastOrderAt = (long) LONG.get(state, 24);
        asOf = (long) LONG.get(state, 32);
        unattributed = (long) LONG.get(state, 40);
        squaredGaps = (long) LONG.get(state, 48);
        goods = (long) LONG.get(state, 56);
        placed = (int) INT.get(state, 64);
        returnedOrders = (int) INT.get(state, 68);
        purchaseDays = (int) INT.get(state, 72);
        firstDay = (int) INT.get(state, 76);
        lastDay = (int) INT.get(state, 80);
        orders = (int) INT.get(state, 84);
        returns = (int) INT.get(state, 88);
        told = state[92];
        firstTold = state[93] != 0;
        secondTold = state[94] != 0;
        ledger = state;
        return this;
    }

    /** New bytes: those that were loaded stay as they are, for whoever still holds them. */
    public byte[] store() {
        byte[] state = new byte[HEADER + orders * ORDER + returns * RETURN];
        System.arraycopy(ledger, Math.min(HEADER, ledger.length), state, HEADER, state.length - HEADER);
        LONG.set(state, 0, gross);
        LONG.set(state, 8, refunded);
        LONG.set(state, 16, firstOrderAt);
        LONG.set(state, 24, lastOrderAt);
        LONG.set(state, 32, asOf);
        LONG.set(state, 40, unattributed);
        LONG.set(state, 48, squaredGaps);
        LONG.set(state, 56, goods);
        INT.set(state, 64, placed);
        INT.set(state, 68, returnedOrders);
        INT.set(state, 72, purchaseDays);
        INT.set(state, 76, firstDay);
        INT.set(state, 80, lastDay);
        INT.set(state, 84, orders);
        INT.set(state, 88, returns);
        state[92] = told;
        state[93] = (byte) (firstTold ? 1 : 0);
        state[94] = (byte) (secondTold ? 1 : 0);
        return state;
    }

    /** The place of an order in the ledger, or -1. */
    int findOrder(long hash) {
        for (int index = orders - 1, at = HEADER + index * ORDER; index >= 0; index--, at -= ORDER) {
            if ((long) LONG.get(ledger, at) == hash) {
                return index;
            }
        }
        return -1;
    }

    long orderAt(int index) {
        return (long) LONG.get(ledger, HEADER + index * ORDER + 8);
    }

    long orderAmount(int index) {
        return (long) LONG.get(ledger, HEADER + index * ORDER + 16);
    }

    long orderRefunds(int index) {
        return (long) LONG.get(ledger, HEADER + index * ORDER + 24);
    }

    int orderVersion(int index) {
        return versionAndFlag(index) & ~GIVEN_BACK;
    }

    boolean isGivenBack(int index) {
        return (versionAndFlag(index) & GIVEN_BACK) != 0;
    }

    private int versionAndFlag(int index) {
        return (int) INT.get(ledger, HEADER + index * ORDER + 32);
    }

    /** How many orders the ledger holds. */
    int orders() {
        return orders;
    }

    /** How many returns it holds. */
    int returns() {
        return returns;
    }

    long returnAt(int index) {
        return (long) LONG.get(ledger, HEADER + orders * ORDER + index * RETURN + 8);
    }

    /** What of a return stands without an order. */
    long returnUnattributed(int index) {
        return (long) LONG.get(ledger, HEADER + orders * ORDER + index * RETURN + 16);
    }

    void addOrder(long hash, long at, long amount, int version) {
        if (orders == ORDERS_MAX) {
            byte[] shorter = new byte[ledger.length - ORDER];
            System.arraycopy(ledger, HEADER + ORDER, shorter, HEADER, shorter.length - HEADER);
            ledger = shorter;
            orders--;
        }
        int end = HEADER + orders * ORDER;
        byte[] grown = Arrays.copyOf(ledger, end + ORDER + returns * RETURN);
        if (returns > 0) {
            System.arraycopy(ledger, end, grown, end + ORDER, returns * RETURN);
        }
        ledger = grown;
        orders++;
        setOrder(orders - 1, hash, at, amount, version);
    }

    private void setOrder(int index, long hash, long at, long amount, int version) {
        int place = HEADER + index * ORDER;
        LONG.set(ledger, place, hash);
        LONG.set(ledger, place + 8, at);
        LONG.set(ledger, place + 16, amount);
        LONG.set(ledger, place + 24, 0L);
        INT.set(ledger, place + 32, version);
    }

    /** A higher version of an order. */
    void replaceOrder(int index, long amount, int version) {
        own();
        int place = HEADER + index * ORDER;
        int flag = (int) INT.get(ledger, place + 32) & GIVEN_BACK;
        LONG.set(ledger, place + 16, amount);
        INT.set(ledger, place + 32, version | flag);
    }

    /** Something of an order was given back. */
    void addRefund(int index, long amount) {
        own();
        int place = HEADER + index * ORDER;
        LONG.set(ledger, place + 24, orderRefunds(index) + amount);
        INT.set(ledger, place + 32, versionAndFlag(index) | GIVEN_BACK);
    }

    boolean knowsReturn(long hash) {
        int begin = HEADER + orders * ORDER;
        for (int index = 0; index < returns; index++) {
            if ((long) LONG.get(ledger, begin + index * RETURN) == hash) {
                return true;
            }
        }
        return false;
    }

    /** A new return, of which this much stands without an order. */
    void addReturn(long hash, long at, long unattributed) {
        int end = HEADER + orders * ORDER + returns * RETURN;
        ledger = Arrays.copyOf(ledger, Math.max(HEADER, end) + RETURN);
        LONG.set(ledger, end, hash);
        LONG.set(ledger, end + 8, at);
        LONG.set(ledger, end + 16, unattributed);
        returns++;
    }

    /** Bytes that were loaded belong to the store. */
    private void own() {
        ledger = ledger.clone();
    }
}
