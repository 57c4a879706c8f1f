//! The customers of a shop at an instant, as they were known then, and what they did in the time after it.

use crate::analysis::measures::Scored;
use crate::domain::engine::Engine;
use crate::domain::lapse::PurchaseHistory;
use crate::domain::lapse::model::Model;
use crate::domain::lapse::outlook::OrderValues;
use crate::domain::model::fit::{Row, ValueRow, grouped};
use crate::domain::settings::Shops;
use crate::domain::values::ids::{CustomerSlot, ShopIndex};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::time::{Day, Span, Time};
use crate::wire::hash;

/// A cut through a history.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// Records before it are known.
    pub(crate) at: Time,
    /// By [`CustomerAtCut::key_hash`]: everybody with a kept order.
    pub(crate) customers: Vec<CustomerAtCut>,
}

/// One customer at a cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CustomerAtCut {
    /// XXH3-64 of the customer key.
    pub(crate) key_hash: u64,
    pub(crate) shop: ShopIndex,
    pub(crate) history: PurchaseHistory,
    pub(crate) values: OrderValues,
    /// Days from the first purchase day to the cut.
    pub(crate) age_days: u32,
    /// Placed orders so far.
    placed: u32,
    pub(crate) after: After,
}

/// What a customer did in the horizon after a cut.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct After {
    /// Whether an order was placed, kept or not.
    pub(crate) placed: bool,
    /// Whether an order was placed that was still kept at the horizon's end.
    pub(crate) kept: bool,
    /// Purchase days that were added, less those that were lost by returns.
    pub(crate) purchase_days: i64,
    /// The same of kept net.
    pub(crate) net: ShopAmount,
}

impl Cut {
    /// The customers of an engine that stands right before `at`.
    pub(crate) fn take(engine: &mut Engine, shops: &Shops, at: Time) -> Self {
        let slots: Vec<CustomerSlot> = engine.customers().collect();
        let mut customers: Vec<CustomerAtCut> =
            slots.into_iter().filter_map(|slot| CustomerAtCut::new(engine, shops, slot, at)).collect();
        customers.sort_unstable_by_key(|customer| customer.key_hash);
        Self { at, customers }
    }

    /// Adds what happened until an engine's clock, right before the horizon's end.
    pub(crate) fn add_outcomes(&mut self, engine: &mut Engine, end: Time) {
        let later = Later::of_all(engine, end);
        for customer in &mut self.customers {
            let Ok(index) = later.binary_search_by_key(&customer.key_hash, |later| later.key_hash) else {
                continue; // Erased, or nothing of it is kept any more.
            };
            let later = &later[index];
            customer.after = After {
                placed: later.placed > customer.placed,
                kept: later.history.is_some_and(|history| history.last_order_at >= self.at),
                purchase_days: i64::from(later.values.purchase_days)
                    - i64::from(customer.values.purchase_days),
                net: later.values.net - customer.values.net,
            };
        }
    }

    /// What a model is fitted on.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let row = |customer: &CustomerAtCut| Row {
            repeat_days: customer.history.repeat_days,
            span_days: customer.history.span_days.unsigned_abs(),
            age_days: customer.age_days.max(customer.history.span_days.unsigned_abs()),
            customers: 1,
        };
        grouped(self.customers.iter().map(row).collect())
    }

    /// Customers with at least two purchase days of a positive value.
    pub(crate) fn value_rows(&self) -> Vec<ValueRow> {
        let repeaters = self.customers.iter().filter(|customer| customer.values.purchase_days > 1);
        let rows = repeaters.map(|customer| {
            let count = f64::from(customer.values.purchase_days);
            ValueRow { count, mean: customer.values.net.minor() as f64 / count }
        });
        rows.filter(|row| row.mean > 0.0).collect()
    }

    /// The probability of an order within `horizon` by one model for all, and whether one was placed.
    pub(crate) fn scored(&self, model: &Model, horizon: Span) -> Vec<Scored> {
        let days = horizon.as_millis() as f64 / Span::DAY.as_millis() as f64;
        let scored = |customer: &CustomerAtCut| Scored {
            score: model.corrected_probability(&customer.history, customer.values, self.at, days),
            ordered: customer.after.placed,
        };
        self.customers.iter().map(scored).collect()
    }
}

/// A customer at a horizon's end.
struct Later {
    key_hash: u64,
    history: Option<PurchaseHistory>,
    values: OrderValues,
    placed: u32,
}

impl Later {
    /// By key hash.
    fn of_all(engine: &mut Engine, at: Time) -> Vec<Self> {
        let slots: Vec<CustomerSlot> = engine.customers().collect();
        let of = |slot| {
            let totals = engine.totals(slot, at.just_before());
            Self {
                key_hash: hash::hash(engine.key(slot)),
                history: totals.kept.history(),
                values: totals.kept.order_values(),
                placed: totals.by_window[0].placed,
            }
        };
        let mut all: Vec<Self> = slots.into_iter().map(of).collect();
        all.sort_unstable_by_key(|later| later.key_hash);
        all
    }
}

impl CustomerAtCut {
    /// None without a kept order.
    fn new(engine: &mut Engine, shops: &Shops, slot: CustomerSlot, at: Time) -> Option<Self> {
        let shop = shops.of_key(engine.key(slot))?;
        let totals = engine.totals(slot, at.just_before());
        let history = totals.kept.history()?;
        let Day(today) = shops.get(shop).zone.days().of(at);
        Some(Self {
            key_hash: hash::hash(engine.key(slot)),
            shop,
            history,
            values: totals.kept.order_values(),
            age_days: u32::try_from(today - totals.kept.days.first).unwrap_or(0),
            placed: totals.by_window[0].placed,
            after: After::default(),
        })
    }
}
