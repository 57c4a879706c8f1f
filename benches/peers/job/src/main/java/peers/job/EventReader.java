package peers.job;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** Reads a record in one pass, with Jackson's streaming parser and without building a tree. */
public final class EventReader {
    private final JsonFactory factory = new JsonFactory();
    private final Event event = new Event();

    /**
     * The event, valid until the next call, or none if the record is none. Where the service writes a dead letter with a reason, this
     * passes over the record.
     */
    public Event read(byte[] record) {
        event.id = null;
        event.orderId = null;
        event.storeId = null;
        event.version = 0;
        event.at = Long.MIN_VALUE;
        event.amount = -1;
        event.goods = Event.NO_GOODS;
        try (JsonParser parser = factory.createParser(record)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return null;
            }
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken token = parser.nextToken();
                if (token != JsonToken.VALUE_NULL) {
                    field(parser, name);
                }
            }
        } catch (IOException | IllegalArgumentException error) {
            return null;
        }
        return event.id == null || event.at == Long.MIN_VALUE || event.amount < 0 ? null : event;
    }

    private void field(JsonParser parser, String name) throws IOException {
        switch (name) {
            case "order_id":
                event.orderId = parser.getText();
                event.orderHash = hash(event.orderId);
                if (event.id == null) {
                    event.id = event.orderId;
                    event.idHash = event.orderHash;
                    event.isReturn = false;
                }
                break;
            case "return_id":
                event.id = parser.getText();
                event.idHash = hash(event.id);
                event.isReturn = true;
                break;
            case "placed_at":
            case "returned_at":
                event.at = time(parser);
                break;
            case "total":
            case "refund":
                event.amount = cents(parser.getTextCharacters(), parser.getTextOffset(), parser.getTextLength());
                break;
            case "version":
                event.version = parser.getIntValue();
                break;
            case "store_id":
                event.storeId = parser.getText();
                break;
            case "items":
                items(parser);
                break;
            default:
                parser.skipChildren();
        }
    }

    private void items(JsonParser parser) throws IOException {
        if (parser.currentToken() != JsonToken.START_ARRAY) {
            throw new IllegalArgumentException("items is not an array");
        }
        while (parser.nextToken() == JsonToken.START_OBJECT) {
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken token = parser.nextToken();
                if (name.equals("sku") && token == JsonToken.VALUE_STRING && event.goods != Event.VARIED_GOODS) {
                    char[] text = parser.getTextCharacters();
                    event.goods = Event.goods(event.goods, sku(text, parser.getTextOffset(), parser.getTextLength()));
                } else {
                    parser.skipChildren();
                }
            }
        }
    }

    /** The hash of an SKU, without making a string of it; neither of the two values that say something else. */
    private static long sku(char[] text, int start, int length) {
        long hash = 0x9e3779b97f4a7c15L;
        for (int index = start; index < start + length; index++) {
            hash = mix(hash, text[index]);
        }
        return hash | 2;
    }

    private static long time(JsonParser parser) throws IOException {
        char[] text = parser.getTextCharacters();
        int start = parser.getTextOffset();
        if (parser.getTextLength() != 24 || text[start + 23] != 'Z') {
            return java.time.OffsetDateTime.parse(parser.getText()).toInstant().toEpochMilli();
        }
        int year = digits(text, start, 4);
        int month = digits(text, start + 5, 2);
        int day = digits(text, start + 8, 2);
        long seconds =
                days(year, month, day) * 86_400L
                        + digits(text, start + 11, 2) * 3600
                        + digits(text, start + 14, 2) * 60
                        + digits(text, start + 17, 2);
        return seconds * 1000 + digits(text, start + 20, 3);
    }

    private static int digits(char[] text, int at, int count) {
        int number = 0;
        for (int index = at; index < at + count; index++) {
            int digit = text[index] - '0';
            if (digit < 0 || digit > 9) {
                throw new IllegalArgumentException("no digit in a time");
            }
            number = number * 10 + digit;
        }
        return number;
    }

    /** Days since 1970 in the proleptic Gregorian calendar. */
    private static long days(int year, int month, int day) {
        int shifted = month <= 2 ? year - 1 : year;
        int era = Math.floorDiv(shifted, 400);
        int ofEra = shifted - era * 400;
        int ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
        return era * 146_097L + ofEra * 365L + ofEra / 4 - ofEra / 100 + ofYear - 719_468;
    }

    private static long cents(char[] text, int start, int length) {
        long number = 0;
        int fraction = -1;
        for (int index = start; index < start + length; index++) {
            char each = text[index];
            if (each == '.' && fraction < 0) {
                fraction = 0;
            } else if (each >= '0' && each <= '9' && fraction < 2) {
                number = number * 10 + each - '0';
                fraction += fraction < 0 ? 0 : 1;
            } else {
                throw new IllegalArgumentException("no amount");
            }
        }
        return fraction == 2 ? number : fraction == 1 ? number * 10 : number * 100;
    }

    static long hash(String text) {
        long hash = 0x9e3779b97f4a7c15L;
        for (int index = 0; index < text.length(); index++) {
            hash = mix(hash, text.charAt(index));
        }
        return hash;
    }

    private static long mix(long hash, char next) {
        hash = (hash ^ next) * 0xff51afd7ed558ccdL;
        return hash ^ hash >>> 32;
    }
}
