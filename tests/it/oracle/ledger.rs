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
    times_forgotten: u32,
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
            Body::Cancellation(gone) => match self.earliest_cancellations().get(&(gone.order_hash, 0)) {
                None => Novelty::First,
                Some(held) if *held == gone.cancelled_at => Novelty::Duplicate,
                Some(held) if gone.cancelled_at < *held => Novelty::Replaces { conflict: false },
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
                Body::Cancellation(_) | Body::Return(_) | Body::Erasure => false,
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

    /// The smallest and the largest SKU hash.
    pub fn goods(&self) -> Option<(u64, u64)> {
        Some((*self.sku_hashes.first()?, *self.sku_hashes.last()?))
    }

    pub fn known_order(&self, id_hash: u64) -> Option<&Order> {
        let records = self.orders.iter().filter(|kept| kept.forgotten == 0 && kept.record.id_hash == id_hash);
        records.map(|kept| &kept.record).max_by_key(|order| order.rank())
    }

    /// When the newest order was placed that is no longer remembered by itself.
    pub fn newest_forgotten_order(&self) -> Option<i64> {
        self.orders.iter().filter(|kept| kept.forgotten > 0).map(|kept| kept.record.placed_at).max()
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

    /// Of each order id the time of its earliest cancellation.
    pub fn earliest_cancellations(&self) -> BTreeMap<Identity, i64> {
        let mut earliest: BTreeMap<Identity, i64> = BTreeMap::new();
        for Kept { record, forgotten } in &self.cancellations {
            let time = earliest.entry((record.order_hash, *forgotten)).or_insert(record.cancelled_at);
            *time = record.cancelled_at.min(*time);
        }
        earliest
    }

    /// Marks what may no longer change, and says whether that was anything. Oldest order first: one goes if
    /// it, what refers to it and its cancellation are all before `horizon`; the first that may not go stops
    /// it. What stands alone goes by its own age.
    pub fn forget(&mut self, figures: &Figures, horizon: i64) -> bool {
        let cancellations = self.earliest_cancellations();
        let may_go = |order: &&OrderFigures| {
            let mut returns = figures.returns.iter().filter(|goods| goods.order == Some(order.identity));
            order.placed_at < horizon
                && returns.all(|goods| goods.returned_at < horizon)
                && cancellations.get(&order.identity).is_none_or(|cancelled_at| *cancelled_at < horizon)
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
            .filter(|(order, time)| {
                is_gone(**order, !known_orders().any(|known| known.identity == **order), **time)
            })
            .map(|(order, _)| *order)
            .collect();
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
