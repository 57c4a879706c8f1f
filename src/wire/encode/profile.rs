//! Profiles as JSON: the latest facts about a customer.

use super::shops::{ShopText, ShopTexts};
use super::text::{Text, Word, append};
use super::{json, words};
use crate::domain::settings::Shops;
use crate::domain::signals::signal::{Profile, State};
use crate::domain::values::number::half_even_of_magnitudes;
use crate::domain::values::window::OrderTotals;

/// Writes profiles under one set of settings.
#[derive(Clone, Debug)]
pub struct ProfileEncoder {
    shops: ShopTexts,
}

impl ProfileEncoder {
    pub fn new(shops: &Shops) -> Self {
        Self { shops: ShopTexts::new(shops) }
    }

    /// Appends a profile.
    pub fn encode(&self, customer_key: &[u8], profile: &Profile, out: &mut Vec<u8>) {
        let shop = self.shops.get(profile.shop);
        out.extend_from_slice(b"{\"customer_id\":\"");
        json::string_content(out, self.shops.customer_id(customer_key));
        out.extend_from_slice(shop.store.as_deref().unwrap_or(b"\",\"store_id\":null"));
        let (start, mut all_time) = (out.len(), 0);
        append::<{ FACTS_ROOM + BLOCK_ROOM }>(out, |text| {
            let text = facts(text, profile, shop).put(b",\"all_time\":");
            all_time = start + text.mark();
            block(text, &profile.blocks[0], shop)
        });
        windows(out, &profile.blocks, all_time, shop);
        out.extend_from_slice(b"}}");
    }
}

/// Five times, two numbers of 48 digits, and names.
const FACTS_ROOM: usize = 512;

/// Eight amounts of 24 digits, three counts of ten, and names.
const BLOCK_ROOM: usize = 416;

/// What stands between the store and the blocks.
fn facts<'o, const ROOM: usize>(text: Text<'o, ROOM>, profile: &Profile, shop: &ShopText) -> Text<'o, ROOM> {
    static STATE: [Word; State::ALL.len()] = words::states("\",\"kind\":");
    static NEXT_STATE: [Word; State::ALL.len()] = words::states("\",\"at\":");
    let text = text.put(b",\"as_of\":");
    let as_of = text.mark();
    let text = text.time(profile.as_of);
    let as_of = as_of..text.mark();
    let text = text
        .word(&shop.currency_then_state)
        .word(&STATE[profile.state as usize])
        .word(words::kind_then_since(profile.kind));
    // Mostly, an order is why there is a new profile, and a customer is active since the first one.
    let since = text.mark();
    let text = if profile.since == Some(profile.as_of) {
        text.time_again(as_of.clone())
    } else {
        text.optional(profile.since, Text::time)
    };
    let since = since..text.mark();
    let text = text
        .put(b",\"customer_type\":")
        .word(words::customer_type_then_next(profile.customer_type))
        .optional(profile.next, |text, (state, at)| {
            text.put(b"{\"state\":").word(&NEXT_STATE[state as usize]).time(at).put(b"}")
        })
        .put(b",\"first_order_at\":");
    let text = if profile.first_order_at == profile.since {
        text.time_again(since)
    } else {
        text.optional(profile.first_order_at, Text::time)
    };
    let text = text.put(b",\"last_order_at\":");
    let text = if profile.last_order_at == Some(profile.as_of) {
        text.time_again(as_of)
    } else {
        text.optional(profile.last_order_at, Text::time)
    };
    text.put(b",\"purchase_days\":")
        .integer(u64::from(profile.purchase_days))
        .put(b",\"mean_gap_days\":")
        .optional(profile.mean_gap, Text::ratio)
        .put(b",\"expected_gap_days\":")
        .optional(profile.expected_gap, Text::ratio)
}

/// Most of a profile is blocks, and most customers have few orders: a window often holds the same figures as another. Such a block
/// is copied.
fn windows(out: &mut Vec<u8>, blocks: &[OrderTotals; 4], all_time: usize, shop: &ShopText) {
    let mut written = [(all_time, out.len()), (0, 0), (0, 0), (0, 0)];
    let mut window = |out: &mut Vec<u8>, index: usize| {
        let start = out.len();
        match (0..index).find(|earlier| blocks[*earlier] == blocks[index]) {
            Some(earlier) => out.extend_from_within(written[earlier].0..written[earlier].1),
            None => append::<BLOCK_ROOM>(out, |text| block(text, &blocks[index], shop)),
        }
        written[index] = (start, out.len());
    };
    out.extend_from_slice(b",\"windows\":{\"30d\":");
    window(out, 1);
    out.extend_from_slice(b",\"90d\":");
    window(out, 2);
    out.extend_from_slice(b",\"365d\":");
    window(out, 3);
}

fn block<'o, const ROOM: usize>(
    text: Text<'o, ROOM>,
    block: &OrderTotals,
    shop: &ShopText,
) -> Text<'o, ROOM> {
    let text = text
        .put(b"{\"placed\":")
        .integer(u64::from(block.placed))
        .put(b",\"kept\":")
        .integer(u64::from(block.kept))
        .put(b",\"gross\":");
    let gross = text.mark();
    let text = text.money(block.gross, shop.digits);
    let gross = gross..text.mark();
    let text = if [block.refunded, block.cancelled, block.unattributed] == [0; 3] {
        // The usual case: nothing came back.
        text.word(&shop.nothing_back)
    } else {
        text.put(b",\"refunded\":")
            .money(block.refunded, shop.digits)
            .put(b",\"cancelled\":")
            .money(block.cancelled, shop.digits)
            .put(b",\"unattributed\":")
            .money(block.unattributed, shop.digits)
    };
    let text = text.put(b",\"net\":");
    let text = if block.net() == block.gross {
        text.amount_again(gross)
    } else {
        text.money(block.net(), shop.digits)
    };
    let text = if block.excess == 0 {
        text.word(&shop.no_excess)
    } else {
        text.put(b",\"excess\":").money(block.excess, shop.digits)
    };
    average_values(text, block, shop.digits)
        .put(b",\"came_back\":")
        .word(words::bool_then_returned_orders(block.kept > 1))
        .integer(u64::from(block.returned_orders))
        .put(b"}")
}

/// The two are the same where nothing came back.
fn average_values<'o, const ROOM: usize>(
    text: Text<'o, ROOM>,
    block: &OrderTotals,
    digits: u8,
) -> Text<'o, ROOM> {
    let text = text.put(b",\"aov_gross\":");
    let gross = text.mark();
    let text = mean(text, block.gross, block.placed, digits);
    let gross = gross..text.mark();
    let text = text.put(b",\"aov_net\":");
    if (block.net(), block.kept) == (block.gross, block.placed) {
        text.amount_again(gross)
    } else {
        mean(text, block.net(), block.kept, digits)
    }
}

fn mean<const ROOM: usize>(text: Text<'_, ROOM>, sum: i64, count: u32, digits: u8) -> Text<'_, ROOM> {
    match count {
        0 => text.put(b"null"),
        1 => text.money(sum, digits),
        _ => {
            let magnitude = half_even_of_magnitudes(sum.unsigned_abs(), u64::from(count)) as i64;
            text.money(if sum < 0 { -magnitude } else { magnitude }, digits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::Shop;
    use crate::domain::signals::signal::{ActiveKind, CustomerType};
    use crate::domain::values::ids::ShopIndex;
    use crate::domain::values::money::Currency;
    use crate::domain::values::number::Ratio;
    use crate::domain::values::time::{Time, Zone};

    fn encoded(profile: &Profile) -> String {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let shops = Shops::One(Shop { currency, zone: Zone::utc(), conversions: Vec::new() });
        let mut out = Vec::new();
        ProfileEncoder::new(&shops).encode(b"c1", profile, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    fn profile(ratio: Option<Ratio>, block: OrderTotals) -> Profile {
        let windows =
            [1, 2, 3].map(|more| OrderTotals { returned_orders: block.returned_orders - more, ..block });
        Profile {
            shop: ShopIndex(0),
            as_of: Time::MIN,
            state: State::Prospect,
            kind: Some(ActiveKind::Established),
            since: Some(Time::MAX),
            customer_type: Some(CustomerType::Recurring),
            next: Some((State::Prospect, Time::MAX)),
            first_order_at: Some(Time::MIN),
            last_order_at: Some(Time::MAX),
            purchase_days: u32::MAX,
            mean_gap: ratio,
            expected_gap: ratio,
            blocks: [block, windows[0], windows[1], windows[2]],
        }
    }

    #[test]
    fn the_longest_profile_has_its_room() {
        let amount = i64::MIN / 8;
        let block = OrderTotals {
            placed: u32::MAX,
            kept: 2,
            returned_orders: u32::MAX,
            gross: 2 * amount,
            refunded: -amount,
            cancelled: -amount,
            unattributed: amount,
            excess: i64::MIN,
        };
        let text = encoded(&profile(Ratio::new(i128::MIN / 1_000_000, 1), block));
        assert!(
            text.contains("\"excess\":\"-92233720368547758.08\",\"aov_gross\":\"-5368709.12\""),
            "{text}"
        );
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }

    #[test]
    fn what_is_the_same_is_told_again() {
        let block =
            OrderTotals { placed: 2, kept: 2, gross: 5_001, returned_orders: 3, ..OrderTotals::default() };
        let mut profile = profile(None, block);
        profile.since = None;
        profile.first_order_at = None;
        profile.last_order_at = Some(profile.as_of);
        profile.blocks = [block, OrderTotals::default(), block, OrderTotals::default()];
        let full = "{\"placed\":2,\"kept\":2,\"gross\":\"50.01\",\"refunded\":\"0.00\",\"cancelled\":\"0.00\",\
                    \"unattributed\":\"0.00\",\"net\":\"50.01\",\"excess\":\"0.00\",\"aov_gross\":\"25.00\",\
                    \"aov_net\":\"25.00\",\"came_back\":true,\"returned_orders\":3}";
        let empty = "{\"placed\":0,\"kept\":0,\"gross\":\"0.00\",\"refunded\":\"0.00\",\"cancelled\":\"0.00\",\
                     \"unattributed\":\"0.00\",\"net\":\"0.00\",\"excess\":\"0.00\",\"aov_gross\":null,\
                     \"aov_net\":null,\"came_back\":false,\"returned_orders\":0}";
        assert_eq!(
            encoded(&profile),
            format!(
                "{{\"customer_id\":\"c1\",\"store_id\":null,\"as_of\":\"1970-01-01T00:00:00.000Z\",\"currency\":\"EUR\",\
                 \"state\":\"prospect\",\"kind\":\"established\",\"since\":null,\"customer_type\":\"recurring\",\
                 \"next\":{{\"state\":\"prospect\",\"at\":\"9999-12-31T23:59:59.999Z\"}},\"first_order_at\":null,\
                 \"last_order_at\":\"1970-01-01T00:00:00.000Z\",\"purchase_days\":4294967295,\"mean_gap_days\":null,\
                 \"expected_gap_days\":null,\"all_time\":{full},\"windows\":{{\"30d\":{empty},\"90d\":{full},\
                 \"365d\":{empty}}}}}"
            )
        );
    }
}
