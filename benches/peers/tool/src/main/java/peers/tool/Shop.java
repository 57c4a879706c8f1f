package peers.tool;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.SplittableRandom;

/** Writes the records of a synthetic shop, as the project's own benches do: orders of 270 bytes or so with two or three items. */
final class Shop {
    private static final byte[][] SKUS = {
        ascii("{\"sku\":\"SKU-0042-BLUE-M\",\"quantity\":1}"),
        ascii("{\"sku\":\"SKU-0815-RED-XL\",\"quantity\":1}"),
        ascii("{\"sku\":\"SKU-1234-GREEN-S\",\"quantity\":1}"),
    };
    /** Of an order, in cents. */
    static final int LEAST_TOTAL = 500;
    private static final long DAY_MS = 86_400_000;
    private static final String CUSTOMER = "customer-";

    private final SplittableRandom random;
    private final long salt;
    private byte[] out = new byte[512];
    private int length;
    private long day = Long.MIN_VALUE;
    private byte[] date;
    // Of the order written last; its total in cents.
    private int total;
    private int items;
    private int version;

    Shop(long seed) {
        random = new SplittableRandom(seed);
        salt = random.nextLong();
    }

    int total() {
        return total;
    }

    /** Order number {@code index}, whose id is derived from that number; of some articles, or always the same one. */
    byte[] order(byte[] customer, long index, long at, boolean isOfOneArticle) {
        total = random.nextInt(LEAST_TOTAL, 20_000);
        items = isOfOneArticle ? 1 : random.nextInt(2, 4);
        version = 0;
        return write(customer, index, at);
    }

    /** A higher version of the order written last: another total. */
    byte[] correction(byte[] customer, long index, long at) {
        total += random.nextInt(1, 1_000);
        version++;
        return write(customer, index, at);
    }

    private byte[] write(byte[] customer, long index, long at) {
        length = 0;
        text("{\"order_id\":\"2026-");
        hex(mix(index + salt));
        text("\",\"placed_at\":\"");
        time(at);
        text("\",\"currency\":\"EUR\",\"total\":\"");
        money(total);
        text("\",\"customer_id\":\"");
        bytes(customer);
        text("\",\"store_id\":\"berlin-mitte\"");
        if (version > 0) {
            text(",\"version\":");
            text(Integer.toString(version));
        }
        text(",\"items\":[");
        for (int item = 0; item < items; item++) {
            if (item > 0) {
                text(",");
            }
            bytes(SKUS[item]);
        }
        text("]}");
        return java.util.Arrays.copyOf(out, length);
    }

    /** Part of the money for order number {@code order} is given back. */
    byte[] giveBack(byte[] customer, long index, long order, int refund, long at) {
        refund(customer, index, refund, at);
        text(",\"order_id\":\"2026-");
        hex(mix(order + salt));
        text("\"}");
        return java.util.Arrays.copyOf(out, length);
    }

    /** Money is given back, and for which order is not said. It is less than any order's total. */
    byte[] giveBackSomething(byte[] customer, long index, long at) {
        refund(customer, index, random.nextInt(1, LEAST_TOTAL), at);
        text("}");
        return java.util.Arrays.copyOf(out, length);
    }

    private void refund(byte[] customer, long index, int refund, long at) {
        length = 0;
        text("{\"return_id\":\"r-");
        hex(mix(~index + salt));
        text("\",\"returned_at\":\"");
        time(at);
        text("\",\"currency\":\"EUR\",\"refund\":\"");
        money(refund);
        text("\",\"customer_id\":\"");
        bytes(customer);
        text("\",\"store_id\":\"berlin-mitte\"");
    }

    static byte[] customerKey(int customer) {
        byte[] key = ascii(CUSTOMER + "00000000");
        for (int index = key.length - 1; customer > 0; index--, customer /= 10) {
            key[index] += (byte) (customer % 10);
        }
        return key;
    }

    static int customerOf(byte[] key) {
        int number = 0;
        for (int index = CUSTOMER.length(); index < key.length; index++) {
            number = number * 10 + key[index] - '0';
        }
        return number;
    }

    /** {@code 2025-01-02T03:04:05.678Z} at this place, in milliseconds. */
    static long parseTime(byte[] text, int at) {
        return Instant.parse(new String(text, at, 24, StandardCharsets.US_ASCII)).toEpochMilli();
    }

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    private void text(String text) {
        for (int index = 0; index < text.length(); index++) {
            out[length++] = (byte) text.charAt(index);
        }
    }

    private void bytes(byte[] bytes) {
        System.arraycopy(bytes, 0, out, length, bytes.length);
        length += bytes.length;
    }

    private void hex(long value) {
        for (int shift = 60; shift >= 0; shift -= 4) {
            out[length++] = (byte) Character.forDigit((int) (value >>> shift) & 15, 16);
        }
    }

    private void money(int cents) {
        text(Integer.toString(cents / 100));
        out[length++] = '.';
        digits(cents % 100, 2);
    }

    private void time(long at) {
        if (Math.floorDiv(at, DAY_MS) != day) {
            day = Math.floorDiv(at, DAY_MS);
            date = ascii(Instant.ofEpochMilli(at).atZone(ZoneOffset.UTC).toLocalDate().toString());
        }
        int rest = (int) Math.floorMod(at, DAY_MS);
        bytes(date);
        out[length++] = 'T';
        digits(rest / 3_600_000, 2);
        out[length++] = ':';
        digits(rest / 60_000 % 60, 2);
        out[length++] = ':';
        digits(rest / 1000 % 60, 2);
        out[length++] = '.';
        digits(rest % 1000, 3);
        out[length++] = 'Z';
    }

    private void digits(int number, int count) {
        for (int index = count - 1; index >= 0; index--) {
            out[length + index] = (byte) ('0' + number % 10);
            number /= 10;
        }
        length += count;
    }

    private static long mix(long value) {
        value = (value ^ value >>> 30) * 0xbf58476d1ce4e5b9L;
        value = (value ^ value >>> 27) * 0x94d049bb133111ebL;
        return value ^ value >>> 31;
    }
}
