//! The firings of products: planned from the order on that holds the goods, and taken back with it.
//!
//! ```text
//!  order with watched goods ─► planned at placed_at + life − lead ─► due
//!                                 │ a later order of the same goods: planned anew
//!                                 │ the order is lost, or a new version lists other goods: taken back
//! ```
//! A planned firing names its order. As long as the ledger holds that order, the ledger tells when it was placed and whether it is
//! kept, in its latest version. An order that has folded is older than each one that is still accepted, and can no longer change.

use super::expression::values::TriggerValues;
use super::firing::{RuleRun, send_at};
use super::memory::PlannedFiring;
use super::rule::{ProductLife, Rule};
use crate::domain::customer::ledger::{Attribution, Ledger};
use crate::domain::signals::rule::{Occasion, RuleAction};
use crate::domain::values::event::{OrderRecord, SkuVariety};
use crate::domain::values::ids::{OrderHash, SkuHash};

/// The orders of a customer after a record was applied; see the module.
#[derive(Clone, Copy)]
pub struct GoodsOrders<'l> {
    ledger: &'l Ledger,
    attribution: &'l Attribution,
}

impl<'l> GoodsOrders<'l> {
    /// `attribution` is that of the ledger.
    pub const fn new(ledger: &'l Ledger, attribution: &'l Attribution) -> Self {
        Self { ledger, attribution }
    }

    /// Whether nothing of an order's value remains: it was cancelled, all of it was refunded, or it is a test.
    pub fn is_lost(&self, order: OrderHash) -> bool {
        self.index(order).is_some_and(|index| !self.attribution.orders[index].kept)
    }

    /// Takes back what is planned for goods of lost orders, and for goods that a new version of their order no longer lists.
    pub fn take_back(&self, run: &mut RuleRun<'_>, new_version: Option<&OrderRecord>) {
        let watched = run.subject.book.watched();
        let is_taken_off = |order: OrderHash, sku: SkuHash| {
            let version = new_version.filter(|version| version.id == order);
            version.is_some_and(|version| is_taken_off(version, sku, watched))
        };
        let is_lost = |firing: &PlannedFiring| {
            firing
                .occasion
                .product()
                .is_some_and(|(order, sku)| self.is_lost(order) || is_taken_off(order, sku))
        };
        while let Some(firing) = run.memory.take_planned(is_lost) {
            run.announce(&firing, RuleAction::Cancelled);
        }
    }

    /// Plans firings for the goods of a kept order that was accepted for the first time.
    pub fn plan(&self, run: &mut RuleRun<'_>, order: &OrderRecord) {
        let (book, zone) = (run.subject.book, run.subject.zone);
        run.counts.no_room += u64::from(order.watched.left_out());
        let places = order.watched.places().iter();
        let skus = places.filter_map(|place| book.watched().get(usize::from(*place)).copied().map(SkuHash));
        for rule in book.set().rules().iter().filter(|rule| rule.enabled) {
            let Some(product) = rule.product() else { continue };
            for life in skus.clone().filter_map(|sku| product.life(sku)) {
                let (currency, sku) = (run.values.currency, Some(&*life.sku));
                let values = TriggerValues { signal: None, currency, sku };
                if !rule.when.holds(|field| values.value(field)) || !self.is_latest(run, rule, life, order) {
                    continue;
                }
                let due_at = send_at(rule, order.placed_at.plus(product.wait(life)).plus(rule.after), zone);
                // The cool-down of a firing that may lie far ahead is asked at its own instant.
                if run.is_cooling(rule, due_at.max(run.clock)) {
                    run.count(rule.id(), |unfired| unfired.cooling += 1);
                } else {
                    run.plan(rule, Occasion::Product { order: order.id, sku: life.sku_hash }, due_at);
                }
            }
        }
    }

    /// Whether no firing is planned for the same goods of a later order. One of an earlier order is taken back.
    fn is_latest(&self, run: &mut RuleRun<'_>, rule: &Rule, life: &ProductLife, order: &OrderRecord) -> bool {
        let id = rule.id();
        let planned_order = |firing: &PlannedFiring| {
            let (planned_order, sku) = firing.occasion.product()?;
            (firing.rule == id && sku == life.sku_hash).then_some(planned_order)
        };
        let Some(planned) = run.memory.planned().iter().find_map(planned_order) else { return true };
        if !self.is_later(order, planned) {
            return false;
        }
        let replaced = run.memory.take_planned(|firing| planned_order(firing).is_some());
        replaced.into_iter().for_each(|firing| run.announce(&firing, RuleAction::Cancelled));
        true
    }

    fn is_later(&self, order: &OrderRecord, planned: OrderHash) -> bool {
        let planned = self.index(planned).map(|index| &self.ledger.orders[index]);
        planned.is_none_or(|planned| (order.placed_at, order.id) > (planned.placed_at, planned.id))
    }

    fn index(&self, order: OrderHash) -> Option<usize> {
        self.ledger.orders.iter().position(|held| held.id == order)
    }
}

/// The goods that a firing waits for, if its rule still watches them.
pub(super) fn life_of(rule: &Rule, occasion: Occasion) -> Option<&ProductLife> {
    occasion.product().and_then(|(_, sku)| rule.product()?.life(sku))
}

/// Whether a version of an order lists its goods, and this SKU is not among them. Of a SKU that no rule watches it is not known.
fn is_taken_off(version: &OrderRecord, sku: SkuHash, watched: &[u64]) -> bool {
    let Ok(place) = watched.binary_search(&sku.0) else { return false };
    let is_listed = version.watched.places().iter().any(|listed| usize::from(*listed) == place);
    version.skus != SkuVariety::Unknown && version.watched.left_out() == 0 && !is_listed
}
