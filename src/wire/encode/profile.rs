//! Profiles as JSON: the latest facts about a customer.

use super::fields::{
    Count, Currency, Field, FieldType, Flag, Id, MeanDays, ModelVersion, Money, Named, NextState, Nullable,
    Shape, Share, SignedMoney, StoreId, TierName, Time, record,
};
use super::segment::{self, SegmentRecord};
use super::shops::ShopTexts;
use super::text::append;
use super::tier;
use crate::domain::lapse::outlook::Outlook;
use crate::domain::settings::Shops;
use crate::domain::signals::signal::{ActiveKind, CustomerType, Profile, ProfileSegment, ProfileTier, State};
use crate::domain::values::money::{self, ShopAmount};
use crate::domain::values::number::half_even_of_magnitudes;
use crate::domain::values::time;
use crate::domain::values::window::OrderTotals;

record! {
    /// A profile up to its figures.
    Facts(of: &'v Parts<'v>) {
        /// The customer.
        "customer_id": Id = of.customer_id;
        /// The store; null with the key form 'customer_id'.
        "store_id": Nullable<StoreId> = of.store_id;
        /// The clock at the customer's last change. The windows are measured back from here.
        "as_of": Time = of.profile.as_of;
        /// The store's currency, of all money in this record.
        "currency": Currency = of.currency;
        /// Where the customer stands.
        "state": Named<State> = of.profile.lifecycle.state();
        /// new (one kept order) or established (more) while the customer is active, else null.
        "kind": Nullable<Named<ActiveKind>> = of.profile.lifecycle.kind();
        /// Since when: the last kept order while active; the deadline that passed when at risk or lapsed; null for a prospect.
        "since": Nullable<Time> = of.profile.lifecycle.since();
        /// The rhythm, first match: null (no kept order); one_time (one); recurring (at least three gaps that vary little); repeat
        /// (at least three kept orders of varied goods, or of goods never named); returning (the others).
        "customer_type": Nullable<Named<CustomerType>> = of.profile.customer_type;
        /// What silence will bring, and when. Null for prospects and lapsed customers.
        "next": Nullable<Next> = of.profile.lifecycle.next();
        /// The first kept order; null without one.
        "first_order_at": Nullable<Time> = of.profile.first_order_at;
        /// The last kept order; null without one.
        "last_order_at": Nullable<Time> = of.profile.last_order_at;
        /// On how many calendar days, in the store's time zone, the customer placed kept orders.
        "purchase_days": Count = of.profile.purchase_days.into();
        /// The mean gap between neighbouring purchase days, in days; null with fewer than two of them.
        "mean_gap_days": Nullable<MeanDays> = of.profile.mean_gap;
        /// The gap that is expected of this customer, in days, under the policy 'cadence'; null under the others and for prospects.
        "expected_gap_days": Nullable<MeanDays> = of.profile.expected_gap;
        /// Whether orders of the last 365 days are missing from the windows, because the customer has more than records.max_orders.
        /// Counts and sums in the windows are then lower bounds; all_time is complete.
        "truncated": Flag = of.profile.truncated;
    }
}

/// What a model says, where one is in use.
const MODEL: Field = Field {
    name: "model",
    shape: Shape::Optional(&Model::SHAPE),
    about: "What the newest model says at as_of. The field is there if the customer has a kept order and lapse.policy is 'model'.",
};

/// The points, where there are points.
const POINTS: Field = Field {
    name: "points",
    shape: Shape::Optional(&Count::SHAPE),
    about: "The customer's points: they follow from the kept orders, so returns and cancellations take them back. The field is there if points.per is set.",
};

/// What comes behind the facts. Equal figures are copied, so [`figures`] writes them.
const FIGURES: [Field; 2] = [
    Field { name: "all_time", shape: Figures::SHAPE, about: "Figures of all time." },
    Field {
        name: "windows",
        shape: Shape::Object(&[
            Field { name: "30d", shape: Figures::SHAPE, about: "The last 30 days of 24 hours." },
            Field { name: "90d", shape: Figures::SHAPE, about: "The last 90 days of 24 hours." },
            Field { name: "365d", shape: Figures::SHAPE, about: "The last 365 days of 24 hours." },
        ]),
        about: "The same figures for the time up to as_of.",
    },
];

record! {
    /// A state and the instant at which it begins if no kept order comes before.
    Next(next: (State, time::Time)) {
        /// The next state.
        "state": NextState = next.0;
        /// When it begins.
        "at": Time = next.1;
    }
}

record! {
    /// Figures of a model: estimates, which rank customers well; their level varies with the season.
    Model(outlook: &'v Outlook) {
        /// Which model: 'prior', or the version of one that was fitted.
        "version": ModelVersion = outlook.version;
        /// The probability that the customer will ever order again.
        "p_alive": Share = outlook.alive;
        /// The probability of at least one order within 30 days.
        "p_order_30d": Share = outlook.order_30d;
        /// The probability of at least one order within 90 days.
        "p_order_90d": Share = outlook.order_90d;
        /// The expected number of purchase days within 90 days; null where it cannot be computed.
        "expected_orders_90d": Nullable<Share> = outlook.expected_orders_90d;
        /// The expected number of purchase days within 365 days; null where it cannot be computed.
        "expected_orders_365d": Nullable<Share> = outlook.expected_orders_365d;
        /// The expected net value of a purchase day. Null if the model holds no values.
        "expected_order_value": Nullable<Money> = outlook.expected_order_value;
        /// The expected net value of the next 365 days, not discounted. Null if the model holds no values.
        "expected_value_365d": Nullable<Money> = outlook.expected_value_365d;
        /// When half of the customers like this one who order again have ordered, in whole hours. Null beyond ten years.
        "next_order_at": Nullable<Time> = outlook.next_order_at;
    }
}

record! {
    /// What a customer bought and gave back, over all time or in a trailing window.
    Figures(block: &'v OrderTotals) {
        /// Placed orders: accepted, in their latest version, test orders aside.
        "placed": Count = block.placed.into();
        /// Kept orders: placed, not cancelled, and of a net value above zero.
        "kept": Count = block.kept.into();
        /// The totals of the placed orders.
        "gross": Money = block.gross;
        /// Refunds: of each order no more than its total, and all refunds that stand without an order.
        "refunded": Money = block.refunded;
        /// What cancellations took back beyond the refunds.
        "cancelled": Money = block.cancelled;
        /// The part of refunded that stands without an order.
        "unattributed": Money = block.unattributed;
        /// gross − refunded − cancelled. Negative when more went back than was bought here.
        "net": SignedMoney = block.net();
        /// Refunds above the totals of their orders. Part of no other figure.
        "excess": Money = block.excess;
        /// Average order value: gross / placed, rounded half even. Null without a placed order.
        "aov_gross": Nullable<Money> = mean(block.gross, block.placed);
        /// Average order value: net / kept, rounded half even. Null without a kept order.
        "aov_net": Nullable<SignedMoney> = mean(block.net(), block.kept);
        /// Whether there is more than one kept order.
        "came_back": Flag = block.kept > 1;
        /// Placed orders with at least one return attributed to them.
        "returned_orders": Count = block.returned_orders.into();
    }
}

/// The fields of a profile.
pub fn fields() -> Vec<Field> {
    [Facts::FIELDS, &[MODEL, segment::FIELD, POINTS, tier::FIELD], &FIGURES].concat()
}

/// What the facts of a profile are written from.
pub(super) struct Parts<'v> {
    customer_id: &'v [u8],
    store_id: Option<&'v [u8]>,
    currency: money::Currency,
    profile: &'v Profile,
}

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
        let customer_id = self.shops.customer_id(customer_key);
        let parts =
            Parts { customer_id, store_id: shop.store_id.as_deref(), currency: shop.currency, profile };
        let room = FACTS_ROOM + ESCAPED * (customer_id.len() + parts.store_id.map_or(0, <[u8]>::len));
        append(out, room, |text| Facts::put_fields(text, &parts, shop.digits));
        if let Some(outlook) = &profile.outlook {
            append(out, MODEL_ROOM, |text| Model::put(text.put(b",\"model\":"), outlook, shop.digits));
        }
        match &profile.segment {
            ProfileSegment::LeftOut => {}
            ProfileSegment::Unknown => out.extend_from_slice(b",\"segment\":null"),
            ProfileSegment::Known(segment) => append(out, segment::ROOM, |text| {
                SegmentRecord::put(text.put(b",\"segment\":"), segment, shop.digits)
            }),
        }
        if let Some(points) = profile.points {
            append(out, NUMBER_ROOM, |text| Count::put(text.put(b",\"points\":"), points, shop.digits));
        }
        match &profile.tier {
            ProfileTier::LeftOut => {}
            ProfileTier::Known(name) => {
                let name = name.as_deref().map(str::as_bytes);
                let room = NUMBER_ROOM + ESCAPED * name.map_or(0, <[u8]>::len);
                append(out, room, |text| {
                    Nullable::<TierName>::put(text.put(b",\"tier\":"), name, shop.digits)
                });
            }
        }
        figures(out, &profile.blocks, shop.digits);
    }
}

/// Five times, two numbers of 48 digits, and names.
const FACTS_ROOM: usize = 640;

/// Six ratios of 48 digits, two amounts, a time, and names.
const MODEL_ROOM: usize = 640;

/// A number, or null, and a name.
const NUMBER_ROOM: usize = 64;

/// An escaped byte takes so many.
const ESCAPED: usize = 6;

/// Eight amounts of 24 digits, three counts of ten, and names.
const FIGURES_ROOM: usize = 416;

/// Most of a profile is figures, and most customers have few orders: a window often holds the same figures as another. These are
/// copied.
fn figures(out: &mut Vec<u8>, blocks: &[OrderTotals; 4], digits: u8) {
    let mut written = [(0, 0); 4];
    let mut put = |out: &mut Vec<u8>, index: usize| {
        let start = out.len();
        match (0..index).find(|earlier| blocks[*earlier] == blocks[index]) {
            Some(earlier) => out.extend_from_within(written[earlier].0..written[earlier].1),
            None => append(out, FIGURES_ROOM, |text| Figures::put(text, &blocks[index], digits)),
        }
        written[index] = (start, out.len());
    };
    out.extend_from_slice(b",\"all_time\":");
    put(out, 0);
    out.extend_from_slice(b",\"windows\":{\"30d\":");
    put(out, 1);
    out.extend_from_slice(b",\"90d\":");
    put(out, 2);
    out.extend_from_slice(b",\"365d\":");
    put(out, 3);
    out.extend_from_slice(b"}}");
}

/// In whole minor units, rounded half even.
#[inline]
fn mean(sum: ShopAmount, count: u32) -> Option<ShopAmount> {
    match count {
        0 => None,
        1 => Some(sum),
        _ => {
            let magnitude = half_even_of_magnitudes(sum.minor().unsigned_abs(), u64::from(count)) as i64;
            Some(ShopAmount(if sum < ShopAmount::ZERO { -magnitude } else { magnitude }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::Shop;
    use crate::domain::signals::signal::{ActiveKind, CustomerType, Lifecycle};
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
            lifecycle: Lifecycle::Active {
                kind: ActiveKind::Established,
                since: Time::MAX,
                at_risk_at: Some(Time::MAX),
            },
            customer_type: Some(CustomerType::Recurring),
            first_order_at: Some(Time::MIN),
            last_order_at: Some(Time::MAX),
            purchase_days: u32::MAX,
            mean_gap: ratio,
            expected_gap: ratio,
            outlook: None,
            segment: ProfileSegment::LeftOut,
            points: None,
            tier: ProfileTier::LeftOut,
            truncated: false,
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
            gross: ShopAmount(2 * amount),
            refunded: ShopAmount(-amount),
            cancelled: ShopAmount(-amount),
            unattributed: ShopAmount(amount),
            excess: ShopAmount(i64::MIN),
        };
        let text = encoded(&profile(Ratio::new(i128::MIN / 1_000_000, 1), block));
        assert!(
            text.contains("\"excess\":\"-92233720368547758.08\",\"aov_gross\":\"-5368709.12\""),
            "{text}"
        );
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }

    #[test]
    fn equal_figures_are_copied() {
        let gross = ShopAmount(5_001);
        let block = OrderTotals { placed: 2, kept: 2, gross, returned_orders: 3, ..OrderTotals::default() };
        let mut profile = profile(None, block);
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
                 \"state\":\"active\",\"kind\":\"established\",\"since\":\"9999-12-31T23:59:59.999Z\",\
                 \"customer_type\":\"recurring\",\"next\":{{\"state\":\"at_risk\",\"at\":\"9999-12-31T23:59:59.999Z\"}},\"first_order_at\":null,\
                 \"last_order_at\":\"1970-01-01T00:00:00.000Z\",\"purchase_days\":4294967295,\"mean_gap_days\":null,\
                 \"expected_gap_days\":null,\"truncated\":false,\"all_time\":{full},\"windows\":{{\"30d\":{empty},\"90d\":{full},\
                 \"365d\":{empty}}}}}"
            )
        );
    }
}
