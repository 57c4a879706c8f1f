package peers.job;

/** JSON text that grows in one reused array. */
final class Json {
    private static final long DAY_MS = 86_400_000;
    private static final byte[] HEX = "0123456789abcdef".getBytes(java.nio.charset.StandardCharsets.US_ASCII);

    private byte[] bytes = new byte[1024];
    private int length;
    /** The day written last: most times of a batch lie in few days. */
    private long day = Long.MIN_VALUE;
    private final byte[] date = new byte[10];

    Json start() {
        length = 0;
        return this;
    }

    byte[] finish() {
        return java.util.Arrays.copyOf(bytes, length);
    }

    int length() {
        return length;
    }

    /** What was written between two lengths. */
    byte[] part(int from, int to) {
        return java.util.Arrays.copyOfRange(bytes, from, to);
    }

    /** The same once more. */
    Json again(int from, int to) {
        room(to - from);
        System.arraycopy(bytes, from, bytes, length, to - from);
        length += to - from;
        return this;
    }

    /** ASCII text as it is. */
    @SuppressWarnings("deprecation") // The one copy without a detour: the text is ASCII.
    Json raw(String text) {
        room(text.length());
        text.getBytes(0, text.length(), bytes, length);
        length += text.length();
        return this;
    }

    Json quoted(byte[] text) {
        room(text.length * 6 + 2);
        bytes[length++] = '"';
        for (byte each : text) {
            escaped(each);
        }
        bytes[length++] = '"';
        return this;
    }

    Json quoted(String text) {
        return text == null ? raw("null") : quoted(text.getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }

    Json number(long number) {
        room(20);
        if (number < 0) {
            bytes[length++] = '-';
            number = -number;
        }
        int count = 1;
        for (long rest = number; rest >= 10; rest /= 10) {
            count++;
        }
        digits(number, count);
        return this;
    }

    /** Cents, in quotes. */
    Json money(long cents) {
        room(24);
        bytes[length++] = '"';
        if (cents < 0) {
            bytes[length++] = '-';
            cents = -cents;
        }
        number(cents / 100);
        bytes[length++] = '.';
        digits(cents % 100, 2);
        bytes[length++] = '"';
        return this;
    }

    /** An exact quotient, half even to six digits, without trailing zeros. */
    Json quotient(long numerator, long denominator) {
        long millionths = halfEven(Math.multiplyExact(numerator, 1_000_000L), denominator);
        number(millionths / 1_000_000);
        long fraction = Math.abs(millionths % 1_000_000);
        if (fraction != 0) {
            room(8);
            bytes[length++] = '.';
            digits(fraction, 6);
            while (bytes[length - 1] == '0') {
                length--;
            }
        }
        return this;
    }

    /** {@code "2025-01-02T03:04:05.678Z"}. */
    Json time(long at) {
        long days = Math.floorDiv(at, DAY_MS);
        if (days != day) {
            byte[] text =
                    java.time.LocalDate.ofEpochDay(days)
                            .toString()
                            .getBytes(java.nio.charset.StandardCharsets.US_ASCII);
            System.arraycopy(text, 0, date, 0, 10);
            day = days;
        }
        int rest = (int) Math.floorMod(at, DAY_MS);
        room(28);
        bytes[length++] = '"';
        System.arraycopy(date, 0, bytes, length, 10);
        length += 10;
        bytes[length++] = 'T';
        digits(rest / 3_600_000, 2);
        bytes[length++] = ':';
        digits(rest / 60_000 % 60, 2);
        bytes[length++] = ':';
        digits(rest / 1000 % 60, 2);
        bytes[length++] = '.';
        digits(rest % 1000, 3);
        bytes[length++] = 'Z';
        bytes[length++] = '"';
        return this;
    }

    Json hex(long value) {
        room(16);
        for (int shift = 60; shift >= 0; shift -= 4) {
            bytes[length++] = HEX[(int) (value >>> shift) & 15];
        }
        return this;
    }

    static long halfEven(long numerator, long denominator) {
        long quotient = Math.floorDiv(numerator, denominator);
        long twice = 2 * Math.floorMod(numerator, denominator);
        return twice > denominator || twice == denominator && (quotient & 1) == 1 ? quotient + 1 : quotient;
    }

    private void escaped(byte each) {
        if (each == '"' || each == '\\') {
            bytes[length++] = '\\';
            bytes[length++] = each;
        } else if (each >= 0 && each < 0x20) {
            bytes[length++] = '\\';
            bytes[length++] = 'u';
            bytes[length++] = '0';
            bytes[length++] = '0';
            bytes[length++] = HEX[each >>> 4];
            bytes[length++] = HEX[each & 15];
        } else {
            bytes[length++] = each;
        }
    }

    private void digits(long number, int count) {
        for (int index = count - 1; index >= 0; index--) {
            bytes[length + index] = (byte) ('0' + number % 10);
            number /= 10;
        }
        length += count;
    }

    private void room(int more) {
        if (length + more > bytes.length) {
            bytes = java.util.Arrays.copyOf(bytes, Math.max(bytes.length * 2, length + more));
        }
    }
}
