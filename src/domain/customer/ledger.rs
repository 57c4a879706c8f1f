//! What may still change of one customer's history, and what it means: which return belongs to which order.
//!
//! Everything is derived from the set of entries, never accumulated, so the order of arrival cannot matter.

use crate::domain::settings::Shop;
use crate::domain::values::ids::{OrderHash, ReturnHash};
use crate::domain::values::money::{Currency, SentAmount, ShopAmount};
use crate::domain::values::time::{Span, Time};
use crate::domain::values::window::OrderTotals;

/// An order in its latest version. Ordered by (time, id).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    pub id: OrderHash,
    pub placed_at: Time,
    /// Below [`VERSION_LIMIT`](crate::domain::values::event::VERSION_LIMIT).
    pub version: u64,
    /// As sent, in minor units of `currency`.
    pub total: SentAmount,
    pub currency: Currency,
    pub test: bool,
}

impl Order {
    /// Whether both have the same content, whatever their versions are: `docs/RECORDS.md`, "Content".
    pub fn has_content_of(&self, other: &Self) -> bool {
        Self { version: other.version, ..*self } == *other
    }
}

/// A return. Ordered by (time, id).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Return {
    pub id: ReturnHash,
    pub returned_at: Time,
    /// As sent, in minor units of `currency`.
    pub refund: SentAmount,
    pub currency: Currency,
    /// The order that it names.
    pub order: Option<OrderHash>,
}

/// What the cancellations of one order, which may not be known yet, come to. Ordered by (time, order).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cancellation {
    pub order: OrderHash,
    /// The earliest.
    pub cancelled_at: Time,
    /// The greatest.
    pub up_to: CancelledUpTo,
    /// Whether `order_cancelled` was emitted. Of [`CancelledUpTo::Always`] always true: its signal was emitted when it came first, or
    /// never will be.
    pub emitted: bool,
}

impl Cancellation {
    /// Whether it takes this order back, which must be the one that it names.
    pub fn cancels(&self, order: &Order, return_window: Span) -> bool {
        self.cancelled_at.distance(order.placed_at) <= return_window
            && CancelledUpTo::Version(order.version) <= self.up_to
    }
}

/// Which versions of an order are cancelled. In this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CancelledUpTo {
    /// Up to this one, and it: a greater one brings the order back.
    Version(u64),
    /// All: the cancellation has no version and is final.
    Always,
}

impl CancelledUpTo {
    /// What a cancellation of this version cancels.
    pub fn of(version: Option<u64>) -> Self {
        version.map_or(Self::Always, Self::Version)
    }
}

/// The entries of one customer, each kind in its order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ledger {
    pub orders: Vec<Order>,
    pub returns: Vec<Return>,
    pub cancellations: Vec<Cancellation>,
}

impl Ledger {
    pub fn clear(&mut self) {
        self.orders.clear();
        self.returns.clear();
        self.cancellations.clear();
    }

    pub fn order(&self, id: OrderHash) -> Option<&Order> {
        self.orders.iter().find(|order| order.id == id)
    }

    pub fn returned(&self, id: ReturnHash) -> Option<&Return> {
        self.returns.iter().find(|returned| returned.id == id)
    }

    pub fn cancellation(&self, order: OrderHash) -> Option<&Cancellation> {
        self.cancellations.iter().find(|cancellation| cancellation.order == order)
    }

    /// Whether this order, which must be known and no test, is cancelled.
    pub fn is_cancelled(&self, id: OrderHash, return_window: Span) -> bool {
        self.order(id).is_some_and(|order| {
            !order.test && self.cancellation(id).is_some_and(|entry| entry.cancels(order, return_window))
        })
    }

    /// Whether no two entries of a kind have the same identity. Callers that insert entries ensure it.
    pub fn has_distinct_ids(&self) -> bool {
        are_distinct(&self.orders, |order| order.id.0)
            && are_distinct(&self.returns, |returned| returned.id.0)
            && are_distinct(&self.cancellations, |cancellation| cancellation.order.0)
    }

    /// The currency of every entry that has one.
    pub fn currencies(&self) -> impl Iterator<Item = Currency> + '_ {
        let orders = self.orders.iter().map(|order| order.currency);
        orders.chain(self.returns.iter().map(|returned| returned.currency))
    }

    /// Puts an order in its place, instead of the entry with its id.
    pub fn put_order(&mut self, order: Order) {
        self.orders.retain(|other| other.id != order.id);
        self.add_order(order);
    }

    /// Puts an order in its place whose id no entry has.
    pub fn add_order(&mut self, order: Order) {
        let key = (order.placed_at, order.id);
        if self.orders.last().is_none_or(|last| (last.placed_at, last.id) < key) {
            self.orders.push(order); // The usual case: orders come as they are placed.
            return;
        }
        let place = self.orders.partition_point(|other| (other.placed_at, other.id) < key);
        self.orders.insert(place, order);
    }

    /// Puts a return in its place, instead of the entry with its id.
    pub fn put_return(&mut self, returned: Return) {
        self.returns.retain(|other| other.id != returned.id);
        let key = (returned.returned_at, returned.id);
        let place = self.returns.partition_point(|other| (other.returned_at, other.id) < key);
        self.returns.insert(place, returned);
    }

    /// Puts a cancellation in its place, instead of the entry of the same order.
    pub fn put_cancellation(&mut self, cancellation: Cancellation) {
        self.cancellations.retain(|other| other.order != cancellation.order);
        let key = (cancellation.cancelled_at, cancellation.order);
        let place = self.cancellations.partition_point(|other| (other.cancelled_at, other.order) < key);
        self.cancellations.insert(place, cancellation);
    }
}

/// Nearly all customers have so few entries that comparing each with each is fastest.
fn are_distinct<T>(entries: &[T], id: impl Fn(&T) -> u64) -> bool {
    const FEW: usize = 16;
    if entries.len() <= FEW {
        let is_first = |index: usize| entries[..index].iter().all(|entry| id(entry) != id(&entries[index]));
        return (1..entries.len()).all(is_first);
    }
    let mut ids: Vec<u64> = entries.iter().map(id).collect();
    ids.sort_unstable();
    ids.windows(2).all(|pair| pair[0] != pair[1])
}

/// What became of one order. Money is in the shop's minor units; a test order is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OrderResult {
    pub value: ShopAmount,
    pub refunded: ShopAmount,
    /// What its cancellation took back beyond refunds.
    pub cancelled: ShopAmount,
    /// What was refunded beyond its value.
    pub excess: ShopAmount,
    /// At least one return is attributed to it.
    pub returned: bool,
    /// It is no test order.
    pub placed: bool,
    pub kept: bool,
}

impl OrderResult {
    pub const fn net(&self) -> ShopAmount {
        self.value.minus(self.refunded).minus(self.cancelled)
    }

    /// What the order adds to the totals of its time.
    pub fn totals(&self) -> OrderTotals {
        OrderTotals {
            placed: u32::from(self.placed),
            kept: u32::from(self.kept),
            returned_orders: u32::from(self.returned),
            gross: self.value,
            refunded: self.refunded,
            cancelled: self.cancelled,
            unattributed: ShopAmount::ZERO,
            excess: self.excess,
        }
    }
}

/// Where a return ended up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnTarget {
    /// It lowers net revenue only.
    Alone,
    /// It counts against the order at this index.
    Order(usize),
    /// It names the test order at this index and counts nowhere.
    Ignored(usize),
}

/// A refund that stands without an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnattributedRefund {
    pub at: Time,
    pub amount: ShopAmount,
    /// Index of the return it comes from.
    pub returned: usize,
}

/// The meaning of a ledger. Kept between customers to reuse its memory.
#[derive(Default, Debug)]
pub struct Attribution {
    /// One for each order.
    pub orders: Vec<OrderResult>,
    /// One for each return.
    pub targets: Vec<ReturnTarget>,
    pub unattributed: Vec<UnattributedRefund>,
    sums: Vec<Refunds>,
}

/// Refunds gathered for one order.
#[derive(Clone, Copy, Default, Debug)]
struct Refunds {
    /// In the order's currency as sent.
    same_currency: SentAmount,
    /// Of other currencies, each converted to the shop's.
    converted: ShopAmount,
    /// Index of the one return without an order id.
    unnamed: Option<usize>,
    any: bool,
    cancelled_at: Option<Time>,
}

impl Attribution {
    /// Derives everything anew from the ledger.
    pub fn derive(&mut self, ledger: &Ledger, shop: &Shop, return_window: Span) {
        if ledger.returns.is_empty() && ledger.cancellations.is_empty() {
            self.derive_untouched(ledger, shop);
            return;
        }
        self.gather(ledger, shop, return_window);
        self.orders.clear();
        for (order, refunds) in ledger.orders.iter().zip(&self.sums) {
            self.orders.push(if order.test { OrderResult::default() } else { figures(order, refunds, shop) });
        }
        self.settle_excess(ledger, shop);
        for figures in &mut self.orders {
            figures.kept = figures.net() > ShopAmount::ZERO; // A test order is worth nothing.
        }
    }

    /// The usual case: the same in a fraction of the work.
    fn derive_untouched(&mut self, ledger: &Ledger, shop: &Shop) {
        self.targets.clear();
        self.unattributed.clear();
        self.orders.clear();
        self.orders.extend(ledger.orders.iter().map(|order| {
            let value = if order.test { ShopAmount::ZERO } else { shop.convert(order.total, order.currency) };
            OrderResult {
                value,
                placed: !order.test,
                kept: value > ShopAmount::ZERO,
                ..OrderResult::default()
            }
        }));
    }

    /// Takes all returns in the order of time and finds for each the order that it belongs to.
    fn gather(&mut self, ledger: &Ledger, shop: &Shop, return_window: Span) {
        self.targets.clear();
        self.unattributed.clear();
        self.sums.clear();
        self.sums.resize(ledger.orders.len(), Refunds::default());
        for cancellation in &ledger.cancellations {
            let known = ledger.orders.iter().position(|order| order.id == cancellation.order);
            if let Some(index) = known
                && cancellation.cancels(&ledger.orders[index], return_window)
            {
                self.sums[index].cancelled_at = Some(cancellation.cancelled_at);
            }
        }
        for (index, returned) in ledger.returns.iter().enumerate() {
            let target = match returned.order {
                Some(order) => named_target(ledger, returned, order, return_window),
                None => self.unnamed_target(ledger, returned, return_window),
            };
            self.targets.push(target);
            match target {
                ReturnTarget::Order(order) => self.add_refund(ledger, shop, index, order),
                ReturnTarget::Alone => self.unattributed.push(UnattributedRefund {
                    at: returned.returned_at,
                    amount: shop.convert(returned.refund, returned.currency),
                    returned: index,
                }),
                ReturnTarget::Ignored(_) => {}
            }
        }
    }

    fn add_refund(&mut self, ledger: &Ledger, shop: &Shop, returned: usize, order: usize) {
        let sums = &mut self.sums[order];
        let entry = &ledger.returns[returned];
        if entry.currency == ledger.orders[order].currency {
            sums.same_currency += entry.refund;
        } else {
            sums.converted += shop.convert(entry.refund, entry.currency);
        }
        sums.any = true;
        if entry.order.is_none() {
            sums.unnamed = Some(returned);
        }
    }

    /// The last order that it may reverse as a whole, preferably one that was not cancelled before.
    fn unnamed_target(&self, ledger: &Ledger, returned: &Return, return_window: Span) -> ReturnTarget {
        let mut cancelled_before = None;
        let placed = ledger.orders.partition_point(|order| order.placed_at <= returned.returned_at);
        for index in (0..placed).rev() {
            let (order, sums) = (&ledger.orders[index], &self.sums[index]);
            if returned.returned_at.since(order.placed_at) > return_window {
                break;
            }
            let whole = order.total > SentAmount::ZERO
                && order.total == returned.refund
                && order.currency == returned.currency;
            if !whole || order.test || sums.any {
                continue;
            }
            if sums.cancelled_at.is_none_or(|cancelled_at| cancelled_at >= returned.returned_at) {
                return ReturnTarget::Order(index);
            }
            cancelled_before = cancelled_before.or(Some(index));
        }
        cancelled_before.map_or(ReturnTarget::Alone, ReturnTarget::Order)
    }

    /// What exceeds an order's value comes first from its unnamed return, which then stands alone with that part.
    fn settle_excess(&mut self, ledger: &Ledger, shop: &Shop) {
        for (figures, refunds) in self.orders.iter_mut().zip(&self.sums) {
            let Some(index) = refunds.unnamed.filter(|_| figures.excess > ShopAmount::ZERO) else {
                continue;
            };
            let returned = &ledger.returns[index];
            let part = figures.excess.min(shop.convert(returned.refund, returned.currency));
            figures.excess -= part;
            self.unattributed.push(UnattributedRefund {
                at: returned.returned_at,
                amount: part,
                returned: index,
            });
        }
    }
}

fn named_target(ledger: &Ledger, returned: &Return, order: OrderHash, return_window: Span) -> ReturnTarget {
    let Some(index) = ledger.orders.iter().position(|other| other.id == order) else {
        return ReturnTarget::Alone;
    };
    // A test order too far away may have left the ledger or not, so it must not matter.
    let touches = returned.returned_at.distance(ledger.orders[index].placed_at) <= return_window;
    match (touches, ledger.orders[index].test) {
        (true, true) => ReturnTarget::Ignored(index),
        (true, false) => ReturnTarget::Order(index),
        (false, _) => ReturnTarget::Alone,
    }
}

/// An order's figures, except whether it is kept. Refunds in the order's own currency are added up there and their sum is
/// converted once, as the total is: so a full refund takes back exactly the value, and a single one what its signal says.
fn figures(order: &Order, refunds: &Refunds, shop: &Shop) -> OrderResult {
    let value = shop.convert(order.total, order.currency);
    let sum = shop.convert(refunds.same_currency, order.currency) + refunds.converted;
    let refunded = sum.min(value);
    OrderResult {
        value,
        refunded,
        cancelled: if refunds.cancelled_at.is_some() { value - refunded } else { ShopAmount::ZERO },
        excess: sum - refunded,
        returned: refunds.any,
        placed: true,
        kept: false,
    }
}
