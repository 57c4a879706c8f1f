//! The data and the cause of a `rule` signal: what a configured rule does about one customer.

use std::sync::Arc;

use super::signal::Cause;
use crate::domain::values::ids::{OrderHash, SkuHash};
use crate::domain::values::time::Time;

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuleAction {
    /// It fires: whoever reads the signal acts.
    Fired,
    /// It would have fired, but the customer is held out to compare with.
    Withheld,
    /// A firing is planned, of a rule that announces it.
    Planned,
    /// A planned firing is cancelled, of a rule that announces it.
    Cancelled,
}

impl RuleAction {
    pub const ALL: [Self; 4] = [Self::Fired, Self::Withheld, Self::Planned, Self::Cancelled];

    /// The name in records and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Withheld => "withheld",
            Self::Planned => "planned",
            Self::Cancelled => "cancelled",
        }
    }

    /// The number in the cause of a signal's id.
    pub const fn number(self) -> u8 {
        match self {
            Self::Fired => 1,
            Self::Withheld => 2,
            Self::Cancelled => 3,
            Self::Planned => 4,
        }
    }
}

/// The data of `rule`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSignal {
    pub rule: Arc<str>,
    pub action: RuleAction,
    /// None of a rule without variants.
    pub variant: Option<Arc<str>>,
    /// The signal that triggered the rule; none of other triggers.
    pub trigger: Option<SignalHash>,
    /// When it was to fire, though its trigger may have come later; of a guest's order, from when on to act.
    pub due_at: Time,
    pub expires_at: Time,
    /// Of a rule on a product: the SKU that is used up.
    pub sku: Option<Arc<str>>,
    /// Of a rule on points: the multiple of `reach` that was reached.
    pub points: Option<u64>,
    /// A JSON object, as the rule's setting has it.
    pub say: Option<Arc<str>>,
}

/// The id of a signal, as the domain holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignalHash(pub u128);

/// Computes the id of a signal from the customer's key, the type and the cause; injected because the domain depends on nothing.
pub type SignalHasher = fn(&[u8], &str, &Cause) -> SignalHash;

/// What the identity of a `rule` signal is made of beside the customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleCause {
    pub rule: RuleHash,
    pub action: RuleAction,
    pub of: Occasion,
}

/// What the identity of a `rule` signal is made of that is about an order of a guest: of a guest nothing else is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestCause {
    pub rule: RuleHash,
    pub action: RuleAction,
    pub order: OrderHash,
    pub placed_at: Time,
}

/// Hash of a rule's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleHash(pub u64);

/// Why a rule fires once more: one occasion leads to one firing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Occasion {
    /// A signal was emitted.
    Signal(SignalHash),
    /// An order was accepted.
    Order(OrderHash),
    /// An instant of a calendar, before hours of sending move it.
    Instant(Time),
    /// Points reached a multiple. Who is erased and comes again begins with another first kept order.
    Points { multiple: u64, first_order_at: Time },
    /// An order held goods that are used up some time later.
    Product { order: OrderHash, sku: SkuHash },
}

impl Occasion {
    /// The order and the goods of a product.
    pub const fn product(self) -> Option<(OrderHash, SkuHash)> {
        match self {
            Self::Product { order, sku } => Some((order, sku)),
            Self::Signal(_) | Self::Order(_) | Self::Instant(_) | Self::Points { .. } => None,
        }
    }
}
