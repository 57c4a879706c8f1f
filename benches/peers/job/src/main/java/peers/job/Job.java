package peers.job;

import java.nio.charset.StandardCharsets;

/**
 * What both peers do with an event: the subset of the service's definitions that they share with it (benches/peers/README.md). An
 * instance belongs to one thread.
 */
public final class Job {
    /** Where signals go, as JSON. */
    public interface Signals {
        void say(byte[] key, byte[] signal);
    }

    private static final long DAY_MS = 86_400_000;
    private static final long AT_RISK_MS = 30 * DAY_MS;
    private static final long LAPSED_MS = 60 * DAY_MS;
    private static final String[] STATES = {"prospect", "active", "at_risk", "lapsed"};

    private final Json json = new Json();

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
            signals.say(key, silence(key, customer, before, deadline));
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
        byte before = customer.told;
        long previous = customer.lastOrderAt;
        customer.addOrder(event.idHash, event.at, event.amount, event.version);
        countOrder(customer, event);
        customer.told = Customer.ACTIVE;
        if (!customer.firstTold) {
            customer.firstTold = true;
            signals.say(key, ordered(key, "first_order", before, event));
        }
        if (!customer.secondTold && customer.placed > 1) {
            customer.secondTold = true;
            signals.say(key, ordered(key, "second_order", before, event));
        }
        if (before == Customer.AT_RISK || before == Customer.LAPSED) {
            String type = before == Customer.LAPSED ? "won_back" : "recovered";
            signals.say(key, cameBack(key, type, before, event, event.at - previous));
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
        if (!customer.addReturn(event.idHash)) {
            return false;
        }
        customer.refunded += event.amount;
        int order = event.orderId == null ? -1 : customer.findOrder(event.orderHash);
        if (order >= 0 && customer.markGivenBack(order)) {
            customer.returnedOrders++;
        }
        signals.say(key, returned(key, customer, event, order));
        return true;
    }

    private void open(byte[] key, String type, String cause, String storeId, long at, byte before, byte after) {
        long high = hash(key, type.hashCode());
        long low = hash(key, high ^ at);
        json.start().raw("{\"id\":\"").hex(high ^ EventReader.hash(cause)).hex(low);
        json.raw("\",\"type\":\"").raw(type).raw("\",\"customer_id\":").quoted(key);
        json.raw(",\"store_id\":").quoted(storeId).raw(",\"occurred_at\":").time(at);
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

    /** The profile, without the windows, the customer type and what cancellations would bring. */
    public byte[] profile(byte[] key, Customer customer) {
        json.start().raw("{\"customer_id\":").quoted(key).raw(",\"store_id\":null,\"as_of\":").time(customer.asOf);
        json.raw(",\"currency\":\"EUR\",\"state\":\"").raw(STATES[customer.told]).raw("\",\"kind\":");
        boolean isActive = customer.told == Customer.ACTIVE;
        json.raw(!isActive ? "null" : customer.placed == 1 ? "\"new\"" : "\"established\"");
        json.raw(",\"since\":");
        since(customer);
        json.raw(",\"next\":");
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
        json.raw(",\"expected_gap_days\":null,\"all_time\":");
        allTime(customer);
        return json.raw("}").finish();
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

    private void allTime(Customer customer) {
        long net = customer.gross - customer.refunded;
        json.raw("{\"placed\":").number(customer.placed).raw(",\"kept\":").number(customer.placed);
        json.raw(",\"gross\":").money(customer.gross).raw(",\"refunded\":").money(customer.refunded);
        json.raw(",\"net\":").money(net).raw(",\"aov_gross\":");
        mean(customer.gross, customer.placed);
        json.raw(",\"aov_net\":");
        mean(net, customer.placed);
        json.raw(",\"came_back\":").raw(customer.placed > 1 ? "true" : "false");
        json.raw(",\"returned_orders\":").number(customer.returnedOrders).raw("}");
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
