//! Every accepted record of one customer, kept for good in the order of arrival.
//!
//! Nothing is replaced or summed up: which record of an identity counts is found anew each time. What is old
//! is only *marked* as forgotten, because an old identity that comes again is no duplicate any more and
//! stands for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::figures::{Figures, OrderFigures};
use super::record::{Body, Cancellation, Order, Return};

/// An id's hash, and which life of that id: 0 is the one that is still known, others were forgotten.
pub type Identity = (u64, u32);

#[derive(Debug)]
struct Kept<T> {
    record: T,
    forgotten: u32,
}

#[derive(Debug, Default)]
pub struct Ledger {
    orders: Vec<Kept<Order>>,
    cancellations: Vec<Kept<Cancellation>>,
    returns: Vec<Kept<Return>>,
    /// Of all order records that were not refused, duplicates too.
    sku_hashes: BTreeSet<u64>,
    /// Orders that emit no further `order_cancelled`: it was emitted, or never will be.
    told_cancelled: BTreeSet<u64>,
    times_forgotten: u32,
}

/// What the cancellations of an order say together: the earliest time, and the greatest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    pub at: i64,
    pub up_to: u64,
}

/// What a record would be to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// The first of its identity.
    First,
    /// It counts from now on, instead of the one held.
    Replaces { conflict: bool },
    /// The one held goes on to count.
    Loses { conflict: bool },
    /// The same as the one held, but of a higher version.
    RaisesVersion,
    /// The same as the one held.
    Duplicate,
}

impl Ledger {
    pub fn novelty(&self, body: &Body) -> Novelty {
        match body {
            Body::Order(order) => match self.known_order(order.id_hash) {
                None => Novelty::First,
                Some(held) if held.rank() == order.rank() => Novelty::Duplicate,
                Some(held) if held.version < order.version && held.content() == order.content() => {
                    Novelty::RaisesVersion
                }
                Some(held) => {
                    let conflict = held.version == order.version;
                    if order.rank() > held.rank() {
                        Novelty::Replaces { conflict }
                    } else {
                        Novelty::Loses { conflict }
                    }
                }
            },
            Body::Return(goods) => match self.winning_returns().get(&(goods.id_hash, 0)) {
                None => Novelty::First,
                Some(held) if held.rank() == goods.rank() => Novelty::Duplicate,
                Some(held) => {
                    let conflict = !held.differs_only_in_time(goods);
                    if goods.rank() > held.rank() {
                        Novelty::Replaces { conflict }
                    } else {
                        Novelty::Loses { conflict }
                    }
                }
            },
            Body::Cancellation(gone) => match self.cancelled().get(&(gone.order_hash, 0)) {
                None => Novelty::First,
                Some(held) if held.at == gone.cancelled_at && held.up_to == gone.up_to() => {
                    Novelty::Duplicate
                }
                Some(held) if held.at == gone.cancelled_at && held.up_to < gone.up_to() => {
                    Novelty::RaisesVersion
                }
                Some(held) if held.at > gone.cancelled_at || held.up_to < gone.up_to() => {
                    Novelty::Replaces { conflict: false }
                }
                Some(_) => Novelty::Loses { conflict: false },
            },
            Body::Erasure => unreachable!("an erasure is not kept in a ledger"),
        }
    }

    /// Whether a record is taken at any age: one that says again what is known, and an order of no higher version
    /// than the one that counts.
    pub fn takes_at_any_age(&self, body: &Body) -> bool {
        match self.novelty(body) {
            Novelty::Duplicate | Novelty::RaisesVersion => true,
            Novelty::First => false,
            Novelty::Replaces { .. } | Novelty::Loses { .. } => match body {
                Body::Order(order) => {
                    self.known_order(order.id_hash).is_some_and(|held| order.version <= held.version)
                }
                Body::Cancellation(gone) => {
                    let known = self.cancelled().get(&(gone.order_hash, 0)).copied();
                    known.is_some_and(|held| held.at == gone.cancelled_at)
                }
                Body::Return(_) | Body::Erasure => false,
            },
        }
    }

    /// Whether a record that is not known lies at or before something that was forgotten of its kind.
    pub fn is_of_forgotten_times(&self, body: &Body) -> bool {
        match body {
            Body::Order(order) => {
                let forgotten = self.winning_orders().into_iter().filter(|(identity, _)| identity.1 > 0);
                self.known_order(order.id_hash).is_none()
                    && forgotten.map(|(_, gone)| gone.placed_at).max() >= Some(order.placed_at)
            }
            Body::Return(goods) => {
                let winners = self.winning_returns();
                let forgotten = winners.iter().filter(|(identity, _)| identity.1 > 0);
                !winners.contains_key(&(goods.id_hash, 0))
                    && forgotten.map(|(_, gone)| gone.returned_at).max() >= Some(goods.returned_at)
            }
            Body::Cancellation(_) | Body::Erasure => false,
        }
    }

    pub fn add(&mut self, body: &Body) {
        let forgotten = 0;
        match body {
            Body::Order(order) => self.orders.push(Kept { record: order.clone(), forgotten }),
            Body::Cancellation(gone) => self.cancellations.push(Kept { record: gone.clone(), forgotten }),
            Body::Return(goods) => self.returns.push(Kept { record: goods.clone(), forgotten }),
            Body::Erasure => unreachable!("an erasure is not kept in a ledger"),
        }
    }

    /// Notes the SKUs of an order record; says whether the smallest or the largest hash changed.
    pub fn add_goods(&mut self, body: &Body) -> bool {
        let before = self.goods();
        if let Body::Order(order) = body {
            self.sku_hashes.extend(&order.sku_hashes);
        }
        self.goods() != before
    }

    /// Whether to emit `order_cancelled` now: the order is cancelled for the first time, or its first cancellation came before it.
    /// A cancellation without version that takes nothing back when it comes never emits it.
    pub fn tells_cancelled(&mut self, id_hash: u64, order: Option<&OrderFigures>) -> bool {
        let Some(Cancelled { up_to, .. }) = self.cancelled().get(&(id_hash, 0)).copied() else {
            return false;
        };
        let is_told = self.told_cancelled.contains(&id_hash);
        let takes_back = order.is_none_or(OrderFigures::is_cancelled);
        if takes_back || up_to == u64::MAX {
            self.told_cancelled.insert(id_hash);
        }
        takes_back && !is_told
    }

    /// The smallest and the largest SKU hash.
    pub fn goods(&self) -> Option<(u64, u64)> {
        Some((*self.sku_hashes.first()?, *self.sku_hashes.last()?))
    }

    pub fn known_order(&self, id_hash: u64) -> Option<&Order> {
        let records = self.orders.iter().filter(|kept| kept.forgotten == 0 && kept.record.id_hash == id_hash);
        records.map(|kept| &kept.record).max_by_key(|order| order.rank())
    }

    /// When the newest order was placed that is no longer remembered by itself, as its winning record says.
    pub fn newest_forgotten_order(&self) -> Option<i64> {
        let winners = self.winning_orders();
        winners.iter().filter(|((_, forgotten), _)| *forgotten > 0).map(|(_, order)| order.placed_at).max()
    }

    /// Of each order id the record of the highest version; of conflicting ones the greatest.
    pub fn winning_orders(&self) -> BTreeMap<Identity, &Order> {
        let mut winners: BTreeMap<Identity, &Order> = BTreeMap::new();
        for Kept { record, forgotten } in &self.orders {
            let winner = winners.entry((record.id_hash, *forgotten)).or_insert(record);
            if record.rank() > winner.rank() {
                *winner = record;
            }
        }
        winners
    }

    /// Of each return id the greatest of conflicting records.
    pub fn winning_returns(&self) -> BTreeMap<Identity, &Return> {
        let mut winners: BTreeMap<Identity, &Return> = BTreeMap::new();
        for Kept { record, forgotten } in &self.returns {
            let winner = winners.entry((record.id_hash, *forgotten)).or_insert(record);
            if record.rank() > winner.rank() {
                *winner = record;
            }
        }
        winners
    }

    /// Of each order id what its cancellations say together.
    pub fn cancelled(&self) -> BTreeMap<Identity, Cancelled> {
        let mut cancelled: BTreeMap<Identity, Cancelled> = BTreeMap::new();
        for Kept { record, forgotten } in &self.cancellations {
            let (at, up_to) = (record.cancelled_at, record.up_to());
            let held = cancelled.entry((record.order_hash, *forgotten)).or_insert(Cancelled { at, up_to });
            *held = Cancelled { at: at.min(held.at), up_to: up_to.max(held.up_to) };
        }
        cancelled
    }

    /// Marks what may no longer change, and says whether that was anything. Oldest order first: one goes if
    /// it, what refers to it and its cancellation are all before `horizon`; the first that may not go stops
    /// it. What stands alone goes by its own age.
    pub fn forget(&mut self, figures: &Figures, horizon: i64) -> bool {
        let cancellations = self.cancelled();
        let may_go = |order: &&OrderFigures| {
            let mut returns = figures.returns.iter().filter(|goods| goods.order == Some(order.identity));
            order.placed_at < horizon
                && returns.all(|goods| goods.returned_at < horizon)
                && cancellations.get(&order.identity).is_none_or(|cancelled| cancelled.at < horizon)
        };
        let known_orders = || figures.orders.iter().filter(|order| order.identity.1 == 0);
        let gone_orders: BTreeSet<Identity> =
            known_orders().take_while(may_go).map(|order| order.identity).collect();
        let is_gone = |order: Identity, alone: bool, time: i64| match alone {
            true => time < horizon,
            false => gone_orders.contains(&order),
        };
        let gone_returns: BTreeSet<Identity> = figures
            .returns
            .iter()
            .filter(|goods| {
                is_gone(goods.order.unwrap_or_default(), goods.order.is_none(), goods.returned_at)
            })
            .map(|goods| goods.identity)
            .collect();
        let gone_cancellations: BTreeSet<Identity> = cancellations
            .iter()
            .filter(|(order, cancelled)| {
                is_gone(**order, !known_orders().any(|known| known.identity == **order), cancelled.at)
            })
            .map(|(order, _)| *order)
            .collect();
        for (id_hash, _) in &gone_cancellations {
            self.told_cancelled.remove(id_hash);
        }
        self.times_forgotten += 1;
        let mark = self.times_forgotten;
        mark_gone(&mut self.orders, &gone_orders, |order| order.id_hash, mark)
            | mark_gone(&mut self.returns, &gone_returns, |goods| goods.id_hash, mark)
            | mark_gone(&mut self.cancellations, &gone_cancellations, |gone| gone.order_hash, mark)
    }
}

fn mark_gone<T>(
    records: &mut [Kept<T>],
    gone: &BTreeSet<Identity>,
    id_hash: impl Fn(&T) -> u64,
    mark: u32,
) -> bool {
    let mut marked = false;
    for kept in records.iter_mut().filter(|kept| kept.forgotten == 0) {
        if gone.contains(&(id_hash(&kept.record), 0)) {
            kept.forgotten = mark;
            marked = true;
        }
    }
    marked
}
