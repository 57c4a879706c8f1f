//! What each order of a customer is worth after all that came back, derived from the full set of records.

use super::config::{Settings, ShopSettings};
use super::ledger::{Identity, Ledger};
use super::record::{Order, Return};

/// One order. Money is in minor units of the shop's currency.
#[derive(Debug)]
pub struct OrderFigures {
    pub identity: Identity,
    pub placed_at: i64,
    pub test: bool,
    pub value: i128,
    /// Returns attributed to it; what they gave back, at most the value; what they gave back beyond it.
    pub returns: u64,
    pub refunded: i128,
    pub excess: i128,
    /// By a cancellation at most the return window away, of at least the order's version.
    pub cancelled_at: Option<i64>,
}

impl OrderFigures {
    /// What a cancellation takes back, refunds aside.
    pub fn cancelled(&self) -> i128 {
        if self.cancelled_at.is_some() { self.value - self.refunded } else { 0 }
    }

    pub fn is_cancelled(&self) -> bool {
        !self.test && self.cancelled_at.is_some()
    }

    pub fn net(&self) -> i128 {
        self.value - self.refunded - self.cancelled()
    }

    pub fn is_placed(&self) -> bool {
        !self.test
    }

    pub fn is_kept(&self) -> bool {
        !self.test && self.cancelled_at.is_none() && self.net() > 0
    }
}

/// One return.
#[derive(Debug)]
pub struct ReturnFigures {
    pub identity: Identity,
    pub returned_at: i64,
    /// The order that it touches.
    pub order: Option<Identity>,
    /// It touches a test order.
    pub ignored: bool,
    /// What stands without an order, in minor units of the shop's currency.
    pub unattributed: i128,
}

/// Orders by (time, id hash), returns by (time, id hash).
#[derive(Debug, Default)]
pub struct Figures {
    pub orders: Vec<OrderFigures>,
    pub returns: Vec<ReturnFigures>,
}

impl Figures {
    pub fn of(ledger: &Ledger, shop: &ShopSettings, settings: &Settings) -> Figures {
        let orders = dated_orders(ledger, settings.return_window_ms);
        let returns = attributed_returns(ledger, &orders, settings.return_window_ms);
        let mut figures = Figures {
            orders: orders.iter().map(|dated| value_of(dated, shop)).collect(),
            returns: returns.iter().map(|attributed| standing_of(attributed, &orders, shop)).collect(),
        };
        for (index, dated) in orders.iter().enumerate().filter(|(_, dated)| !dated.order.test) {
            let own: Vec<usize> =
                (0..returns.len()).filter(|goods| returns[*goods].order == Some(index)).collect();
            let refunds: Vec<&Return> = own.iter().map(|goods| returns[*goods].goods).collect();
            let order = &mut figures.orders[index];
            let given_back = given_back(dated.order, &refunds, shop);
            order.returns = refunds.len() as u64;
            order.refunded = given_back.min(order.value);
            // What exceeds the value is first taken from the unnamed return, which then stands alone for that
            // part.
            order.excess = (given_back - order.value).max(0);
            for goods in own.into_iter().filter(|goods| returns[*goods].goods.order.is_none()) {
                let refund = shop.convert(returns[goods].goods.refund, &returns[goods].goods.currency);
                let part = order.excess.min(refund);
                order.excess -= part;
                figures.returns[goods].unattributed = part;
            }
        }
        figures
    }

    pub fn order(&self, identity: Identity) -> Option<&OrderFigures> {
        self.orders.iter().find(|order| order.identity == identity)
    }

    pub fn goods_returned(&self, identity: Identity) -> Option<&ReturnFigures> {
        self.returns.iter().find(|goods| goods.identity == identity)
    }

    /// Refunds that stand without an order: when, and how much.
    pub fn unattributed(&self) -> impl Iterator<Item = (i64, i128)> {
        self.returns
            .iter()
            .map(|goods| (goods.returned_at, goods.unattributed))
            .filter(|(_, refund)| *refund > 0)
    }
}

struct Dated<'a> {
    identity: Identity,
    order: &'a Order,
    cancelled_at: Option<i64>,
}

fn dated_orders(ledger: &Ledger, return_window_ms: i64) -> Vec<Dated<'_>> {
    let cancellations = ledger.cancelled();
    let mut orders = Vec::new();
    for (identity, order) in ledger.winning_orders() {
        let effective = cancellations.get(&identity).filter(|cancelled| {
            (cancelled.at - order.placed_at).abs() <= return_window_ms && order.version <= cancelled.up_to
        });
        orders.push(Dated { identity, order, cancelled_at: effective.map(|cancelled| cancelled.at) });
    }
    orders.sort_by_key(|dated| (dated.order.placed_at, dated.identity));
    orders
}

struct Attributed<'a> {
    identity: Identity,
    goods: &'a Return,
    /// Index of the order that it touches.
    order: Option<usize>,
}

fn attributed_returns<'a>(
    ledger: &'a Ledger,
    orders: &[Dated<'_>],
    return_window_ms: i64,
) -> Vec<Attributed<'a>> {
    let mut returns: Vec<(Identity, &Return)> = ledger.winning_returns().into_iter().collect();
    returns.sort_by_key(|(identity, goods)| (goods.returned_at, *identity));
    let mut attributed: Vec<Attributed<'a>> = Vec::new();
    for (identity, goods) in returns {
        let order = match &goods.order {
            Some(named) => orders.iter().position(|dated| {
                dated.identity == (named.id_hash, identity.1)
                    && (dated.order.placed_at - goods.returned_at).abs() <= return_window_ms
            }),
            None => {
                let taken = |index| attributed.iter().any(|earlier| earlier.order == Some(index));
                let candidates = (0..orders.len()).rev().filter(|index| {
                    reverses(goods, orders[*index].order, return_window_ms) && !taken(*index)
                });
                let candidates: Vec<usize> = candidates.collect();
                let cancelled_before =
                    |index: &usize| orders[*index].cancelled_at.is_some_and(|time| time < goods.returned_at);
                let standing = candidates.iter().find(|index| !cancelled_before(index));
                standing.or(candidates.first()).copied()
            }
        };
        attributed.push(Attributed { identity, goods, order });
    }
    attributed
}

/// Whether a return without an order id may be the reversal of an order.
fn reverses(goods: &Return, order: &Order, return_window_ms: i64) -> bool {
    !order.test
        && order.placed_at <= goods.returned_at
        && goods.returned_at <= order.placed_at + return_window_ms
        && order.total > 0
        && order.total == goods.refund
        && order.currency == goods.currency
}

fn value_of(dated: &Dated<'_>, shop: &ShopSettings) -> OrderFigures {
    OrderFigures {
        identity: dated.identity,
        placed_at: dated.order.placed_at,
        test: dated.order.test,
        value: shop.convert(dated.order.total, &dated.order.currency),
        returns: 0,
        refunded: 0,
        excess: 0,
        cancelled_at: dated.cancelled_at,
    }
}

fn standing_of(attributed: &Attributed<'_>, orders: &[Dated<'_>], shop: &ShopSettings) -> ReturnFigures {
    let order = attributed.order.map(|index| &orders[index]);
    ReturnFigures {
        identity: attributed.identity,
        returned_at: attributed.goods.returned_at,
        order: order.map(|dated| dated.identity),
        ignored: order.is_some_and(|dated| dated.order.test),
        unattributed: match order {
            None => shop.convert(attributed.goods.refund, &attributed.goods.currency),
            Some(_) => 0,
        },
    }
}

/// All that an order's returns gave back. Refunds in the order's own currency are summed there, and the sum is converted
/// once; others are converted one by one.
fn given_back(order: &Order, refunds: &[&Return], shop: &ShopSettings) -> i128 {
    let (same, others): (Vec<&Return>, Vec<&Return>) =
        refunds.iter().partition(|goods| goods.currency == order.currency);
    let same: i128 = same.iter().map(|goods| goods.refund).sum();
    let others: i128 = others.iter().map(|goods| shop.convert(goods.refund, &goods.currency)).sum();
    shop.convert(same, &order.currency) + others
}
