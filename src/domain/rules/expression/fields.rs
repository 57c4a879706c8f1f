//! What conditions can ask for: names, types and values.

use crate::domain::segments::names::{Segment, ValueMatrix};
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::signal::{ActiveKind, CustomerType, RetractedKind, State};
use crate::domain::values::number::Ratio;

/// The value of a field.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'v> {
    /// Not known, or the customer has no such thing.
    Null,
    Flag(bool),
    /// A number; days of 24 hours; money in the shop's currency, not in its minor units.
    Number(Ratio),
    Text(&'v str),
}

/// As an explanation shows it: numbers with at most four decimals, texts as conditions quote them.
impl std::fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Flag(flag) => formatter.write_str(if *flag { "yes" } else { "no" }),
            Self::Text(text) => write!(formatter, "\"{text}\""),
            Self::Number(ratio) => {
                let scaled = ratio.scaled_half_even(10_000);
                let (whole, part) = (scaled.unsigned_abs() / 10_000, scaled.unsigned_abs() % 10_000);
                let decimals = format!("{part:04}");
                let decimals = decimals.trim_end_matches('0');
                let (sign, point) = (if scaled < 0 { "-" } else { "" }, if part > 0 { "." } else { "" });
                write!(formatter, "{sign}{whole}{point}{decimals}")
            }
        }
    }
}

/// The type of a field: what it may be compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    Flag,
    /// A number without a unit; estimates of a model are rounded to four decimals.
    Number,
    /// Days of 24 hours, compared with a duration.
    Days,
    /// In the shop's currency.
    Money,
    /// One of the words of [`Field::words`], if it has any.
    Text,
}

/// What a condition can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    Customer(CustomerField),
    Window(Window, Figure),
    /// The product that a rule waits for.
    Sku,
    /// Data of the signal that triggered the rule.
    Trigger(SignalType, TriggerField),
}

/// Writes an enum of names: `ALL` and `name`.
macro_rules! named {
    ($(#[doc = $about:literal])+ $type:ident { $($(#[doc = $variant_about:literal])* $variant:ident = $name:literal $(: $field_type:ident)?,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $type {
            $($(#[doc = $variant_about])* $variant,)+
        }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

/// Writes such an enum with a type for each name.
macro_rules! typed {
    ($(#[doc = $about:literal])+ $type:ident { $($(#[doc = $variant_about:literal])* $variant:ident = $name:literal: $field_type:ident,)+ }) => {
        named! { $(#[doc = $about])+ $type { $($(#[doc = $variant_about])* $variant = $name,)+ } }

        impl $type {
            pub const fn field_type(self) -> FieldType {
                match self {
                    $(Self::$variant => FieldType::$field_type,)+
                }
            }
        }
    };
}

typed! {
    /// A fact of the customer.
    CustomerField {
        State = "state": Text,
        Kind = "kind": Text,
        CustomerType = "customer_type": Text,
        Segment = "segment": Text,
        R = "r": Number,
        F = "f": Number,
        M = "m": Number,
        Matrix = "matrix": Text,
        Tier = "tier": Text,
        Points = "points": Number,
        PurchaseDays = "purchase_days": Number,
        MeanGapDays = "mean_gap_days": Days,
        ExpectedGapDays = "expected_gap_days": Days,
        SilenceDays = "silence_days": Days,
        DaysSinceFirstOrder = "days_since_first_order": Days,
        DaysSinceReturn = "days_since_return": Days,
        /// Refunds over gross of the last 365 days.
        ReturnedValueShare = "returned_value_share_365d": Number,
        Alive = "p_alive": Number,
        Order30d = "p_order_30d": Number,
        Order90d = "p_order_90d": Number,
        ExpectedOrders = "expected_orders_365d": Number,
        ExpectedValue = "expected_value_365d": Money,
    }
}

named! {
    /// A span of time up to now.
    Window {
        AllTime = "all_time",
        Days30 = "d30",
        Days90 = "d90",
        Days365 = "d365",
    }
}

typed! {
    /// A figure of a [`Window`].
    Figure {
        Placed = "placed": Number,
        Kept = "kept": Number,
        Gross = "gross": Money,
        Refunded = "refunded": Money,
        Net = "net": Money,
        ReturnedOrders = "returned_orders": Number,
        AovNet = "aov_net": Money,
        CameBack = "came_back": Flag,
    }
}

named! {
    /// A field under `data` of a signal. Instants and ids are left out.
    TriggerField {
        Value = "value",
        SilenceDays = "silence_days",
        ExpectedGapDays = "expected_gap_days",
        OrderProbability = "order_probability",
        DaysAway = "days_away",
        RetractedType = "retracted_type",
        Ratio = "ratio",
        Recent = "recent",
        Earlier = "earlier",
        Refunded = "refunded",
        Gross = "gross",
        PlacedOrders = "placed_orders",
        Before = "before",
        After = "after",
        R = "r",
        F = "f",
        M = "m",
        Matrix = "matrix",
        Net = "net",
        Refund = "refund",
        OrderKept = "order_kept",
        DaysSinceOrder = "days_since_order",
    }
}

impl Field {
    /// Every field of customers.
    pub fn of_customers() -> impl Iterator<Item = Self> {
        let windows = Window::ALL.iter();
        let figures =
            windows.flat_map(|window| Figure::ALL.iter().map(|figure| Self::Window(*window, *figure)));
        CustomerField::ALL.iter().map(|field| Self::Customer(*field)).chain(figures)
    }

    /// Every field of a signal that triggers.
    pub fn of_trigger(signal_type: SignalType) -> impl Iterator<Item = Self> {
        trigger_fields(signal_type).iter().map(move |(field, _)| Self::Trigger(signal_type, *field))
    }

    pub fn field_type(self) -> FieldType {
        match self {
            Self::Customer(field) => field.field_type(),
            Self::Window(_, figure) => figure.field_type(),
            Self::Sku => FieldType::Text,
            Self::Trigger(signal_type, field) => {
                let fields = trigger_fields(signal_type).iter();
                let known = fields.clone().find(|(known, _)| *known == field);
                known.expect("only fields that its signal has are made").1
            }
        }
    }

    /// Whether its words are the names of the configured tiers.
    pub const fn is_tier(self) -> bool {
        matches!(
            self,
            Self::Customer(CustomerField::Tier)
                | Self::Trigger(SignalType::TierChanged, TriggerField::Before | TriggerField::After)
        )
    }

    /// The words that the field may have, tiers aside; none if it may have others.
    pub fn words(self) -> Option<Vec<&'static str>> {
        let segments = || Segment::ALL.map(Segment::name).to_vec();
        let matrix = || ValueMatrix::ALL.map(ValueMatrix::name).to_vec();
        match self {
            Self::Customer(CustomerField::State) => Some(State::ALL.map(State::name).to_vec()),
            Self::Customer(CustomerField::Kind) => Some(ActiveKind::ALL.map(ActiveKind::name).to_vec()),
            Self::Customer(CustomerField::CustomerType) => {
                Some(CustomerType::ALL.map(CustomerType::name).to_vec())
            }
            Self::Customer(CustomerField::Segment)
            | Self::Trigger(SignalType::SegmentChanged, TriggerField::Before | TriggerField::After) => {
                Some(segments())
            }
            Self::Customer(CustomerField::Matrix) | Self::Trigger(_, TriggerField::Matrix) => Some(matrix()),
            Self::Trigger(_, TriggerField::RetractedType) => {
                Some(RetractedKind::ALL.map(RetractedKind::name).to_vec())
            }
            Self::Customer(_) | Self::Window(..) | Self::Sku | Self::Trigger(..) => None,
        }
    }
}

/// As conditions write it.
impl std::fmt::Display for Field {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Customer(field) => formatter.write_str(field.name()),
            Self::Window(window, figure) => write!(formatter, "{}.{}", window.name(), figure.name()),
            Self::Sku => formatter.write_str("sku"),
            Self::Trigger(_, field) => write!(formatter, "trigger.{}", field.name()),
        }
    }
}

/// The fields under `data` of a type, with their types.
const fn trigger_fields(signal_type: SignalType) -> &'static [(TriggerField, FieldType)] {
    use FieldType::{Days, Flag, Money, Number, Text};
    use TriggerField as F;
    match signal_type {
        SignalType::FirstOrder | SignalType::SecondOrder => &[(F::Value, Money)],
        SignalType::AtRisk | SignalType::Lapsed => {
            &[(F::SilenceDays, Days), (F::ExpectedGapDays, Days), (F::OrderProbability, Number)]
        }
        SignalType::Recovered | SignalType::WonBack => &[(F::DaysAway, Days)],
        SignalType::LapseRetracted => &[(F::RetractedType, Text)],
        SignalType::FrequencyFell | SignalType::FrequencyRose => {
            &[(F::Ratio, Number), (F::Recent, Days), (F::Earlier, Days)]
        }
        SignalType::OrderValueFell | SignalType::OrderValueRose => {
            &[(F::Ratio, Number), (F::Recent, Money), (F::Earlier, Money)]
        }
        SignalType::ReturnRateHigh => {
            &[(F::Ratio, Number), (F::Refunded, Money), (F::Gross, Money), (F::PlacedOrders, Number)]
        }
        SignalType::SegmentChanged => &[
            (F::Before, Text),
            (F::After, Text),
            (F::R, Number),
            (F::F, Number),
            (F::M, Number),
            (F::Matrix, Text),
            (F::SilenceDays, Days),
        ],
        SignalType::TierChanged => &[(F::Before, Text), (F::After, Text), (F::Net, Money)],
        SignalType::OrderCancelled => &[(F::Value, Money), (F::Net, Money)],
        SignalType::OrderReturned => &[(F::Refund, Money), (F::OrderKept, Flag), (F::DaysSinceOrder, Days)],
        SignalType::BecameProspect | SignalType::Rule => &[],
    }
}
