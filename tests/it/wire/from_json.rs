//! Outputs back from JSON, so that the examples can be written again: the encoders have to give the same record.

use retention_signals::domain::daily_count::KeptOrders;
use retention_signals::domain::daily_count::outcomes::{Outcome, OutcomeGroup, RuleOutcomes};
use retention_signals::domain::daily_count::projection::Projection;
use retention_signals::domain::engine::shop_totals::{GuestTotals, ShopTotals, WindowTotals};
use retention_signals::domain::lapse::PolicyId;
use retention_signals::domain::lapse::model::ModelVersion;
use retention_signals::domain::lapse::outlook::Outlook;
use retention_signals::domain::segments::counts::SegmentCounts;
use retention_signals::domain::segments::customer::CustomerSegment;
use retention_signals::domain::segments::cuts::Scores;
use retention_signals::domain::segments::names::{Segment, ValueMatrix};
use retention_signals::domain::segments::published::CutsVersion;
use retention_signals::domain::signals::kind::SignalKind;
use retention_signals::domain::signals::rule::{
    GuestCause, Occasion, RuleAction, RuleCause, RuleHash, RuleSignal, SignalHash,
};
use retention_signals::domain::signals::signal::{
    ActiveKind, Cause, CustomerType, FrequencyChange, Lifecycle, OpenAlert, OrderValueChange, Profile,
    ProfileSegment, ProfileTier, RecordDigest, RetractedKind, ReturnedOrder, SegmentChange, Signal, Silence,
    State, TierChange,
};
use retention_signals::domain::values::ids::{CustomerSlot, OrderHash, ReturnHash, ShopIndex, SkuHash};
use retention_signals::domain::values::money::ShopAmount;
use retention_signals::domain::values::number::{Decimal, Ratio};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::domain::values::window::{OrderTotals, WINDOWS};
use retention_signals::formats::native::from_rfc3339;
use retention_signals::wire::encode::{RecordKind, Retention};
use retention_signals::wire::hash::hash;
use serde_json::Value;

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is a string"))
}

pub fn time(value: &Value) -> Time {
    from_rfc3339(text(value)).expect("a time")
}

fn some<T>(value: &Value, read: impl FnOnce(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| read(value))
}

/// Minor units: the digits without the point.
pub fn money(value: &Value) -> ShopAmount {
    ShopAmount(text(value).replace('.', "").parse().expect("money"))
}

/// A money string as an exact number of minor units.
fn money_ratio(value: &Value) -> Ratio {
    Ratio::new(money(value), 1).expect("one is positive")
}

fn ratio(value: &Value) -> Ratio {
    let decimal = Decimal::parse(&value.to_string()).expect("a decimal");
    Ratio::new(decimal.numerator(), decimal.denominator()).expect("a power of ten")
}

fn days(value: &Value) -> Span {
    let days = value.as_f64().expect("a number");
    Span::from_millis((days * Span::DAY.as_millis() as f64).round() as i64)
}

pub fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a count"))
}

fn small(value: &Value) -> u32 {
    u32::try_from(count(value)).expect("a small count")
}

pub fn state(value: &Value) -> State {
    let named = State::ALL.into_iter().find(|state| state.name() == text(value));
    named.expect("a state")
}

// === Signals

/// The signal of an example; where its cause is a record, with a made-up digest.
pub fn signal(json: &Value, shop: ShopIndex) -> Signal {
    Signal {
        customer: (!json["customer_id"].is_null()).then_some(CustomerSlot(0)),
        shop,
        kind: signal_kind(text(&json["type"]), &json["data"]),
        occurred_at: time(&json["occurred_at"]),
        before: some(&json["state"]["before"], state).unwrap_or(State::Prospect),
        after: some(&json["state"]["after"], state).unwrap_or(State::Prospect),
        cause: cause(json),
        policy: policy(&json["policy"]),
    }
}

fn policy(json: &Value) -> PolicyId {
    let name = match text(&json["name"]) {
        "cadence" => "cadence",
        "fixed" => "fixed",
        "model" => "model",
        other => panic!("{other} is no policy"),
    };
    PolicyId { name, version: u64::from_str_radix(text(&json["version"]), 16).expect("hexadecimal digits") }
}

fn cause(json: &Value) -> Cause {
    let at = time(&json["cause"]["at"]);
    match (text(&json["type"]), text(&json["cause"]["kind"])) {
        (_, "deadline") => Cause::Deadline(at),
        (_, "expiry") => Cause::Expiry(at),
        (_, "boundary") => Cause::Boundary(at),
        (_, "rule") if json["customer_id"].is_null() => Cause::GuestRule(guest_cause(json)),
        (_, "rule") => Cause::Rule(rule_cause(&json["data"])),
        ("at_risk" | "lapsed", _) => {
            Cause::DeadlineByRecord(time(&json["data"]["deadline"]), RecordDigest(1))
        }
        ("order_cancelled", _) => Cause::Cancelled(OrderHash(hash(text(&json["cause"]["id"]).as_bytes()))),
        ("order_returned", _) => Cause::Returned(ReturnHash(hash(text(&json["cause"]["id"]).as_bytes()))),
        ("lapse_retracted", _) => Cause::Retraction(RetractedKind::Lapsed, standing(), RecordDigest(1)),
        _ => Cause::Record(RecordDigest(1)),
    }
}

/// Whether the id follows from the example alone: no digest of a record is in it.
pub fn has_known_id(signal: &Signal) -> bool {
    matches!(
        signal.cause,
        Cause::Deadline(_)
            | Cause::Expiry(_)
            | Cause::Boundary(_)
            | Cause::Cancelled(_)
            | Cause::Returned(_)
            | Cause::GuestRule(_)
            | Cause::Rule(RuleCause { of: Occasion::Signal(_) | Occasion::Instant(_), .. })
    )
}

/// The time of the first order, which is in the cause of points, is in no example.
fn rule_cause(data: &Value) -> RuleCause {
    let of = match (some(&data["trigger"], signal_hash), some(&data["points"], count)) {
        (Some(trigger), _) => Occasion::Signal(trigger),
        (None, Some(multiple)) => Occasion::Points { multiple, first_order_at: Time::MIN },
        (None, None) => match data["sku"].as_str() {
            Some(sku) => Occasion::Product { order: OrderHash(0), sku: SkuHash(hash(sku.as_bytes())) },
            None => Occasion::Instant(time(&data["due_at"])),
        },
    };
    RuleCause { rule: RuleHash(hash(text(&data["rule"]).as_bytes())), action: rule_action(data), of }
}

fn guest_cause(json: &Value) -> GuestCause {
    let RuleCause { rule, action, .. } = rule_cause(&json["data"]);
    let order = OrderHash(hash(text(&json["cause"]["id"]).as_bytes()));
    GuestCause { rule, action, order, placed_at: time(&json["cause"]["at"]) }
}

fn rule_action(data: &Value) -> RuleAction {
    let named = RuleAction::ALL.into_iter().find(|action| action.name() == text(&data["action"]));
    named.expect("an action")
}

fn signal_hash(json: &Value) -> SignalHash {
    SignalHash(u128::from_str_radix(text(json), 16).expect("hexadecimal digits"))
}

fn standing() -> OpenAlert {
    OpenAlert { deadline: Time::MIN, record: None }
}

fn signal_kind(name: &str, data: &Value) -> SignalKind {
    let silence = || Silence {
        deadline: time(&data["deadline"]),
        last_order_at: time(&data["last_order_at"]),
        expected_gap: some(&data["expected_gap_days"], ratio),
        order_probability: data.get("order_probability").map(ratio),
    };
    let frequency = || FrequencyChange {
        ratio: ratio(&data["ratio"]),
        recent: ratio(&data["recent"]),
        earlier: ratio(&data["earlier"]),
    };
    let order_value = || OrderValueChange {
        ratio: ratio(&data["ratio"]),
        recent: money_ratio(&data["recent"]),
        earlier: money_ratio(&data["earlier"]),
    };
    match name {
        "first_order" => SignalKind::FirstOrder { value: money(&data["value"]) },
        "second_order" => SignalKind::SecondOrder { value: money(&data["value"]) },
        "at_risk" => SignalKind::AtRisk(silence()),
        "lapsed" => SignalKind::Lapsed(silence()),
        "recovered" => SignalKind::Recovered { away: some(&data["days_away"], days) },
        "won_back" => SignalKind::WonBack { away: some(&data["days_away"], days) },
        "lapse_retracted" => {
            SignalKind::LapseRetracted { retracted: RetractedKind::Lapsed, emitted: standing() }
        }
        "frequency_fell" => SignalKind::FrequencyFell(frequency()),
        "frequency_rose" => SignalKind::FrequencyRose(frequency()),
        "order_value_fell" => SignalKind::OrderValueFell(order_value()),
        "order_value_rose" => SignalKind::OrderValueRose(order_value()),
        "return_rate_high" => SignalKind::ReturnRateHigh {
            ratio: some(&data["ratio"], ratio),
            refunded: money(&data["refunded"]),
            gross: money(&data["gross"]),
            placed: small(&data["placed_orders"]),
        },
        "segment_changed" => SignalKind::SegmentChanged(SegmentChange {
            before: some(&data["before"], segment_name),
            after: segment(data, &data["after"]),
            silence: days(&data["silence_days"]),
        }),
        "tier_changed" => SignalKind::TierChanged(tier_change(data)),
        "order_cancelled" => SignalKind::OrderCancelled {
            order: OrderHash(0),
            value: some(&data["value"], money),
            net: money(&data["net"]),
        },
        "order_returned" => SignalKind::OrderReturned {
            returned: ReturnHash(0),
            refund: money(&data["refund"]),
            order: some(&data["order_placed_at"], |placed_at| ReturnedOrder {
                placed_at: time(placed_at),
                kept: data["order_kept"] == true,
                after: days(&data["days_since_order"]),
            }),
        },
        "became_prospect" => SignalKind::BecameProspect,
        "rule" => SignalKind::Rule(Box::new(RuleSignal {
            rule: text(&data["rule"]).into(),
            action: rule_action(data),
            variant: some(&data["variant"], |name| text(name).into()),
            trigger: some(&data["trigger"], signal_hash),
            due_at: time(&data["due_at"]),
            expires_at: time(&data["expires_at"]),
            sku: some(&data["sku"], |sku| text(sku).into()),
            points: some(&data["points"], count),
            say: some(&data["say"], |say| say.to_string().into()),
        })),
        _ => panic!("{name} is no signal"),
    }
}

fn tier_change(data: &Value) -> TierChange {
    let name = |value: &Value| some(value, |name| text(name).into());
    TierChange { before: name(&data["before"]), after: name(&data["after"]), net: money(&data["net"]) }
}

pub fn record_kind(json: &Value) -> RecordKind<'_> {
    match text(&json["cause"]["kind"]) {
        "rule" => RecordKind::GuestOrder { key: None },
        "order" => RecordKind::Order { version: count(&json["cause"]["version"]) },
        "return" => RecordKind::Return { order_id: json["data"]["order_id"].as_str() },
        _ => RecordKind::Cancellation,
    }
}

// === Profiles

fn lifecycle(json: &Value) -> Lifecycle {
    let next = |state: &str| {
        assert_eq!(text(&json["next"]["state"]), state);
        time(&json["next"]["at"])
    };
    match state(&json["state"]) {
        State::Prospect => Lifecycle::Prospect,
        State::Active => {
            let kind = match text(&json["kind"]) {
                "new" => ActiveKind::New,
                "established" => ActiveKind::Established,
                other => panic!("{other} is no kind"),
            };
            Lifecycle::Active { kind, since: time(&json["since"]), at_risk_at: Some(next("at_risk")) }
        }
        State::AtRisk => Lifecycle::AtRisk { since: time(&json["since"]), lapsed_at: next("lapsed") },
        State::Lapsed => Lifecycle::Lapsed { since: time(&json["since"]) },
    }
}

pub fn profile(json: &Value, shop: ShopIndex) -> Profile {
    let windows = WINDOWS.map(|(name, _)| block(&json["windows"][name]));
    Profile {
        shop,
        as_of: time(&json["as_of"]),
        lifecycle: lifecycle(json),
        customer_type: some(&json["customer_type"], |kind| match text(kind) {
            "one_time" => CustomerType::OneTime,
            "recurring" => CustomerType::Recurring,
            "repeat" => CustomerType::Repeat,
            _ => CustomerType::Returning,
        }),
        first_order_at: some(&json["first_order_at"], time),
        last_order_at: some(&json["last_order_at"], time),
        purchase_days: small(&json["purchase_days"]),
        mean_gap: some(&json["mean_gap_days"], ratio),
        expected_gap: some(&json["expected_gap_days"], ratio),
        outlook: json.get("model").map(outlook),
        segment: match json.get("segment") {
            None => ProfileSegment::LeftOut,
            Some(Value::Null) => ProfileSegment::Unknown,
            Some(known) => ProfileSegment::Known(segment(known, &known["name"])),
        },
        points: json.get("points").map(count),
        tier: match json.get("tier") {
            None => ProfileTier::LeftOut,
            Some(name) => ProfileTier::Known(some(name, |name| text(name).into())),
        },
        truncated: json["truncated"] == true,
        blocks: [block(&json["all_time"]), windows[0], windows[1], windows[2]],
    }
}

fn segment_name(json: &Value) -> Segment {
    let named = Segment::ALL.into_iter().find(|segment| segment.name() == text(json));
    named.expect("a segment")
}

fn segment(json: &Value, name: &Value) -> CustomerSegment {
    let score = |value: &Value| u8::try_from(count(value)).expect("a score");
    let matrix = |value: &Value| {
        let named = ValueMatrix::ALL.into_iter().find(|place| place.name() == text(value));
        named.expect("a place in the matrix")
    };
    CustomerSegment {
        name: segment_name(name),
        scores: Scores { r: score(&json["r"]), f: score(&json["f"]), m: some(&json["m"], score) },
        matrix: some(&json["matrix"], matrix),
        cuts: CutsVersion(u64::from_str_radix(text(&json["cuts"]), 16).expect("16 digits")),
    }
}

fn outlook(json: &Value) -> Outlook {
    Outlook {
        version: match text(&json["version"]) {
            "prior" => ModelVersion::Prior,
            version => ModelVersion::Fitted(u64::from_str_radix(version, 16).expect("16 digits")),
        },
        alive: ratio(&json["p_alive"]),
        order_30d: ratio(&json["p_order_30d"]),
        order_90d: ratio(&json["p_order_90d"]),
        expected_orders_90d: some(&json["expected_orders_90d"], ratio),
        expected_orders_365d: some(&json["expected_orders_365d"], ratio),
        expected_order_value: some(&json["expected_order_value"], money),
        expected_value_365d: some(&json["expected_value_365d"], money),
        next_order_at: some(&json["next_order_at"], time),
    }
}

fn block(json: &Value) -> OrderTotals {
    OrderTotals {
        placed: small(&json["placed"]),
        kept: small(&json["kept"]),
        returned_orders: small(&json["returned_orders"]),
        gross: money(&json["gross"]),
        refunded: money(&json["refunded"]),
        cancelled: money(&json["cancelled"]),
        unattributed: money(&json["unattributed"]),
        excess: money(&json["excess"]),
    }
}

// === ShopTotals

/// The figures behind a line of shop metrics or, with `all_time` of the whole object, behind a summary.
pub fn figures(all_time: &Value, windows: &Value, by_state: &Value, code: &str) -> ShopTotals {
    let window = |name: &str| window_figures(&windows[name], code);
    ShopTotals {
        customers: State::ALL.map(|state| by_state[state.name()].as_u64().unwrap_or_default()),
        windows: [window_figures(all_time, code), window("30d"), window("90d"), window("365d")],
    }
}

fn window_figures(json: &Value, code: &str) -> WindowTotals {
    let (placed, kept) = (count(&json["orders"]["placed"]), count(&json["orders"]["kept"]));
    let revenue = &json["revenue"][code];
    let customers_placed = count(&json["customers"]["with_orders"]);
    // The examples' rates have small denominators, so that rounding finds the counts again.
    let rate = |value: &Value| value.as_f64().unwrap_or_default();
    let frequency = rate(&json["purchase_frequency"]["kept"]);
    let customers_kept = if kept == 0 { 0 } else { (kept as f64 / frequency).round() as u64 };
    let repeat = |rate: f64, customers: u64| (rate * customers as f64).round() as u64;
    WindowTotals {
        customers_placed,
        customers_kept,
        repeat_placed: repeat(rate(&json["repeat_purchase_rate"]["placed"]), customers_placed),
        repeat_kept: repeat(rate(&json["repeat_purchase_rate"]["kept"]), customers_kept),
        placed,
        kept,
        returned_orders: count(&json["orders"]["returned"]),
        gross: money(&revenue["gross"]),
        refunded: money(&revenue["refunded"]),
        cancelled: money(&revenue["cancelled"]),
        ..WindowTotals::default()
    }
}

/// What is written of a count; none where there was none. `year` is the window of 365 days.
pub fn retention(json: &Value, year: WindowTotals) -> Option<Retention> {
    let kept = |name: &str| {
        WINDOWS.map(|(window, _)| KeptOrders {
            orders: count(&json[name][window]["orders"]),
            net: money(&json[name][window]["net"]),
        })
    };
    let amounts = |list: &Value| -> [ShopAmount; 12] {
        let amounts: Vec<ShopAmount> = list.as_array().expect("a list").iter().map(money).collect();
        amounts.try_into().expect("twelve months")
    };
    let projection = |json: &Value| Projection {
        points: small(&json["points"]),
        base: amounts(&json["base"]),
        extra: amounts(&json["extra"]),
    };
    json["new"].is_object().then(|| Retention {
        new: kept("new"),
        returning: kept("returning"),
        return_rates: WINDOWS.map(|(window, _)| some(&json["customer_return_rate"][window], ratio)),
        year,
        curve: json["retention_curve"].as_array().expect("a list").iter().map(ratio).collect(),
        projections: json["projection"].as_array().expect("a list").iter().map(projection).collect(),
        segments: SegmentCounts {
            segments: counts(&json["segments"], Segment::ALL.map(Segment::name)),
            matrix: counts(&json["value_matrix"], ValueMatrix::ALL.map(ValueMatrix::name)),
            ..SegmentCounts::default()
        },
    })
}

/// What rules brought; nothing if the record does not say.
pub fn outcomes(json: &Value) -> RuleOutcomes {
    let mut outcomes = RuleOutcomes::default();
    for of in json.as_array().into_iter().flatten() {
        let group = OutcomeGroup {
            rule: text(&of["rule"]),
            variant: of["variant"].as_str().unwrap_or_default(),
            withheld: of["withheld"] == true,
        };
        let [customers, ordered, orders] = ["customers", "ordered", "orders"].map(|field| count(&of[field]));
        outcomes.add(group, &Outcome { customers, ordered, orders, net: money(&of["net"]) });
    }
    outcomes
}

pub fn guests(json: &Value, code: &str) -> GuestTotals {
    GuestTotals {
        orders: count(&json["orders"]),
        gross: money(&json["revenue"][code]["gross"]),
        returns: count(&json["returns"]),
        refunded: money(&json["revenue"][code]["refunded"]),
    }
}

/// Counts by name, absent ones being 0.
pub fn counts<const N: usize>(json: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| json[name].as_u64().unwrap_or_default())
}
