//! One customer: the records, the facts that follow from them, and the emitted state.

use serde_json::{Map, Value, json};

use super::config::Settings;
use super::facts::{Life, Name, profile};
use super::figures::{Figures, OrderFigures};
use super::ledger::{Ledger, Novelty};
use super::number::DAY_MS;
use super::ratios::RETURN_RATE_DAYS;
use super::record::Record;
use super::segments::{Segment, boundaries};
use super::signal::{Told, View};

#[derive(Debug)]
pub struct Customer {
    pub key: String,
    pub customer_id: String,
    /// Index of its shop.
    pub shop: usize,
    pub ledger: Ledger,
    pub figures: Figures,
    life: Life,
    told: Told,
    /// The clock at the last change; none before the first.
    pub as_of: Option<i64>,
    /// The instant that is set for it.
    pub timer: Option<i64>,
}

/// What a record did to a customer.
pub struct Heard {
    pub novelty: Novelty,
    /// The profile is published.
    pub changed: bool,
    pub signals: Vec<Value>,
}

impl Customer {
    pub fn new(key: String, customer_id: String, shop: usize) -> Customer {
        Customer {
            key,
            customer_id,
            shop,
            ledger: Ledger::default(),
            figures: Figures::default(),
            life: Life::default(),
            told: Told::default(),
            as_of: None,
            timer: None,
        }
    }

    /// Takes a record that is not refused; the clock has moved already. One that raises a version and changes no fact
    /// is a duplicate.
    pub fn hear(&mut self, record: &Record, clock: i64, settings: &Settings) -> Heard {
        let novelty = self.ledger.novelty(&record.body);
        let goods_changed = self.ledger.add_goods(&record.body);
        let order_hash = record.body.order_hash();
        let facts = |customer: &Customer| {
            let order = order_hash.and_then(|id_hash| customer.figures.order((id_hash, 0)));
            let is_cancelled = order.is_some_and(OrderFigures::is_cancelled);
            (customer.profile_at(clock, settings), is_cancelled)
        };
        let facts_before = facts(self);
        if novelty != Novelty::Duplicate {
            self.ledger.add(&record.body);
            self.recompute(settings);
        }
        let novelty = match novelty {
            Novelty::RaisesVersion if facts(self) == facts_before => Novelty::Duplicate,
            Novelty::RaisesVersion => Novelty::Replaces { conflict: false },
            Novelty::First | Novelty::Replaces { .. } | Novelty::Loses { .. } | Novelty::Duplicate => novelty,
        };
        let signals = match novelty {
            Novelty::First | Novelty::Replaces { .. } => {
                let first = novelty == Novelty::First;
                let cancelled =
                    order_hash.is_some_and(|id| self.ledger.tells_cancelled(id, self.figures.order((id, 0))));
                self.tell(clock, settings, |told, view| told.hear_record(view, record, first, cancelled))
            }
            Novelty::RaisesVersion | Novelty::Loses { .. } | Novelty::Duplicate => Vec::new(),
        };
        let changed = goods_changed || matches!(novelty, Novelty::First | Novelty::Replaces { .. });
        if changed {
            self.touch(clock, settings);
        }
        Heard { novelty, changed, signals }
    }

    /// The clock stands at an instant at which the customer's timer is due. Returns whether the profile is
    /// published, and the signals: silence first, then those of an expiry.
    pub fn hear_timer(&mut self, instant: i64, settings: &Settings) -> (bool, Vec<Value>) {
        let mut signals = Vec::new();
        let crosses_deadline = self.life.name_at(instant) != self.told.name;
        if crosses_deadline {
            signals = self.tell(instant, settings, Told::hear_deadline);
            self.touch(instant, settings);
        }
        let segment = self.told.segment;
        signals.extend(self.tell(instant, settings, Told::hear_boundary));
        let crosses_boundary = self.told.segment != segment;
        if crosses_boundary {
            self.touch(instant, settings);
        }
        let tier = self.told.tier;
        if self.expiries().any(|expiry| expiry == instant) {
            signals.extend(self.tell(instant, settings, Told::hear_expiry));
        }
        let changes_tier = self.told.tier != tier;
        if changes_tier {
            self.touch(instant, settings);
        }
        (crosses_deadline || crosses_boundary || changes_tier, signals)
    }

    /// The first instant after the clock at which the customer's name, the score of silence or the year's refunds change by
    /// themselves.
    pub fn next_timer(&self, clock: i64, settings: &Settings) -> Option<i64> {
        let deadlines = self.life.deadlines().into_iter();
        let deadlines = deadlines.flat_map(|deadlines| [deadlines.at_risk_at, deadlines.lapsed_at]);
        let basis = self.life.segment_basis(&settings.shops[self.shop], settings);
        let boundaries = basis.into_iter().flat_map(|(cuts, bought)| boundaries(cuts, bought.last_at));
        deadlines.chain(boundaries).chain(self.expiries()).filter(|instant| *instant > clock).min()
    }

    pub fn name_at(&self, clock: i64) -> Name {
        self.life.name_at(clock)
    }

    pub fn told_name(&self) -> Name {
        self.told.name
    }

    pub fn profile_at(&self, clock: i64, settings: &Settings) -> Value {
        let shop = &settings.shops[self.shop];
        let mut fields = Map::new();
        fields.insert("customer_id".to_owned(), json!(self.customer_id));
        fields.insert("store_id".to_owned(), json!(shop.store_id));
        fields.extend(profile(&self.figures, &self.life, self.ledger.goods(), &shop.currency, clock));
        let newest_forgotten = self.ledger.newest_forgotten_order();
        let is_truncated =
            newest_forgotten.is_some_and(|placed_at| placed_at > clock - RETURN_RATE_DAYS * DAY_MS);
        fields.insert("truncated".to_owned(), json!(is_truncated));
        if settings.segments.is_some() {
            let basis = self.life.segment_basis(shop, settings);
            let segment = basis.map(|(cuts, bought)| Segment::of(cuts, bought, clock).json());
            fields.insert("segment".to_owned(), json!(segment));
        }
        let kept = &self.life.kept;
        if let Some(points) = &settings.points {
            let net = kept.iter().map(|order| order.net).sum();
            let points = points.of(kept.len(), net, &shop.currency);
            fields.insert("points".to_owned(), json!(u64::try_from(points).expect("from 0 on")));
        }
        if let Some(tiers) = &settings.tiers {
            // Of a customer without a kept order none is left.
            let reached =
                if kept.is_empty() { 0 } else { tiers.reached(self.told.tier, &self.figures, shop, clock) };
            fields.insert("tier".to_owned(), json!(tiers.name(reached)));
        }
        Value::Object(fields)
    }

    fn expiries(&self) -> impl Iterator<Item = i64> {
        let orders =
            self.figures.orders.iter().filter(|order| order.is_placed()).map(|order| order.placed_at);
        let refunds = self.figures.unattributed().map(|(returned_at, _)| returned_at);
        orders.chain(refunds).map(|time| time + RETURN_RATE_DAYS * DAY_MS)
    }

    fn tell(
        &mut self,
        clock: i64,
        settings: &Settings,
        say: impl FnOnce(&mut Told, &View<'_>) -> Vec<Value>,
    ) -> Vec<Value> {
        let view = View {
            key: &self.key,
            customer_id: &self.customer_id,
            settings,
            shop: &settings.shops[self.shop],
            figures: &self.figures,
            life: &self.life,
            clock,
        };
        say(&mut self.told, &view)
    }

    fn touch(&mut self, clock: i64, settings: &Settings) {
        self.as_of = Some(clock);
        let horizon = clock - settings.return_window_ms - settings.lateness_ms;
        if self.ledger.forget(&self.figures, horizon) {
            self.recompute(settings);
        }
    }

    fn recompute(&mut self, settings: &Settings) {
        let shop = &settings.shops[self.shop];
        self.figures = Figures::of(&self.ledger, shop, settings);
        self.life = Life::of(&self.figures, shop, settings);
    }
}
