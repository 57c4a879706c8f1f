//! The table of signal types: one entry holds all that is true of a type wherever it appears.
//!
//! From it follow the enums, the names in records and metrics, the demo's line, and what the tests require of the schemas, of the
//! tables in `docs/` and of the dashboards. [`lifecycle`](super::lifecycle) decides when a signal is emitted.

use super::rule::RuleSignal;
use super::signal::{
    FrequencyChange, OpenAlert, OrderValueChange, RetractedKind, ReturnedOrder, SegmentChange, Silence,
    State, TierChange,
};
use crate::domain::values::ids::{OrderHash, ReturnHash};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Span;

/// What can make a signal be emitted: a kind of record, or a kind of instant that the clock passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CauseKind {
    Order,
    Cancellation,
    Return,
    /// A silence became too long.
    Deadline,
    /// An order or a refund left the 365-day window.
    Expiry,
    /// A silence went beyond a cut point of segments.
    Boundary,
    /// A configured rule.
    Rule,
}

impl CauseKind {
    pub const ALL: [Self; 7] = [
        Self::Order,
        Self::Cancellation,
        Self::Return,
        Self::Deadline,
        Self::Expiry,
        Self::Boundary,
        Self::Rule,
    ];

    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cancellation => "cancellation",
            Self::Return => "return",
            Self::Deadline => "deadline",
            Self::Expiry => "expiry",
            Self::Boundary => "boundary",
            Self::Rule => "rule",
        }
    }
}

/// When a signal of a type may be emitted again for the same customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeats {
    AfterBecameProspect,
    EachTime,
    OncePerEpisode,
    WhenRearmed,
    OncePerRecordId,
    OncePerTrigger,
}

impl Repeats {
    /// As `docs/DEFINITIONS.md` says it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::AfterBecameProspect => "after `became_prospect`",
            Self::EachTime => "each time it happens",
            Self::OncePerEpisode => "once an episode",
            Self::WhenRearmed => "when re-armed",
            Self::OncePerRecordId => "never for the same id",
            Self::OncePerTrigger => "never for the same trigger",
        }
    }
}

/// What a type means for the shop; the demo gives each a colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    Good,
    Neutral,
    Warning,
    Bad,
}

/// Any record may change what is known of the first and last orders, of gaps and of values.
const RECORDS: &[CauseKind] = &[CauseKind::Order, CauseKind::Cancellation, CauseKind::Return];
const RECORDS_AND_DEADLINE: &[CauseKind] =
    &[CauseKind::Order, CauseKind::Cancellation, CauseKind::Return, CauseKind::Deadline];
const RECORDS_AND_EXPIRY: &[CauseKind] =
    &[CauseKind::Order, CauseKind::Cancellation, CauseKind::Return, CauseKind::Expiry];
const RECORDS_AND_BOUNDARY: &[CauseKind] =
    &[CauseKind::Order, CauseKind::Cancellation, CauseKind::Return, CauseKind::Boundary];

/// What the table says about a type, beside its data.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The type in records, labels and settings.
    pub name: &'static str,
    /// A sentence: the description in the schema.
    pub about: &'static str,
    pub causes: &'static [CauseKind],
    /// The only state after the signal, if there is only one.
    pub after: Option<State>,
    pub repeats: Repeats,
    pub tone: Tone,
    /// How the demo shows the data. `{field}` stands for its value as it is, `{field:number}`, `{field:days}` and `{field:percent}` for a rounded number,
    /// `{currency}` for the shop's. A part between commas with a field that is null is left out.
    pub line: &'static str,
}

macro_rules! signal_types {
    ($(
        $(#[doc = $about:literal])+
        $variant:ident $(($data:ty))? $({ $($field:ident: $field_type:ty),* })? = {
            name: $name:literal,
            causes: $causes:expr,
            after: $after:expr,
            repeats: $repeats:ident,
            tone: $tone:ident,
            line: $line:literal,
        }
    )+) => {
        /// The type of a signal.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum SignalType {
            $($(#[doc = $about])+ $variant,)+
        }

        impl SignalType {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];
            /// By position in [`Self::ALL`].
            pub const NAMES: [&'static str; Self::ALL.len()] = [$($name),+];
        }

        /// By position in [`SignalType::ALL`].
        static ENTRIES: [Entry; SignalType::ALL.len()] = [$(Entry {
            name: $name,
            about: concat!($($about),+).trim_ascii_start(),
            causes: $causes,
            after: $after,
            repeats: Repeats::$repeats,
            tone: Tone::$tone,
            line: $line,
        }),+];

        /// The type of a signal with its data. Money is in the shop's minor units.
        #[derive(Clone, Debug)]
        pub enum SignalKind {
            $($(#[doc = $about])+ $variant $(($data))? $({ $($field: $field_type),* })?,)+
        }

        impl SignalKind {
            pub const fn signal_type(&self) -> SignalType {
                match self {
                    $(Self::$variant { .. } => SignalType::$variant,)+
                }
            }

            /// The type in records and labels.
            pub const fn name(&self) -> &'static str {
                self.signal_type().name()
            }
        }
    };
}

signal_types! {
    /// The customer has a kept order.
    FirstOrder { value: ShopAmount } = {
        name: "first_order",
        causes: RECORDS,
        after: None,
        repeats: AfterBecameProspect,
        tone: Good,
        line: "{value} {currency}",
    }

    /// The customer has come back: a second kept order.
    SecondOrder { value: ShopAmount } = {
        name: "second_order",
        causes: RECORDS,
        after: None,
        repeats: AfterBecameProspect,
        tone: Good,
        line: "{value} {currency}",
    }

    /// The silence is longer than this customer's usual one.
    AtRisk(Silence) = {
        name: "at_risk",
        causes: RECORDS_AND_DEADLINE,
        after: Some(State::AtRisk),
        repeats: EachTime,
        tone: Warning,
        line: "silent for {silence_days:days}, expected after {expected_gap_days:number}",
    }

    /// The silence is so long that the customer counts as lost.
    Lapsed(Silence) = {
        name: "lapsed",
        causes: RECORDS_AND_DEADLINE,
        after: Some(State::Lapsed),
        repeats: EachTime,
        tone: Bad,
        line: "silent for {silence_days:days}, expected after {expected_gap_days:number}",
    }

    /// A customer at risk ordered again.
    Recovered { away: Option<Span> } = {
        name: "recovered",
        causes: RECORDS,
        after: Some(State::Active),
        repeats: OncePerEpisode,
        tone: Good,
        line: "away {days_away:days}",
    }

    /// A lapsed customer ordered again.
    WonBack { away: Option<Span> } = {
        name: "won_back",
        causes: RECORDS,
        after: None,
        repeats: OncePerEpisode,
        tone: Good,
        line: "away {days_away:days}",
    }

    /// A late or changed record shows that an at_risk or lapsed should not have been emitted.
    LapseRetracted { retracted: RetractedKind, emitted: OpenAlert } = {
        name: "lapse_retracted",
        causes: RECORDS,
        after: None,
        repeats: EachTime,
        tone: Good,
        line: "not {retracted_type}: an order came late",
    }

    /// The customer's last three gaps are much longer than those before.
    FrequencyFell(FrequencyChange) = {
        name: "frequency_fell",
        causes: RECORDS,
        after: None,
        repeats: WhenRearmed,
        tone: Warning,
        line: "every {recent:days}, was every {earlier:days}",
    }

    /// The customer's last three gaps are much shorter than those before.
    FrequencyRose(FrequencyChange) = {
        name: "frequency_rose",
        causes: RECORDS,
        after: None,
        repeats: WhenRearmed,
        tone: Neutral,
        line: "every {recent:days}, was every {earlier:days}",
    }

    /// The customer's last three kept orders are worth much less than those before.
    OrderValueFell(OrderValueChange) = {
        name: "order_value_fell",
        causes: RECORDS,
        after: None,
        repeats: WhenRearmed,
        tone: Warning,
        line: "{recent} {currency} an order, was {earlier}",
    }

    /// The customer's last three kept orders are worth much more than those before.
    OrderValueRose(OrderValueChange) = {
        name: "order_value_rose",
        causes: RECORDS,
        after: None,
        repeats: WhenRearmed,
        tone: Neutral,
        line: "{recent} {currency} an order, was {earlier}",
    }

    /// In the last 365 days much of what the customer bought went back.
    ReturnRateHigh { ratio: Option<Ratio>, refunded: ShopAmount, gross: ShopAmount, placed: u32 } = {
        name: "return_rate_high",
        causes: RECORDS_AND_EXPIRY,
        after: None,
        repeats: WhenRearmed,
        tone: Warning,
        line: "{refunded} {currency} sent back, {ratio:percent} of {gross}",
    }

    /// The customer's segment has another name.
    SegmentChanged(SegmentChange) = {
        name: "segment_changed",
        causes: RECORDS_AND_BOUNDARY,
        after: None,
        repeats: EachTime,
        tone: Neutral,
        line: "{after}, was {before}",
    }

    /// The customer reaches another tier, or loses one.
    TierChanged(TierChange) = {
        name: "tier_changed",
        causes: RECORDS_AND_EXPIRY,
        after: None,
        repeats: EachTime,
        tone: Neutral,
        line: "{after}, was {before}, {net} {currency} in a year",
    }

    /// An order was cancelled.
    OrderCancelled { order: OrderHash, value: Option<ShopAmount>, net: ShopAmount } = {
        name: "order_cancelled",
        causes: &[CauseKind::Order, CauseKind::Cancellation],
        after: None,
        repeats: OncePerRecordId,
        tone: Neutral,
        line: "{value} {currency}",
    }

    /// Money went back to the customer. What is null is not known when the return is accepted, and stays null in this signal.
    OrderReturned { returned: ReturnHash, refund: ShopAmount, order: Option<ReturnedOrder> } = {
        name: "order_returned",
        causes: &[CauseKind::Return],
        after: None,
        repeats: OncePerRecordId,
        tone: Neutral,
        line: "{refund} {currency}, after {days_since_order:days}",
    }

    /// No kept order is left; the data is an empty object.
    BecameProspect = {
        name: "became_prospect",
        causes: RECORDS,
        after: Some(State::Prospect),
        repeats: EachTime,
        tone: Bad,
        line: "no order is left that was kept",
    }

    /// A configured rule fires, or would have fired.
    Rule(Box<RuleSignal>) = {
        name: "rule",
        causes: &[CauseKind::Rule],
        after: None,
        repeats: OncePerTrigger,
        tone: Neutral,
        line: "{rule} {action}, {variant}",
    }
}

impl SignalType {
    pub const fn entry(self) -> &'static Entry {
        &ENTRIES[self.index()]
    }

    /// The type in records and labels.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The type of a name in records.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal_type| signal_type.name() == name)
    }
}

impl SignalKind {
    /// What a rule does, if the signal is about one.
    pub fn rule(&self) -> Option<&RuleSignal> {
        if let Self::Rule(rule) = self { Some(rule) } else { None }
    }
}
