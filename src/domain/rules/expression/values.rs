//! The values of fields: from the facts of a customer, and from the signal that triggered a rule.

use super::fields::{CustomerField, Field, Figure, TriggerField, Value, Window};
use crate::domain::customer::ledger::Ledger;
use crate::domain::segments::customer::CustomerSegment;
use crate::domain::segments::names::{Segment, ValueMatrix};
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{ActiveKind, CustomerType, Profile, ProfileSegment};
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::number::Ratio;
use crate::domain::values::time::{Span, Time};
use crate::domain::values::window::{OrderTotals, YEAR};

/// What a condition on a customer is asked of: the profile at the instant, and what it does not hold.
#[derive(Clone, Copy, Debug)]
pub struct CustomerValues<'c> {
    pub profile: &'c Profile,
    /// The shop's.
    pub currency: Currency,
    /// See [`last_return_at`].
    pub last_return_at: Option<Time>,
    /// Of a rule on a product.
    pub sku: Option<&'c str>,
}

/// What a condition on a trigger is asked of.
#[derive(Clone, Copy, Debug)]
pub struct TriggerValues<'c> {
    /// The signal that triggered the rule, if one did.
    pub signal: Option<&'c SignalKind>,
    /// The shop's.
    pub currency: Currency,
    /// Of a rule on a product.
    pub sku: Option<&'c str>,
}

/// When the customer's latest return was made, up to `at`; none if that is longer ago than `horizon`, which the ledger holds.
pub fn last_return_at(ledger: &Ledger, at: Time, horizon: Span) -> Option<Time> {
    let returns = ledger.returns.iter().map(|returned| returned.returned_at);
    returns.filter(|returned_at| *returned_at <= at && at.since(*returned_at) <= horizon).max()
}

// === impl CustomerValues ===

impl<'c> CustomerValues<'c> {
    /// Null for data of the trigger, which a condition on a customer does not ask for.
    pub fn value(&self, field: Field) -> Value<'c> {
        match field {
            Field::Customer(field) => self.fact(field),
            Field::Window(window, figure) => self.figure(window, figure),
            Field::Sku => text(self.sku),
            Field::Trigger(..) => Value::Null,
        }
    }

    fn fact(&self, field: CustomerField) -> Value<'c> {
        let profile = self.profile;
        let outlook = profile.outlook.as_ref();
        match field {
            CustomerField::State => Value::Text(profile.lifecycle.state().name()),
            CustomerField::Kind => text(profile.lifecycle.kind().map(ActiveKind::name)),
            CustomerField::CustomerType => text(profile.customer_type.map(CustomerType::name)),
            CustomerField::Segment => text(self.segment().map(|segment| segment.name.name())),
            CustomerField::R => count(self.segment().map(|segment| segment.scores.r)),
            CustomerField::F => count(self.segment().map(|segment| segment.scores.f)),
            CustomerField::M => count(self.segment().and_then(|segment| segment.scores.m)),
            CustomerField::Matrix => {
                text(self.segment().and_then(|segment| segment.matrix).map(ValueMatrix::name))
            }
            CustomerField::Tier => text(profile.tier.name()),
            CustomerField::Points => count(profile.points),
            CustomerField::PurchaseDays => count(Some(profile.purchase_days)),
            CustomerField::MeanGapDays => number(profile.mean_gap),
            CustomerField::ExpectedGapDays => number(profile.expected_gap),
            CustomerField::SilenceDays => self.days_since(profile.last_order_at),
            CustomerField::DaysSinceFirstOrder => self.days_since(profile.first_order_at),
            CustomerField::DaysSinceReturn => self.days_since(self.last_return_at),
            CustomerField::ReturnedValueShare => {
                let year = &profile.blocks[YEAR];
                number(Ratio::new(year.refunded, year.gross))
            }
            CustomerField::Alive => number(outlook.map(|outlook| outlook.alive)),
            CustomerField::Order30d => number(outlook.map(|outlook| outlook.order_30d)),
            CustomerField::Order90d => number(outlook.map(|outlook| outlook.order_90d)),
            CustomerField::ExpectedOrders => number(outlook.and_then(|outlook| outlook.expected_orders_365d)),
            CustomerField::ExpectedValue => {
                money(outlook.and_then(|outlook| outlook.expected_value_365d), self.currency)
            }
        }
    }

    fn figure(&self, window: Window, figure: Figure) -> Value<'c> {
        let index = match window {
            Window::AllTime => 0,
            Window::Days30 => 1,
            Window::Days90 => 2,
            Window::Days365 => YEAR,
        };
        let totals: &OrderTotals = &self.profile.blocks[index];
        match figure {
            Figure::Placed => count(Some(totals.placed)),
            Figure::Kept => count(Some(totals.kept)),
            Figure::Gross => money(Some(totals.gross), self.currency),
            Figure::Refunded => money(Some(totals.refunded), self.currency),
            Figure::Net => money(Some(totals.net()), self.currency),
            Figure::ReturnedOrders => count(Some(totals.returned_orders)),
            Figure::AovNet => {
                number(Ratio::new(totals.net(), i128::from(totals.kept) * minor_units(self.currency)))
            }
            Figure::CameBack => Value::Flag(totals.kept > 1),
        }
    }

    fn segment(&self) -> Option<&'c CustomerSegment> {
        match &self.profile.segment {
            ProfileSegment::LeftOut | ProfileSegment::Unknown => None,
            ProfileSegment::Known(segment) => Some(segment),
        }
    }

    fn days_since(&self, instant: Option<Time>) -> Value<'c> {
        days(instant.map(|instant| self.profile.as_of.since(instant)))
    }
}

// === impl TriggerValues ===

impl<'c> TriggerValues<'c> {
    /// Null for facts of the customer, which a condition on a trigger does not ask for, and for data that the signal does not have.
    pub fn value(&self, field: Field) -> Value<'c> {
        match (field, self.signal) {
            (Field::Sku, _) => text(self.sku),
            (Field::Trigger(_, field), Some(signal)) => self.data(signal, field),
            (Field::Trigger(..) | Field::Customer(_) | Field::Window(..), _) => Value::Null,
        }
    }

    fn data(&self, signal: &'c SignalKind, field: TriggerField) -> Value<'c> {
        use SignalKind as S;
        use TriggerField as F;
        let currency = self.currency;
        match (signal, field) {
            (S::FirstOrder { value } | S::SecondOrder { value }, F::Value) => money(Some(*value), currency),
            (S::AtRisk(silence) | S::Lapsed(silence), F::SilenceDays) => {
                days(Some(silence.deadline.since(silence.last_order_at)))
            }
            (S::AtRisk(silence) | S::Lapsed(silence), F::ExpectedGapDays) => number(silence.expected_gap),
            (S::AtRisk(silence) | S::Lapsed(silence), F::OrderProbability) => {
                number(silence.order_probability)
            }
            (S::Recovered { away } | S::WonBack { away }, F::DaysAway) => days(*away),
            (S::LapseRetracted { retracted, .. }, F::RetractedType) => Value::Text(retracted.name()),
            (S::FrequencyFell(change) | S::FrequencyRose(change), F::Ratio) => number(Some(change.ratio)),
            (S::FrequencyFell(change) | S::FrequencyRose(change), F::Recent) => number(Some(change.recent)),
            (S::FrequencyFell(change) | S::FrequencyRose(change), F::Earlier) => number(Some(change.earlier)),
            (S::OrderValueFell(change) | S::OrderValueRose(change), F::Ratio) => number(Some(change.ratio)),
            (S::OrderValueFell(change) | S::OrderValueRose(change), F::Recent) => {
                mean_money(change.recent, currency)
            }
            (S::OrderValueFell(change) | S::OrderValueRose(change), F::Earlier) => {
                mean_money(change.earlier, currency)
            }
            (S::ReturnRateHigh { ratio, .. }, F::Ratio) => number(*ratio),
            (S::ReturnRateHigh { refunded, .. }, F::Refunded) => money(Some(*refunded), currency),
            (S::ReturnRateHigh { gross, .. }, F::Gross) => money(Some(*gross), currency),
            (S::ReturnRateHigh { placed, .. }, F::PlacedOrders) => count(Some(*placed)),
            (S::SegmentChanged(change), F::Before) => text(change.before.map(Segment::name)),
            (S::SegmentChanged(change), F::After) => Value::Text(change.after.name.name()),
            (S::SegmentChanged(change), F::R) => count(Some(change.after.scores.r)),
            (S::SegmentChanged(change), F::F) => count(Some(change.after.scores.f)),
            (S::SegmentChanged(change), F::M) => count(change.after.scores.m),
            (S::SegmentChanged(change), F::Matrix) => text(change.after.matrix.map(ValueMatrix::name)),
            (S::SegmentChanged(change), F::SilenceDays) => days(Some(change.silence)),
            (S::TierChanged(change), F::Before) => text(change.before.as_deref()),
            (S::TierChanged(change), F::After) => text(change.after.as_deref()),
            (S::TierChanged(change), F::Net) => money(Some(change.net), currency),
            (S::OrderCancelled { value, .. }, F::Value) => money(*value, currency),
            (S::OrderCancelled { net, .. }, F::Net) => money(Some(*net), currency),
            (S::OrderReturned { refund, .. }, F::Refund) => money(Some(*refund), currency),
            (S::OrderReturned { order: Some(order), .. }, F::OrderKept) => Value::Flag(order.kept),
            (S::OrderReturned { order: Some(order), .. }, F::DaysSinceOrder) => days(Some(order.after)),
            _ => Value::Null,
        }
    }
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

fn number(ratio: Option<Ratio>) -> Value<'static> {
    ratio.map_or(Value::Null, Value::Number)
}

fn count<N: Into<i128>>(count: Option<N>) -> Value<'static> {
    number(count.and_then(|count| Ratio::new(count, 1)))
}

/// In days of 24 hours.
fn days(span: Option<Span>) -> Value<'static> {
    number(span.and_then(|span| Ratio::new(span.as_millis(), Span::DAY.as_millis())))
}

fn money(amount: Option<ShopAmount>, currency: Currency) -> Value<'static> {
    number(amount.and_then(|amount| Ratio::new(amount, minor_units(currency))))
}

/// Of a mean in minor units.
fn mean_money(mean: Ratio, currency: Currency) -> Value<'static> {
    number(Ratio::new(mean.numerator, mean.denominator * minor_units(currency)))
}

/// How many minor units make one of the currency.
fn minor_units(currency: Currency) -> i128 {
    10i128.pow(u32::from(currency.digits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::ledger::Return;
    use crate::domain::rules::expression::parser::{Scope, parse};
    use crate::domain::segments::cuts::Scores;
    use crate::domain::segments::published::CutsVersion;
    use crate::domain::signals::kind::SignalType;
    use crate::domain::signals::signal::{
        FrequencyChange, Lifecycle, OpenAlert, OrderValueChange, ProfileTier, RetractedKind, ReturnedOrder,
        SegmentChange, Silence, TierChange,
    };
    use crate::domain::values::ids::{OrderHash, ReturnHash, ShopIndex};
    use crate::domain::values::money::SentAmount;

    fn at(days: i64) -> Time {
        Time::MIN.plus(Span::days(days))
    }

    fn currency(code: &str) -> Currency {
        Currency::from_code(code.as_bytes()).expect("a currency")
    }

    /// A customer with two kept orders of three, 100 days after the last one.
    fn profile() -> Profile {
        let all_time = OrderTotals {
            placed: 3,
            kept: 2,
            returned_orders: 1,
            gross: ShopAmount(12_345),
            refunded: ShopAmount(2_345),
            ..OrderTotals::default()
        };
        let segment = CustomerSegment {
            name: Segment::Promising,
            scores: Scores { r: 4, f: 1, m: None },
            matrix: Some(ValueMatrix::RareLarge),
            cuts: CutsVersion(7),
        };
        Profile {
            shop: ShopIndex(0),
            as_of: at(200),
            lifecycle: Lifecycle::AtRisk { since: at(160), lapsed_at: at(220) },
            customer_type: Some(CustomerType::Returning),
            first_order_at: Some(at(40)),
            last_order_at: Some(at(100)),
            purchase_days: 2,
            mean_gap: Ratio::new(60, 1),
            expected_gap: None,
            outlook: None,
            segment: ProfileSegment::Known(segment),
            points: Some(110),
            tier: ProfileTier::Known(Some("silver".into())),
            truncated: false,
            blocks: [
                all_time,
                OrderTotals::default(),
                OrderTotals { kept: 1, ..OrderTotals::default() },
                all_time,
            ],
        }
    }

    #[test]
    fn facts_of_a_customer_are_asked_for() {
        let profile = profile();
        let values = CustomerValues {
            profile: &profile,
            currency: currency("EUR"),
            last_return_at: Some(at(170)),
            sku: None,
        };
        for (text, expected) in [
            ("state = \"at_risk\" and kind is null and customer_type = \"returning\"", true),
            ("segment = \"promising\" and matrix = \"rare_large\" and r = 4 and f = 1 and m is null", true),
            ("tier = \"silver\" and points = 110", true),
            ("purchase_days = 2 and mean_gap_days = 60d and expected_gap_days is null", true),
            ("silence_days = 100d and days_since_first_order = 160d and days_since_return = 30d", true),
            ("all_time.placed = 3 and all_time.kept = 2 and all_time.returned_orders = 1", true),
            ("all_time.gross = 123.45 and all_time.refunded = 23.45 and d365.net = 100", true),
            ("all_time.aov_net = 50.00 and d30.aov_net is null and d90.net = 0.00", true),
            ("all_time.came_back and not d30.came_back and not d90.came_back", true),
            // 2,345 of 12,345.
            ("returned_value_share_365d > 0.189955447 and returned_value_share_365d < 0.189955448", true),
            ("p_alive is null and p_order_30d is null and expected_value_365d is null", true),
            ("state = \"active\"", false),
        ] {
            let condition = parse(text, Scope::Customer { has_sku: false, tiers: &[] });
            let condition = condition.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(condition.holds(|field| values.value(field)), expected, "{text}");
        }
        let yen = CustomerValues { currency: currency("JPY"), ..values };
        let net = Field::Window(Window::AllTime, Figure::Net);
        assert_eq!(
            [yen, values].map(|values| values.value(net)),
            [number(Ratio::new(10_000, 1)), number(Ratio::new(100, 1)),]
        );
    }

    #[test]
    fn data_of_a_signal_is_asked_for() {
        let ratio = |numerator: i64, denominator: i64| Ratio::new(numerator, denominator).expect("positive");
        let ProfileSegment::Known(after) = profile().segment else { panic!("a segment") };
        let change = FrequencyChange { ratio: ratio(3, 2), recent: ratio(30, 1), earlier: ratio(20, 1) };
        let worth =
            OrderValueChange { ratio: ratio(1, 2), recent: ratio(4_000, 3), earlier: ratio(8_000, 3) };
        let risen = TierChange { before: None, after: Some("silver".into()), net: ShopAmount(18_670) };
        let moved = SegmentChange { before: None, after, silence: Span::days(33) };
        for (signal, text) in [
            (SignalKind::FirstOrder { value: ShopAmount(4_200) }, "trigger.value = 42"),
            (SignalKind::WonBack { away: Some(Span::days(120)) }, "trigger.days_away >= 120d"),
            (
                SignalKind::FrequencyFell(change),
                "trigger.ratio = 1.5 and trigger.recent = 30d and trigger.earlier < 21d",
            ),
            (SignalKind::OrderValueFell(worth), "trigger.recent > 13.33 and trigger.recent < 13.34"),
            (
                SignalKind::SegmentChanged(moved),
                "trigger.after = \"promising\" and trigger.before is null and trigger.silence_days = 33d and trigger.r = 4",
            ),
            (
                SignalKind::TierChanged(risen),
                "trigger.after in [\"silver\", \"gold\"] and trigger.before is null and trigger.net = 186.70",
            ),
            (SignalKind::BecameProspect, ""),
        ] {
            let values = TriggerValues { signal: Some(&signal), currency: currency("EUR"), sku: None };
            let scope = Scope::Trigger { signal: Some(signal.signal_type()), has_sku: false, tiers: &[] };
            if !text.is_empty() {
                let condition = parse(text, scope).unwrap_or_else(|error| panic!("{text}: {error:?}"));
                assert!(condition.holds(|field| values.value(field)), "{text}");
            }
            // Another signal's data is null.
            let other = Field::Trigger(SignalType::ReturnRateHigh, TriggerField::PlacedOrders);
            assert_eq!(values.value(other), Value::Null);
        }
    }

    fn ratio(numerator: i64, denominator: i64) -> Option<Ratio> {
        Ratio::new(numerator, denominator)
    }

    fn cents(cents: i64) -> Value<'static> {
        money(Some(ShopAmount(cents)), currency("EUR"))
    }

    fn assert_data(signal: &SignalKind, fields: &[(TriggerField, Value<'_>)]) {
        let values = TriggerValues { signal: Some(signal), currency: currency("EUR"), sku: None };
        for (field, expected) in fields {
            let value = values.value(Field::Trigger(signal.signal_type(), *field));
            assert_eq!(value, *expected, "{signal:?} {}", field.name());
        }
    }

    #[test]
    fn every_datum_of_a_rhythm_has_its_value() {
        use TriggerField as F;
        let number = |numerator, denominator| number(ratio(numerator, denominator));
        let silence = Silence {
            deadline: at(50),
            last_order_at: at(10),
            expected_gap: ratio(29, 1),
            order_probability: ratio(3, 8),
        };
        let expected = [
            (F::SilenceDays, number(40, 1)),
            (F::ExpectedGapDays, number(29, 1)),
            (F::OrderProbability, number(3, 8)),
        ];
        assert_data(&SignalKind::AtRisk(silence), &expected);
        assert_data(&SignalKind::SecondOrder { value: ShopAmount(4_200) }, &[(F::Value, cents(4_200))]);
        assert_data(&SignalKind::Recovered { away: Some(Span::days(9)) }, &[(F::DaysAway, number(9, 1))]);
        let emitted = OpenAlert { deadline: at(50), record: None };
        let retracted = SignalKind::LapseRetracted { retracted: RetractedKind::AtRisk, emitted };
        assert_data(&retracted, &[(F::RetractedType, Value::Text("at_risk"))]);
        let [half, recent, earlier] =
            [ratio(1, 2), ratio(4_000, 3), ratio(8_000, 3)].map(|ratio| ratio.expect("above 0"));
        let worth = SignalKind::OrderValueRose(OrderValueChange { ratio: half, recent, earlier });
        let expected = [(F::Ratio, number(1, 2)), (F::Recent, number(40, 3)), (F::Earlier, number(80, 3))];
        assert_data(&worth, &expected);
        let (refunded, gross) = (ShopAmount(500), ShopAmount(1_000));
        let rate = SignalKind::ReturnRateHigh { ratio: ratio(1, 2), refunded, gross, placed: 4 };
        assert_data(&rate, &[(F::Ratio, number(1, 2)), (F::Refunded, cents(500))]);
        assert_data(&rate, &[(F::Gross, cents(1_000)), (F::PlacedOrders, number(4, 1))]);
    }

    #[test]
    fn every_datum_of_a_segment_a_tier_and_a_lost_order_has_its_value() {
        use TriggerField as F;
        let ProfileSegment::Known(after) = profile().segment else { panic!("a segment") };
        let after = CustomerSegment { scores: Scores { m: Some(3), ..after.scores }, ..after };
        let moved = SegmentChange { before: Some(Segment::Loyal), after, silence: Span::days(33) };
        let names = [
            (F::Before, Value::Text("loyal")),
            (F::After, Value::Text("promising")),
            (F::Matrix, Value::Text("rare_large")),
        ];
        assert_data(&SignalKind::SegmentChanged(moved), &names);
        let scores = [(F::R, 4), (F::F, 1), (F::M, 3), (F::SilenceDays, 33)];
        let scores = scores.map(|(field, expected)| (field, number(ratio(expected, 1))));
        assert_data(&SignalKind::SegmentChanged(moved), &scores);
        let fallen = TierChange { before: Some("gold".into()), after: None, net: ShopAmount(10) };
        let expected = [(F::Before, Value::Text("gold")), (F::After, Value::Null), (F::Net, cents(10))];
        assert_data(&SignalKind::TierChanged(fallen), &expected);
        let (order, value, net) = (OrderHash(1), Some(ShopAmount(7)), ShopAmount(8));
        let cancelled = SignalKind::OrderCancelled { order, value, net };
        assert_data(&cancelled, &[(F::Value, cents(7)), (F::Net, cents(8))]);
        let (returned, refund) = (ReturnHash(1), ShopAmount(500));
        let order = ReturnedOrder { placed_at: at(3), kept: true, after: Span::days(4) };
        for (order, kept, days) in
            [(Some(order), Value::Flag(true), number(ratio(4, 1))), (None, Value::Null, Value::Null)]
        {
            let expected = [(F::Refund, cents(500)), (F::OrderKept, kept), (F::DaysSinceOrder, days)];
            assert_data(&SignalKind::OrderReturned { returned, refund, order }, &expected);
        }
    }

    #[test]
    fn a_return_counts_up_to_the_instant_and_as_far_back_as_the_ledger_holds() {
        let day = |days: i64| Time::MIN.plus(Span::days(days));
        let returned = |id, days| Return {
            id: ReturnHash(id),
            returned_at: day(days),
            refund: SentAmount(1),
            currency: currency("EUR"),
            order: None,
        };
        let ledger =
            Ledger { returns: vec![returned(1, 10), returned(2, 20), returned(3, 31)], ..Ledger::default() };
        let latest = |at: Time, horizon| last_return_at(&ledger, at, Span::days(horizon));
        assert_eq!(latest(day(30), 10), Some(day(20)));
        assert_eq!(latest(day(30).plus(Span::from_millis(1)), 10), None);
        assert_eq!(latest(day(20), 10), Some(day(20)));
        assert_eq!(latest(day(20).just_before(), 10), Some(day(10)));
        assert_eq!(latest(day(9), 90), None);
    }
}
