package peers.job;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Headers;

/**
 * What both peers do with an event: the subset of the service's definitions that they share with it (benches/peers/README.md). An
 * instance belongs to one thread.
 */
public final class Job {
    /** Where signals go, as JSON. */
    public interface Signals {
        void say(byte[] key, byte[] signal, Headers headers);
    }

    private static final long DAY_MS = 86_400_000;
    private static final long AT_RISK_MS = 30 * DAY_MS;
    private static final long LAPSED_MS = 60 * DAY_MS;
    private static final String[] STATES = {"prospect", "active", "at_risk", "lapsed"};
    private static final String[] WINDOWS = {"30d", "90d", "365d"};
    private static final long[] WINDOWS_MS = {30 * DAY_MS, 90 * DAY_MS, 365 * DAY_MS};

    private final Json json = new Json();
    private final Json id = new Json();
    private final Block block = new Block();
    private final CloudEvents envelope;
    /** Of the signal that was begun last. */
    private Headers headers;

    /** {@code application} is what records name as their source. */
    public Job(String application) {
        envelope = new CloudEvents(application);
    }

    /** The next deadline of a customer, or {@link Long#MAX_VALUE}. */
    public long deadline(Customer customer) {
        return switch (customer.told) {
            case Customer.ACTIVE -> customer.lastOrderAt + AT_RISK_MS;
            case Customer.AT_RISK -> customer.lastOrderAt + LAPSED_MS;
            default -> Long.MAX_VALUE;
        };
    }

    /** Says what has become due by this time; whether anything had. */
    public boolean advance(byte[] key, Customer customer, long clock, Signals signals) {
        boolean changed = false;
        for (long deadline = deadline(customer); deadline <= clock; deadline = deadline(customer)) {
            byte before = customer.told;
            customer.told++;
            customer.asOf = deadline;
            signals.say(key, silence(key, customer, before, deadline), headers);
            changed = true;
        }
        return changed;
    }

    /** Applies a record to its customer, whose clock has come to its time; whether the customer changed. */
    public boolean apply(byte[] key, Customer customer, Event event, Signals signals) {
        boolean fired = advance(key, customer, event.at, signals);
        boolean applied = event.isReturn ? giveBack(key, customer, event, signals) : order(key, customer, event, signals);
        if (applied) {
            customer.asOf = event.at;
        }
        return fired || applied;
    }

    private boolean order(byte[] key, Customer customer, Event event, Signals signals) {
        int known = customer.findOrder(event.idHash);
        if (known >= 0) {
            return replace(customer, known, event);
        }
        customer.goods = Event.goods(customer.goods, event.goods);
        byte before = customer.told;
        long previous = customer.lastOrderAt;
        customer.addOrder(event.idHash, event.at, event.amount, event.version);
        countOrder(customer, event);
        customer.told = Customer.ACTIVE;
        if (!customer.firstTold) {
            customer.firstTold = true;
            signals.say(key, ordered(key, "first_order", before, event), headers);
        }
        if (!customer.secondTold && customer.placed > 1) {
            customer.secondTold = true;
            signals.say(key, ordered(key, "second_order", before, event), headers);
        }
        if (before == Customer.AT_RISK || before == Customer.LAPSED) {
            String type = before == Customer.LAPSED ? "won_back" : "recovered";
            signals.say(key, cameBack(key, type, before, event, event.at - previous), headers);
        }
        return true;
    }

    private static void countOrder(Customer customer, Event event) {
        int day = (int) Math.floorDiv(event.at, DAY_MS);
        if (customer.placed == 0) {
            customer.firstOrderAt = event.at;
            customer.firstDay = day;
            customer.purchaseDays = 1;
        } else if (day > customer.lastDay) {
            long gap = day - customer.lastDay;
            customer.squaredGaps += gap * gap;
            customer.purchaseDays++;
        }
        customer.lastDay = Math.max(day, customer.lastDay);
        customer.lastOrderAt = Math.max(event.at, customer.lastOrderAt);
        customer.placed++;
        customer.gross += event.amount;
    }

    /** A repetition, or a lower version, changes nothing. */
    private static boolean replace(Customer customer, int known, Event event) {
        if (event.version <= customer.orderVersion(known)) {
            return false;
        }
        customer.gross += event.amount - customer.orderAmount(known);
        customer.replaceOrder(known, event.amount, event.version);
        return true;
    }

    private boolean giveBack(byte[] key, Customer customer, Event event, Signals signals) {
        if (customer.knowsReturn(event.idHash)) {
            return false;
        }
        int order = event.orderId == null ? -1 : customer.findOrder(event.orderHash);
        customer.addReturn(event.idHash, event.at, order < 0 ? event.amount : 0);
        customer.refunded += event.amount;
        if (order < 0) {
            customer.unattributed += event.amount;
        } else {
            customer.returnedOrders += customer.isGivenBack(order) ? 0 : 1;
            customer.addRefund(order, event.amount);
        }
        signals.say(key, returned(key, customer, event, order), headers);
        return true;
    }

    private void open(byte[] key, String type, String cause, String storeId, long at, byte before, byte after) {
        long high = hash(key, type.hashCode());
        long low = hash(key, high ^ at);
        json.start().raw("{\"id\":\"");
        int from = json.length();
        json.hex(high ^ EventReader.hash(cause)).hex(low);
        byte[] id = json.part(from, json.length());
        json.raw("\",\"type\":\"").raw(type).raw("\",\"customer_id\":").quoted(key);
        json.raw(",\"store_id\":").quoted(storeId).raw(",\"occurred_at\":");
        from = json.length();
        json.time(at);
        headers = envelope.signal(id, json.part(from + 1, json.length() - 1));
        json.raw(",\"state\":{\"before\":\"").raw(STATES[before]).raw("\",\"after\":\"").raw(STATES[after]);
        json.raw("\"},\"policy\":{\"name\":\"fixed\",\"version\":\"b87cf2760e1004bd\"},\"cause\":{\"kind\":\"");
    }

    private void openByRecord(byte[] key, String type, byte before, byte after, Event event) {
        open(key, type, event.id, event.storeId, event.at, before, after);
        json.raw(event.isReturn ? "return\",\"id\":" : "order\",\"id\":").quoted(event.id).raw(",\"version\":");
        if (event.isReturn) {
            json.raw("null");
        } else {
            json.number(event.version);
        }
        json.raw(",\"at\":").time(event.at).raw("},\"data\":{");
    }

    private byte[] silence(byte[] key, Customer customer, byte before, long deadline) {
        open(key, before == Customer.ACTIVE ? "at_risk" : "lapsed", "", null, deadline, before, customer.told);
        json.raw("deadline\",\"id\":null,\"version\":null,\"at\":").time(deadline).raw("},\"data\":{\"deadline\":");
        json.time(deadline).raw(",\"last_order_at\":").time(customer.lastOrderAt).raw(",\"silence_days\":");
        json.quotient(deadline - customer.lastOrderAt, DAY_MS).raw(",\"expected_gap_days\":null}}");
        return json.finish();
    }

    private byte[] ordered(byte[] key, String type, byte before, Event event) {
        openByRecord(key, type, before, Customer.ACTIVE, event);
        return json.raw("\"value\":").money(event.amount).raw(",\"currency\":\"EUR\"}}").finish();
    }

    private byte[] cameBack(byte[] key, String type, byte before, Event event, long awayMs) {
        openByRecord(key, type, before, Customer.ACTIVE, event);
        return json.raw("\"days_away\":").quotient(awayMs, DAY_MS).raw("}}").finish();
    }

    private byte[] returned(byte[] key, Customer customer, Event event, int order) {
        openByRecord(key, "order_returned", customer.told, customer.told, event);
        json.raw("\"refund\":").money(event.amount).raw(",\"order_id\":").quoted(event.orderId);
        if (order < 0) {
            return json.raw(",\"order_placed_at\":null,\"order_kept\":null,\"days_since_order\":null}}").finish();
        }
        json.raw(",\"order_placed_at\":").time(customer.orderAt(order)).raw(",\"order_kept\":true,\"days_since_order\":");
        return json.quotient(event.at - customer.orderAt(order), DAY_MS).raw("}}").finish();
    }

    /** The headers of a profile; the three numbers make its id. */
    public Headers profileHeaders(Customer customer, int partition, long batch, long number) {
        id.start().number(partition).raw("-").number(batch).raw("-").number(number);
        int end = id.length();
        byte[] time = id.time(customer.asOf).part(end + 1, id.length() - 1);
        return envelope.profile(id.part(0, end), time);
    }

    /** The profile as JSON. */
    public byte[] profile(byte[] key, Customer customer) {
        json.start().raw("{\"customer_id\":").quoted(key).raw(",\"store_id\":null,\"as_of\":").time(customer.asOf);
        json.raw(",\"currency\":\"EUR\",\"state\":\"").raw(STATES[customer.told]).raw("\",\"kind\":");
        boolean isActive = customer.told == Customer.ACTIVE;
        json.raw(!isActive ? "null" : customer.placed == 1 ? "\"new\"" : "\"established\"");
        json.raw(",\"since\":");
        since(customer);
        json.raw(",\"customer_type\":").raw(type(customer)).raw(",\"next\":");
        long deadline = deadline(customer);
        if (deadline == Long.MAX_VALUE) {
            json.raw("null");
        } else {
            json.raw("{\"state\":\"").raw(STATES[customer.told + 1]).raw("\",\"at\":").time(deadline).raw("}");
        }
        json.raw(",\"first_order_at\":");
        optionalTime(customer, customer.firstOrderAt);
        json.raw(",\"last_order_at\":");
        optionalTime(customer, customer.lastOrderAt);
        json.raw(",\"purchase_days\":").number(customer.purchaseDays).raw(",\"mean_gap_days\":");
        if (customer.purchaseDays > 1) {
            json.quotient(customer.lastDay - customer.firstDay, customer.purchaseDays - 1);
        } else {
            json.raw("null");
        }
        json.raw(",\"expected_gap_days\":null,\"truncated\":false,\"all_time\":");
        blocks(customer);
        return json.raw("}}").finish();
    }

    private static String type(Customer customer) {
        if (customer.placed < 2) {
            return customer.placed == 0 ? "null" : "\"one_time\"";
        }
        if (isRegular(customer)) {
            return "\"recurring\"";
        }
        boolean hasOneGood = customer.goods != Event.NO_GOODS && customer.goods != Event.VARIED_GOODS;
        return customer.placed > 2 && !hasOneGood ? "\"repeat\"" : "\"returning\"";
    }

    /** Whether the coefficient of variation of at least three gaps is at most a half. */
    private static boolean isRegular(Customer customer) {
        long gaps = customer.purchaseDays - 1;
        long sum = customer.lastDay - customer.firstDay;
        return gaps >= 3 && 4 * (gaps * customer.squaredGaps - sum * sum) <= sum * sum;
    }

    private void since(Customer customer) {
        switch (customer.told) {
            case Customer.ACTIVE -> json.time(customer.lastOrderAt);
            case Customer.AT_RISK -> json.time(customer.lastOrderAt + AT_RISK_MS);
            case Customer.LAPSED -> json.time(customer.lastOrderAt + LAPSED_MS);
            default -> json.raw("null");
        }
    }

    private void optionalTime(Customer customer, long at) {
        if (customer.placed == 0) {
            json.raw("null");
        } else {
            json.time(at);
        }
    }

    /** All time, then the windows. Orders lie in the ledger in time order, so each window goes on where the one before it ended. */
    private void blocks(Customer customer) {
        boolean hasLoneRefunds = customer.unattributed != 0;
        int allFrom = json.length();
        block.takeAll(customer);
        write(customer.unattributed);
        int allTo = json.length();
        int from = allFrom;
        int to = allTo;
        int written = customer.placed;
        block.clear();
        int next = customer.orders() - 1;
        for (int window = 0; window < WINDOWS.length; window++) {
            long begin = customer.asOf - WINDOWS_MS[window];
            for (; next >= 0 && customer.orderAt(next) > begin; next--) {
                block.add(customer, next);
            }
            json.raw(window == 0 ? ",\"windows\":{\"" : ",\"").raw(WINDOWS[window]).raw("\":");
            // A window often holds the orders of the one before it, or all.
            if (!hasLoneRefunds && block.placed == customer.placed) {
                json.again(allFrom, allTo);
            } else if (!hasLoneRefunds && block.placed == written) {
                json.again(from, to);
            } else {
                from = json.length();
                write(hasLoneRefunds ? loneRefunds(customer, begin) : 0);
                to = json.length();
                written = block.placed;
            }
        }
    }

    private static long loneRefunds(Customer customer, long begin) {
        long sum = 0;
        for (int index = 0; index < customer.returns(); index++) {
            sum += customer.returnAt(index) > begin ? customer.returnUnattributed(index) : 0;
        }
        return sum;
    }

    /** The block; {@code unattributed} is what stands in it without an order. */
    private void write(long unattributed) {
        long refunded = block.refunded + unattributed;
        long net = block.gross - refunded;
        json.raw("{\"placed\":").number(block.placed).raw(",\"kept\":").number(block.placed);
        json.raw(",\"gross\":").money(block.gross);
        if (refunded == 0) {
            json.raw(",\"refunded\":\"0.00\",\"cancelled\":\"0.00\",\"unattributed\":\"0.00\",\"net\":");
        } else {
            json.raw(",\"refunded\":").money(refunded).raw(",\"cancelled\":\"0.00\",\"unattributed\":");
            json.money(unattributed).raw(",\"net\":");
        }
        json.money(net).raw(",\"excess\":\"0.00\",\"aov_gross\":");
        mean(block.gross, block.placed);
        json.raw(",\"aov_net\":");
        mean(net, block.placed);
        json.raw(",\"came_back\":").raw(block.placed > 1 ? "true" : "false");
        json.raw(",\"returned_orders\":").number(block.returnedOrders).raw("}");
    }

    private void mean(long sum, int count) {
        if (count == 0) {
            json.raw("null");
        } else {
            json.money(Json.halfEven(sum, count));
        }
    }

    /** A customer's key as text. */
    public static byte[] bytes(String key) {
        return key.getBytes(StandardCharsets.UTF_8);
    }

    private static long hash(byte[] key, long seed) {
        long hash = seed * 0x9e3779b97f4a7c15L;
        for (byte each : key) {
            hash = (hash ^ each) * 0xff51afd7ed558ccdL;
            hash ^= hash >>> 32;
        }
        return hash;
    }
}
