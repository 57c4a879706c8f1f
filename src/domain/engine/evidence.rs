//! The records of one customer one by one, what each counts for, and what the clock alone will bring. No state changes.

use std::sync::Arc;

use super::Engine;
use super::restore::Restore;
use crate::domain::customer::Customer;
use crate::domain::customer::ledger::{Attribution, Order, OrderResult, Return, ReturnTarget};
use crate::domain::lapse::PurchaseHistory;
use crate::domain::lapse::model::ModelVersion;
use crate::domain::settings::Shop;
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::State;
use crate::domain::store::packed;
use crate::domain::values::ids::{CustomerKey, CustomerSlot, OrderHash, ReturnHash, ShopIndex};
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Time;

/// Instants that are foretold at most.
pub const UPCOMING_MAX: usize = 5;
/// Timers that are looked at for them: most orders leave the year without a signal.
const TIMERS_MAX: usize = 1_000;

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    /// Of all amounts.
    pub currency: Currency,
    /// By time.
    pub orders: Vec<OrderEvidence>,
    /// By time.
    pub returns: Vec<ReturnEvidence>,
    /// Cancellations whose order is not known.
    pub waiting_cancellations: Vec<(OrderHash, Time)>,
    /// Days between purchase days that follow each other, of the orders that are held one by one.
    pub gaps_days: Vec<i32>,
    /// Under the policy `model`.
    pub judged_by: Option<JudgedBy>,
    /// At most [`UPCOMING_MAX`] instants.
    pub upcoming: Vec<Upcoming>,
}

/// One order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderEvidence {
    pub id: OrderHash,
    pub placed_at: Time,
    pub version: u64,
    pub value: ShopAmount,
    pub refunded: ShopAmount,
    pub cancelled: ShopAmount,
    pub net: ShopAmount,
    pub standing: OrderStanding,
}

/// Whether an order counts as kept, or why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderStanding {
    Kept,
    Test,
    Cancelled,
    /// As a whole: nothing is left of its value.
    Returned,
    /// It was worth nothing when it was placed.
    WithoutValue,
}

/// One return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnEvidence {
    pub id: ReturnHash,
    pub returned_at: Time,
    pub refund: ShopAmount,
    pub named: Option<OrderHash>,
    pub standing: ReturnStanding,
}

/// What a return counts against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnStanding {
    /// The order that it names.
    NamedOrder,
    /// It names none, and this one fits.
    FittingOrder(OrderHash),
    /// It names an order that is not known, or placed too far apart, so it lowers the net value alone.
    NamedOrderMissing,
    /// It names none, and none fits.
    NoOrder,
    /// It names a test order and counts nowhere.
    TestOrder,
}

/// The model that judges the silence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct JudgedBy {
    pub version: ModelVersion,
    pub effective_at: Time,
    /// The probability that a new customer orders within the horizon, with four decimals.
    pub of_new_customer: Ratio,
}

/// What the clock alone brings, if no record comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upcoming {
    pub at: Time,
    /// Names of the signals, in their order.
    pub signals: Vec<&'static str>,
    /// Of those about rules, the rule and what it does.
    pub rules: Vec<(Arc<str>, RuleAction)>,
    /// The state afterwards.
    pub state: State,
}

impl Engine {
    /// The evidence for a customer's facts.
    pub(super) fn evidence(
        &self,
        slot: CustomerSlot,
        customer: &Customer,
        attribution: &Attribution,
        history: Option<&PurchaseHistory>,
    ) -> Evidence {
        let index = self.shop_of(slot);
        let shop = self.settings.shops.get(index);
        let ledger = &customer.ledger;
        let orders = ledger.orders.iter().zip(&attribution.orders);
        let returns = ledger.returns.iter().zip(&attribution.targets);
        let waiting = ledger.cancellations.iter().filter(|entry| ledger.order(entry.order).is_none());
        Evidence {
            currency: shop.currency,
            orders: orders.map(|(order, result)| order_evidence(order, result)).collect(),
            returns: returns
                .map(|(returned, target)| return_evidence(returned, *target, &ledger.orders, shop))
                .collect(),
            waiting_cancellations: waiting.map(|entry| (entry.order, entry.cancelled_at)).collect(),
            gaps_days: gaps(customer, attribution, shop),
            judged_by: history.and_then(|history| self.judged_by(index, history)),
            upcoming: self.upcoming(slot),
        }
    }

    fn judged_by(&self, shop: ShopIndex, history: &PurchaseHistory) -> Option<JudgedBy> {
        let lapse = &self.settings.lapse;
        let model = lapse.model(shop, history.last_order_at)?;
        Some(JudgedBy {
            version: model.version,
            effective_at: model.effective_at,
            of_new_customer: lapse.of_new_customer(model)?,
        })
    }

    /// An engine that holds this customer alone goes on without records.
    fn upcoming(&self, slot: CustomerSlot) -> Vec<Upcoming> {
        let bytes = self.store.key(slot);
        let mut restore = Restore::new(Arc::clone(&self.settings));
        let key = CustomerKey { bytes, hash: (self.settings.hash)(bytes) };
        restore.customer(key, self.store.packed(slot)).expect("packed by this engine");
        let mut alone = restore.finish(self.clock).expect("as this engine holds it");
        let mut upcoming = Vec::new();
        for _ in 0..TIMERS_MAX {
            let Some(due) = alone.next_due(Time::MAX).filter(|_| upcoming.len() < UPCOMING_MAX) else {
                break;
            };
            alone.advance_clock(due, usize::MAX);
            let (mut signals, mut rules) = (Vec::new(), Vec::new());
            for (_, signal) in alone.drain_signals() {
                signals.push(signal.kind.name());
                rules.extend(signal.kind.rule().map(|rule| (Arc::clone(&rule.rule), rule.action)));
            }
            alone.changes_committed();
            if !signals.is_empty() {
                let only = alone.find(key).expect("nothing erases the customer");
                let state = alone.explained_state(only);
                upcoming.push(Upcoming { at: due, signals, rules, state });
            }
        }
        upcoming
    }

    fn explained_state(&self, slot: CustomerSlot) -> State {
        let mut customer = Customer::default();
        packed::unpack(self.store.packed(slot), &mut customer).expect("packed by this engine");
        customer.emitted.state()
    }
}

fn order_evidence(order: &Order, result: &OrderResult) -> OrderEvidence {
    let standing = match result {
        _ if order.test => OrderStanding::Test,
        result if result.kept => OrderStanding::Kept,
        result if result.cancelled > ShopAmount::ZERO => OrderStanding::Cancelled,
        result if result.refunded > ShopAmount::ZERO => OrderStanding::Returned,
        _ => OrderStanding::WithoutValue,
    };
    OrderEvidence {
        id: order.id,
        placed_at: order.placed_at,
        version: order.version,
        value: result.value,
        refunded: result.refunded,
        cancelled: result.cancelled,
        net: result.net(),
        standing,
    }
}

fn return_evidence(returned: &Return, target: ReturnTarget, orders: &[Order], shop: &Shop) -> ReturnEvidence {
    let standing = match (target, returned.order) {
        (ReturnTarget::Order(_), Some(_)) => ReturnStanding::NamedOrder,
        (ReturnTarget::Order(index), None) => ReturnStanding::FittingOrder(orders[index].id),
        (ReturnTarget::Alone, Some(_)) => ReturnStanding::NamedOrderMissing,
        (ReturnTarget::Alone, None) => ReturnStanding::NoOrder,
        (ReturnTarget::Ignored(_), _) => ReturnStanding::TestOrder,
    };
    ReturnEvidence {
        id: returned.id,
        returned_at: returned.returned_at,
        refund: shop.convert(returned.refund, returned.currency),
        named: returned.order,
        standing,
    }
}

/// The first gap begins at the last purchase day that has folded, if one has.
fn gaps(customer: &Customer, attribution: &Attribution, shop: &Shop) -> Vec<i32> {
    let folded = &customer.summary.kept;
    let mut last = (folded.count > 0).then(|| folded.days.span() + folded.days.first);
    let mut dates = shop.zone.days();
    let mut gaps = Vec::new();
    for (order, result) in customer.ledger.orders.iter().zip(&attribution.orders) {
        if !result.kept {
            continue;
        }
        let day = dates.of(order.placed_at).0;
        gaps.extend(last.map(|last| day - last).filter(|gap| *gap > 0));
        last = last.max(Some(day));
    }
    gaps
}
