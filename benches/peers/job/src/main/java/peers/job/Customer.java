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
    private static final int HEADER = 72;
    /** Hash of the id, time, cents, version; the version's highest bit says that something was given back. */
    private static final int ORDER = 28;
    private static final int RETURN = 8;
    private static final int GIVEN_BACK = 1 << 31;
    /** As many as the service keeps: a reseller's oldest orders are forgotten. */
    private static final int ORDERS_MAX = 1000;

    long gross;
    long refunded;
    long firstOrderAt;
    long lastOrderAt;
    long asOf;
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
        placed = (int) INT.get(state, 40);
        returnedOrders = (int) INT.get(state, 44);
        purchaseDays = (int) INT.get(state, 48);
        firstDay = (int) INT.get(state, 52);
        lastDay = (int) INT.get(state, 56);
        orders = (int) INT.get(state, 60);
        returns = (int) INT.get(state, 64);
        told = state[68];
        firstTold = state[69] != 0;
        secondTold = state[70] != 0;
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
        INT.set(state, 40, placed);
        INT.set(state, 44, returnedOrders);
        INT.set(state, 48, purchaseDays);
        INT.set(state, 52, firstDay);
        INT.set(state, 56, lastDay);
        INT.set(state, 60, orders);
        INT.set(state, 64, returns);
        state[68] = told;
        state[69] = (byte) (firstTold ? 1 : 0);
        state[70] = (byte) (secondTold ? 1 : 0);
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

    int orderVersion(int index) {
        return (int) INT.get(ledger, HEADER + index * ORDER + 24) & ~GIVEN_BACK;
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
        INT.set(ledger, place + 24, version);
    }

    /** A higher version of an order. */
    void replaceOrder(int index, long amount, int version) {
        own();
        int place = HEADER + index * ORDER;
        int flag = (int) INT.get(ledger, place + 24) & GIVEN_BACK;
        LONG.set(ledger, place + 16, amount);
        INT.set(ledger, place + 24, version | flag);
    }

    /** Marks that something of an order was given back; whether that is the first time. */
    boolean markGivenBack(int index) {
        int place = HEADER + index * ORDER + 24;
        int version = (int) INT.get(ledger, place);
        if ((version & GIVEN_BACK) != 0) {
            return false;
        }
        own();
        INT.set(ledger, place, version | GIVEN_BACK);
        return true;
    }

    /** False if it was there. */
    boolean addReturn(long hash) {
        int begin = HEADER + orders * ORDER;
        for (int index = 0; index < returns; index++) {
            if ((long) LONG.get(ledger, begin + index * RETURN) == hash) {
                return false;
            }
        }
        int end = begin + returns * RETURN;
        ledger = Arrays.copyOf(ledger, Math.max(HEADER, end) + RETURN);
        LONG.set(ledger, end, hash);
        returns++;
        return true;
    }

    /** Bytes that were loaded belong to the store. */
    private void own() {
        ledger = ledger.clone();
    }
}
