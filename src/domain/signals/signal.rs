//! Signals about a customer with their causes, and the facts behind a profile.

use std::sync::Arc;

use super::kind::{SignalKind, SignalType};
use super::rule::{GuestCause, RuleCause};
use crate::domain::lapse::PolicyId;
use crate::domain::lapse::outlook::Outlook;
use crate::domain::segments::customer::CustomerSegment;
use crate::domain::segments::names::Segment;
use crate::domain::values::event::{CancellationRecord, Record};
use crate::domain::values::ids::{CustomerSlot, OrderHash, ReturnHash, ShopIndex};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::{Span, Time};
use crate::domain::values::window::OrderTotals;

/// The lifecycle state of a customer.
///
/// ```text
///              first kept order                silence                 silence
///  (prospect) ──────────────────► active ───────────────► at_risk ───────────────► lapsed
///                                   ▲  ▲      kept order     │       kept order      │
///                                   │  └──────(recovered)────┘                       │
///                                   └───────────────(won_back)───────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Known, but without a kept order.
    Prospect,
    Active,
    AtRisk,
    Lapsed,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Prospect, Self::Active, Self::AtRisk, Self::Lapsed];

    /// The name in records and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prospect => "prospect",
            Self::Active => "active",
            Self::AtRisk => "at_risk",
            Self::Lapsed => "lapsed",
        }
    }
}

/// One thing that happened to one customer, or to a guest.
#[derive(Clone, Debug)]
pub struct Signal {
    /// None of a guest's.
    pub customer: Option<CustomerSlot>,
    pub shop: ShopIndex,
    pub kind: SignalKind,
    /// The record's time, or the deadline or expiry that the clock crossed.
    pub occurred_at: Time,
    /// The emitted state before the record, deadline or expiry. Of a guest it says nothing, nor does the next.
    pub before: State,
    pub after: State,
    pub cause: Cause,
    /// The lapse policy in force for the customer's last kept order.
    pub policy: PolicyId,
}

/// The numbers behind `at_risk` and `lapsed`.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    pub deadline: Time,
    pub last_order_at: Time,
    /// In days, under the policy `cadence`.
    pub expected_gap: Option<Ratio>,
    /// Of an order within the horizon of the policy `model`, at the deadline.
    pub order_probability: Option<Ratio>,
}

/// Which signal a retraction takes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetractedKind {
    AtRisk,
    Lapsed,
}

impl RetractedKind {
    pub const ALL: [Self; 2] = [Self::AtRisk, Self::Lapsed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AtRisk => SignalType::AtRisk.name(),
            Self::Lapsed => SignalType::Lapsed.name(),
        }
    }
}

/// Mean gaps in days.
#[derive(Clone, Copy, Debug)]
pub struct FrequencyChange {
    pub ratio: Ratio,
    pub recent: Ratio,
    pub earlier: Ratio,
}

/// Mean net values of kept orders in minor units.
#[derive(Clone, Copy, Debug)]
pub struct OrderValueChange {
    pub ratio: Ratio,
    pub recent: Ratio,
    pub earlier: Ratio,
}

/// The customer's segment has another name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentChange {
    /// What was emitted before; none with the first order.
    pub before: Option<Segment>,
    pub after: CustomerSegment,
    /// From the last kept order on.
    pub silence: Span,
}

/// The customer's tier is another one; none is below the lowest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierChange {
    /// What was emitted before.
    pub before: Option<Arc<str>>,
    pub after: Option<Arc<str>>,
    /// Net value of the last 365 days.
    pub net: ShopAmount,
}

/// The order that a return was attributed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnedOrder {
    pub placed_at: Time,
    pub kept: bool,
    /// From the order to the return.
    pub after: Span,
}

/// What a signal's identity is made of beside the customer and the type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The record that was applied.
    Record(RecordDigest),
    /// The clock crossed a deadline.
    Deadline(Time),
    /// A record showed that silence had reached a deadline.
    DeadlineByRecord(Time, RecordDigest),
    /// The clock crossed the end of a window.
    Expiry(Time),
    /// The clock crossed a cut point of silences.
    Boundary(Time),
    /// An order is reported cancelled once.
    Cancelled(OrderHash),
    /// A return is reported once.
    Returned(ReturnHash),
    /// A record retracts an open signal.
    Retraction(RetractedKind, OpenAlert, RecordDigest),
    /// A configured rule.
    Rule(RuleCause),
    /// A configured rule, on an order of a guest.
    GuestRule(GuestCause),
}

/// Why an open `at_risk` or `lapsed` was emitted: its deadline, and the record if one caused it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenAlert {
    pub deadline: Time,
    pub record: Option<RecordDigest>,
}

impl OpenAlert {
    pub const fn cause(self) -> Cause {
        match self.record {
            None => Cause::Deadline(self.deadline),
            Some(digest) => Cause::DeadlineByRecord(self.deadline, digest),
        }
    }
}

/// 64-bit digest of a record's kind, identity, version and content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordDigest(pub u64);

impl RecordDigest {
    pub fn of(record: &Record, hash: fn(&[u8]) -> u64) -> Self {
        // Versions of orders had four bytes once, and what was published keeps its ids.
        let (kind, id, version, version_bytes) = match record {
            Record::Order(order) => {
                (1u8, order.id.0, order.version, if order.version >> 32 == 0 { 4 } else { 8 })
            }
            Record::Cancellation(CancellationRecord { order, version: Some(version), .. }) => {
                (2, order.0, *version, 8)
            }
            Record::Cancellation(CancellationRecord { order, version: None, .. }) => (2, order.0, 0, 4),
            Record::Return(returned) => (3, returned.id.0, 0, 4),
        };
        let mut bytes = [0; 25];
        bytes[0] = kind;
        bytes[1..9].copy_from_slice(&id.to_le_bytes());
        bytes[9..17].copy_from_slice(&version.to_le_bytes());
        let content_at = 9 + version_bytes;
        bytes[content_at..content_at + 8].copy_from_slice(&content_hash(record, hash).to_le_bytes());
        Self(hash(&bytes[..content_at + 8]))
    }
}

/// Hash of what figures depend on: `docs/RECORDS.md`, "Content".
pub fn content_hash(record: &Record, hash: fn(&[u8]) -> u64) -> u64 {
    let mut bytes = [0; 28];
    bytes[..8].copy_from_slice(&record.time().as_millis().to_le_bytes());
    let length = match record {
        Record::Order(order) => {
            bytes[8..16].copy_from_slice(&order.total.minor().to_le_bytes());
            bytes[16..19].copy_from_slice(&order.currency.code());
            bytes[19] = u8::from(order.test);
            20
        }
        Record::Return(returned) => {
            bytes[8..16].copy_from_slice(&returned.refund.minor().to_le_bytes());
            bytes[16..19].copy_from_slice(&returned.currency.code());
            match returned.order {
                None => 20,
                Some(order) => {
                    bytes[19] = 1;
                    bytes[20..28].copy_from_slice(&order.0.to_le_bytes());
                    28
                }
            }
        }
        Record::Cancellation(_) => 8,
    };
    hash(&bytes[..length])
}

/// The facts of one customer at one clock, ready to be written.
#[derive(Clone, Debug)]
pub struct Profile {
    pub shop: ShopIndex,
    /// The clock at the customer's last change.
    pub as_of: Time,
    pub lifecycle: Lifecycle,
    pub customer_type: Option<CustomerType>,
    pub first_order_at: Option<Time>,
    pub last_order_at: Option<Time>,
    pub purchase_days: u32,
    /// In days.
    pub mean_gap: Option<Ratio>,
    /// In days; none without a kept order, and under every policy but `cadence`.
    pub expected_gap: Option<Ratio>,
    /// None without a kept order, and under every policy but `model`.
    pub outlook: Option<Outlook>,
    pub segment: ProfileSegment,
    /// None without points.
    pub points: Option<u64>,
    pub tier: ProfileTier,
    /// Whether orders that folded early are missing from the windows.
    pub truncated: bool,
    /// All time, then the windows of [`WINDOWS`](crate::domain::values::window::WINDOWS).
    pub blocks: [OrderTotals; 4],
}

/// What a profile says about the customer's segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProfileSegment {
    /// There are no segments.
    LeftOut,
    /// The customer has no kept order, or no cut points count for it.
    Unknown,
    Known(CustomerSegment),
}

/// What a profile says about the customer's tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProfileTier {
    /// There are no tiers.
    LeftOut,
    /// Its name; none below the lowest tier.
    Known(Option<Arc<str>>),
}

impl ProfileTier {
    /// Its name; none below the lowest tier, and without tiers.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::LeftOut => None,
            Self::Known(name) => name.as_deref(),
        }
    }
}

/// Where a customer stands, since when, and what silence brings next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifecycle {
    /// Without a kept order.
    Prospect,
    /// Since the last kept order. A policy may set no deadline.
    Active { kind: ActiveKind, since: Time, at_risk_at: Option<Time> },
    /// Since the first deadline.
    AtRisk { since: Time, lapsed_at: Time },
    /// Since the second deadline.
    Lapsed { since: Time },
}

impl Lifecycle {
    pub const fn state(self) -> State {
        match self {
            Self::Prospect => State::Prospect,
            Self::Active { .. } => State::Active,
            Self::AtRisk { .. } => State::AtRisk,
            Self::Lapsed { .. } => State::Lapsed,
        }
    }

    /// Of an active customer.
    pub const fn kind(self) -> Option<ActiveKind> {
        match self {
            Self::Active { kind, .. } => Some(kind),
            Self::Prospect | Self::AtRisk { .. } | Self::Lapsed { .. } => None,
        }
    }

    pub const fn since(self) -> Option<Time> {
        match self {
            Self::Prospect => None,
            Self::Active { since, .. } | Self::AtRisk { since, .. } | Self::Lapsed { since } => Some(since),
        }
    }

    /// The state that silence leads to, and when.
    pub fn next(self) -> Option<(State, Time)> {
        match self {
            Self::Active { at_risk_at, .. } => at_risk_at.map(|at| (State::AtRisk, at)),
            Self::AtRisk { lapsed_at, .. } => Some((State::Lapsed, lapsed_at)),
            Self::Prospect | Self::Lapsed { .. } => None,
        }
    }
}

/// Whether an active customer has come back yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActiveKind {
    New,
    Established,
}

impl ActiveKind {
    pub const ALL: [Self; 2] = [Self::New, Self::Established];

    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
        }
    }
}

/// The type of a customer, by rhythm and variety of goods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CustomerType {
    /// One kept order.
    OneTime,
    /// At least three gaps that vary little.
    Recurring,
    /// At least three kept orders of varied goods, or goods never seen.
    Repeat,
    /// Everyone else who came back.
    Returning,
}

impl CustomerType {
    pub const ALL: [Self; 4] = [Self::OneTime, Self::Recurring, Self::Repeat, Self::Returning];

    pub const fn name(self) -> &'static str {
        match self {
            Self::OneTime => "one_time",
            Self::Recurring => "recurring",
            Self::Repeat => "repeat",
            Self::Returning => "returning",
        }
    }
}
