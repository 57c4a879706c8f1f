//! One customer: what is remembered, how a record changes it, and the facts that follow.
//!
//! Facts are a function of the set of accepted records, the clock and the settings: any permutation and any repetition of
//! the records gives the same facts, as long as none comes later than the lateness.

pub mod facts;
mod forgetting;
pub mod history;
pub mod ledger;
pub mod purchases;
pub mod summary;

use std::cmp::Reverse;

use super::customer::facts::unattributed_totals;
use super::customer::history::{History, LedgerOrders};
use super::customer::ledger::{
    Attribution, Cancellation, CancelledUpTo, Ledger, Order, Return, ReturnTarget,
};
use super::customer::summary::Summary;
use super::rules::memory::RuleMemory;
use super::rules::tiers::EmittedTier;
use super::segments::names::Segment;
use super::settings::{Settings, Shop};
use super::signals::ratio_signal::Armed;
use super::signals::signal::{OpenAlert, State, content_hash};
use super::values::event::{CancellationRecord, OrderRecord, Record, ReturnRecord, SkuVariety, WatchedSkus};
use super::values::time::Time;

/// A customer, unpacked. One is reused for all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    pub emitted: Emitted,
    pub skus: SkuVariety,
    pub summary: Summary,
    pub ledger: Ledger,
    pub rules: RuleMemory,
}

/// What was emitted about a customer so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emitted {
    pub lifecycle: EmittedLifecycle,
    pub first_order: bool,
    pub second_order: bool,
    pub armed: Armed,
    /// None without segments, before the first cut points, and of a prospect.
    pub segment: Option<Segment>,
    pub tier: EmittedTier,
}

/// The state that signals have reported, with the alerts that a later record may retract or end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmittedLifecycle {
    Prospect,
    Active,
    AtRisk(OpenAlert),
    /// A record may lead from active to lapsed at once: then there was no `at_risk`.
    Lapsed {
        lapsed: OpenAlert,
        at_risk: Option<OpenAlert>,
    },
}

impl EmittedLifecycle {
    pub const fn state(self) -> State {
        match self {
            Self::Prospect => State::Prospect,
            Self::Active => State::Active,
            Self::AtRisk(_) => State::AtRisk,
            Self::Lapsed { .. } => State::Lapsed,
        }
    }

    /// The `at_risk` that was emitted and neither retracted nor ended.
    pub const fn at_risk(self) -> Option<OpenAlert> {
        match self {
            Self::Prospect | Self::Active => None,
            Self::AtRisk(alert) => Some(alert),
            Self::Lapsed { at_risk, .. } => at_risk,
        }
    }

    /// The same of `lapsed`.
    pub const fn lapsed(self) -> Option<OpenAlert> {
        match self {
            Self::Prospect | Self::Active | Self::AtRisk(_) => None,
            Self::Lapsed { lapsed, .. } => Some(lapsed),
        }
    }
}

impl Emitted {
    /// Nothing was emitted yet.
    pub const NOTHING: Self = Self {
        lifecycle: EmittedLifecycle::Prospect,
        first_order: false,
        second_order: false,
        armed: Armed::ALL,
        segment: None,
        tier: EmittedTier::Unknown,
    };

    pub const fn state(&self) -> State {
        self.lifecycle.state()
    }
}

impl Default for Customer {
    fn default() -> Self {
        Self {
            emitted: Emitted::NOTHING,
            skus: SkuVariety::Unknown,
            summary: Summary::default(),
            ledger: Ledger::default(),
            rules: RuleMemory::default(),
        }
    }
}

/// What a record did to the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The very record was here before.
    Duplicate,
    /// The content is the known one; only its version is higher, and counts from now on.
    VersionRaised,
    /// Another record with this identity is known and wins.
    Superseded { conflicting: bool },
    /// The first record with this identity.
    New,
    /// It takes the place of another record with this identity.
    Replaced { conflicting: bool },
}

impl Change {
    /// Whether the record only repeats the entry that counts.
    pub fn is_repetition(self) -> bool {
        match self {
            Self::Duplicate | Self::VersionRaised => true,
            Self::Superseded { .. } | Self::New | Self::Replaced { .. } => false,
        }
    }

    /// Whether facts may differ by it.
    pub fn may_change_facts(self) -> bool {
        match self {
            Self::Duplicate | Self::VersionRaised | Self::Superseded { .. } => false,
            Self::New | Self::Replaced { .. } => true,
        }
    }
}

impl Customer {
    /// Nothing known, memory kept.
    pub fn clear(&mut self) {
        self.emitted = Emitted::NOTHING;
        self.skus = SkuVariety::Unknown;
        self.summary = Summary::default();
        self.ledger.clear();
        self.rules.clear();
    }

    /// Whether the ledger knows enough of this record to take it at any age: its very content, or, of an order, a version that
    /// is not lower. Such a record changes nothing but a version, or is decided among entries that have not folded.
    pub fn recognises(&self, record: &Record) -> bool {
        match record {
            Record::Order(order) => self
                .ledger
                .order(order.id)
                .is_some_and(|held| order.version <= held.version || held.has_content_of(&entry(order))),
            Record::Cancellation(cancellation) => self
                .ledger
                .cancellation(cancellation.order)
                .is_some_and(|held| held.cancelled_at == cancellation.cancelled_at),
            Record::Return(returned) => {
                self.ledger.returned(returned.id).is_some_and(|held| *held == return_entry(returned))
            }
        }
    }

    /// Whether a record repeats its order's content in a higher version.
    pub fn raises_version(&self, record: &Record) -> bool {
        match record {
            Record::Order(order) => self
                .ledger
                .order(order.id)
                .is_some_and(|held| held.version < order.version && held.has_content_of(&entry(order))),
            Record::Cancellation(cancellation) => {
                self.ledger.cancellation(cancellation.order).is_some_and(|held| {
                    held.cancelled_at == cancellation.cancelled_at
                        && held.up_to < CancelledUpTo::of(cancellation.version)
                })
            }
            Record::Return(_) => false,
        }
    }

    /// Whether a record that is not held lies in the part of the history that has folded.
    pub fn has_folded(&self, record: &Record) -> bool {
        match record {
            Record::Order(order) => {
                Some(order.placed_at) <= self.summary.newest_order_at && self.ledger.order(order.id).is_none()
            }
            Record::Return(returned) => {
                Some(returned.returned_at) <= self.summary.newest_return_at
                    && self.ledger.returned(returned.id).is_none()
            }
            Record::Cancellation(_) => false,
        }
    }

    /// Puts a record into the ledger.
    pub fn apply(&mut self, record: &Record, hash: fn(&[u8]) -> u64) -> Change {
        match record {
            Record::Order(order) => self.apply_order(order, hash),
            Record::Cancellation(cancellation) => self.apply_cancellation(cancellation),
            Record::Return(returned) => self.apply_return(returned, hash),
        }
    }

    fn apply_order(&mut self, record: &OrderRecord, hash: fn(&[u8]) -> u64) -> Change {
        self.skus = self.skus.and(record.skus);
        let order = entry(record);
        let Some(held) = self.ledger.order(order.id) else {
            self.ledger.add_order(order);
            return Change::New;
        };
        if *held == order {
            return Change::Duplicate;
        }
        if self.raises_version(&Record::Order(*record)) {
            self.ledger.put_order(order);
            return Change::VersionRaised;
        }
        let conflicting = held.version == order.version;
        let rank = |order: &Order| {
            let content = Record::Order(OrderRecord {
                id: order.id,
                version: order.version,
                placed_at: order.placed_at,
                total: order.total,
                currency: order.currency,
                test: order.test,
                skus: SkuVariety::Unknown,
                watched: WatchedSkus::NONE,
            });
            (order.version, order.placed_at, order.total, content_hash(&content, hash))
        };
        if rank(&order) < rank(held) {
            return Change::Superseded { conflicting };
        }
        self.ledger.put_order(order);
        Change::Replaced { conflicting }
    }

    fn apply_return(&mut self, record: &ReturnRecord, hash: fn(&[u8]) -> u64) -> Change {
        let returned = return_entry(record);
        let Some(held) = self.ledger.returned(returned.id) else {
            self.ledger.put_return(returned);
            return Change::New;
        };
        if *held == returned {
            return Change::Duplicate;
        }
        // Systems that state a return again at each step of it give each statement its own time: that is no conflict.
        let conflicting = Return { returned_at: held.returned_at, ..returned } != *held;
        let rank = |returned: &Return| {
            let content = Record::Return(ReturnRecord {
                id: returned.id,
                returned_at: returned.returned_at,
                refund: returned.refund,
                currency: returned.currency,
                order: returned.order,
            });
            (returned.refund, Reverse(returned.returned_at), content_hash(&content, hash))
        };
        if rank(&returned) < rank(held) {
            return Change::Superseded { conflicting };
        }
        self.ledger.put_return(returned);
        Change::Replaced { conflicting }
    }

    /// Of several cancellations the earliest time counts and the greatest version. Whether `order_cancelled` is emitted is decided
    /// afterwards.
    fn apply_cancellation(&mut self, record: &CancellationRecord) -> Change {
        let CancellationRecord { order, cancelled_at, version } = *record;
        let up_to = CancelledUpTo::of(version);
        let Some(held) = self.ledger.cancellation(order) else {
            self.ledger.put_cancellation(Cancellation { order, cancelled_at, up_to, emitted: false });
            return Change::New;
        };
        if (held.cancelled_at, held.up_to) == (cancelled_at, up_to) {
            return Change::Duplicate;
        }
        let change = match self.raises_version(&Record::Cancellation(*record)) {
            true => Change::VersionRaised,
            false => Change::Replaced { conflicting: false },
        };
        let both = Cancellation {
            cancelled_at: held.cancelled_at.min(cancelled_at),
            up_to: held.up_to.max(up_to),
            ..*held
        };
        if both == *held {
            return Change::Superseded { conflicting: false };
        }
        self.ledger.put_cancellation(both);
        change
    }

    /// Moves what can no longer change from the ledger into the summary; facts stay the same. `attribution` must be that of this
    /// ledger. Returns how many orders folded before their age; none if nothing folded.
    pub fn fold(
        &mut self,
        shop: &Shop,
        settings: &Settings,
        clock: Time,
        attribution: &Attribution,
    ) -> Option<u64> {
        if !self.may_fold(settings, clock) {
            return None;
        }
        let horizon = settings.ledger_horizon();
        let is_old = |time: Time| clock.since(time) > horizon;
        let folding = self.folding_orders(settings, attribution, is_old);
        let orders = LedgerOrders::new(&self.ledger, attribution);
        self.summary.add_orders(orders.first(folding), &shop.zone);
        let lone_surplus = self.ledger.returns.len().saturating_sub(settings.orders_max);
        let returns_leave: Vec<bool> = self
            .ledger
            .returns
            .iter()
            .zip(&attribution.targets)
            .enumerate()
            .map(|(index, (returned, target))| match target {
                ReturnTarget::Order(order) | ReturnTarget::Ignored(order) => *order < folding,
                ReturnTarget::Alone => is_old(returned.returned_at) || index < lone_surplus,
            })
            .collect();
        for unattributed in
            attribution.unattributed.iter().filter(|unattributed| returns_leave[unattributed.returned])
        {
            self.summary.block.add(&unattributed_totals(unattributed));
        }
        let early = self.ledger.orders[..folding].iter().filter(|order| !is_old(order.placed_at)).count();
        self.remove_folded(folding, &returns_leave, settings.orders_max, is_old);
        Some(early as u64)
    }

    /// Whether something may be folded: a cheap test that is false for nearly every customer.
    pub fn may_fold(&self, settings: &Settings, clock: Time) -> bool {
        let Ledger { orders, returns, cancellations } = &self.ledger;
        let (horizon, entries_max) = (settings.ledger_horizon(), settings.orders_max);
        let is_old = |time: Time| clock.since(time) > horizon;
        orders.first().is_some_and(|order| is_old(order.placed_at))
            || returns.first().is_some_and(|returned| is_old(returned.returned_at))
            || cancellations.first().is_some_and(|cancellation| is_old(cancellation.cancelled_at))
            || orders.len().max(returns.len()).max(cancellations.len()) > entries_max
    }

    /// How many of the oldest orders may leave. An order leaves together with its returns and its cancellation, and none before
    /// an older one: so no entry that stays refers to a folded order, and the rhythm can be continued.
    fn folding_orders(
        &self,
        settings: &Settings,
        attribution: &Attribution,
        is_old: impl Fn(Time) -> bool,
    ) -> usize {
        let orders = &self.ledger.orders;
        let mut settled: Vec<bool> = orders.iter().map(|order| is_old(order.placed_at)).collect();
        for (returned, target) in self.ledger.returns.iter().zip(&attribution.targets) {
            if let ReturnTarget::Order(order) | ReturnTarget::Ignored(order) = target {
                settled[*order] &= is_old(returned.returned_at);
            }
        }
        for cancellation in self.ledger.cancellations.iter().filter(|entry| !is_old(entry.cancelled_at)) {
            if let Some(order) = orders.iter().position(|order| order.id == cancellation.order) {
                settled[order] = false;
            }
        }
        let surplus = orders.len().saturating_sub(settings.orders_max);
        settled.iter().enumerate().take_while(|(index, settled)| **settled || *index < surplus).count()
    }

    fn remove_folded(
        &mut self,
        folding: usize,
        returns_leave: &[bool],
        entries_max: usize,
        is_old: impl Fn(Time) -> bool,
    ) {
        let Ledger { orders, returns, cancellations } = &mut self.ledger;
        let leaves = |cancellation: &Cancellation| match orders
            .iter()
            .position(|order| order.id == cancellation.order)
        {
            Some(order) => order < folding,
            None => is_old(cancellation.cancelled_at),
        };
        cancellations.retain(|cancellation| !leaves(cancellation));
        let surplus = cancellations.len().saturating_sub(entries_max);
        cancellations.drain(..surplus);
        orders.drain(..folding);
        let mut leaving = returns_leave.iter();
        let newest = &mut self.summary.newest_return_at;
        returns.retain(|returned| {
            let leaves = *leaving.next().expect("one flag for each return");
            if leaves {
                *newest = (*newest).max(Some(returned.returned_at));
            }
            !leaves
        });
    }
}

pub(in crate::domain) fn entry(record: &OrderRecord) -> Order {
    Order {
        id: record.id,
        placed_at: record.placed_at,
        version: record.version,
        total: record.total,
        currency: record.currency,
        test: record.test,
    }
}

fn return_entry(record: &ReturnRecord) -> Return {
    Return {
        id: record.id,
        returned_at: record.returned_at,
        refund: record.refund,
        currency: record.currency,
        order: record.order,
    }
}

#[cfg(test)]
mod tests;
