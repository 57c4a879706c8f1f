//! The count of all customers of a partition as of an instant, taken in slices between which the engine may go on.

use super::as_of::{AsOf, AsOfReader};
use super::{Engine, Progress};
use crate::domain::daily_count::outcomes::CountedFirings;
use crate::domain::daily_count::sample::{
    EARLIER_DAYS, EarlierRow, SampleRow, SampledCustomer, ordered_since, sample_hash,
};
use crate::domain::daily_count::{CountedCustomer, DailyCount, rfm_values};
use crate::domain::segments::counts::SegmentCounts;
use crate::domain::segments::cuts::CutPoints;
use crate::domain::settings::Settings;
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::{Span, Time};

/// A count that is being taken, of each shop.
pub struct DailyCounting {
    as_of: AsOf,
    /// Of what happened earlier, ledgers may hold parts only.
    held_from: Time,
    slots_done: usize,
    reader: AsOfReader,
    /// By shop.
    counts: Vec<DailyCount>,
}

impl DailyCounting {
    /// Nothing is counted yet. `clock` is the partition's, `sample_size` customers become rows of the sample.
    pub fn new(settings: &Settings, clock: Time, as_of: AsOf, sample_size: usize) -> Self {
        let held_from = clock.minus(settings.ledger_horizon());
        let counts = settings
            .shops
            .indexes()
            .map(|shop| DailyCount::new(as_of.at, held_from, &settings.shops.get(shop).zone, sample_size));
        let counts = counts.collect();
        Self { as_of, held_from, slots_done: 0, reader: AsOfReader::default(), counts }
    }

    /// By shop; whole once [`Engine::count`] has said so.
    pub fn into_counts(self) -> Vec<DailyCount> {
        self.counts
    }
}

impl Engine {
    /// Counts up to so many customers more.
    pub fn count(&self, counting: &mut DailyCounting, customers_max: usize) -> Progress {
        for _ in 0..customers_max {
            if counting.slots_done >= self.store.slots_len() {
                return Progress::Done;
            }
            let slot = counting.slots_done;
            counting.slots_done += 1;
            if !self.store.packed_at(slot).is_empty() {
                let slot = CustomerSlot(u32::try_from(slot).expect("slots have 32 bits"));
                self.count_customer(slot, counting);
            }
        }
        if counting.slots_done >= self.store.slots_len() { Progress::Done } else { Progress::More }
    }

    /// The whole count at once.
    pub fn counted(&self, as_of: AsOf, sample_size: usize) -> Vec<DailyCount> {
        let mut counting =
            DailyCounting::new(&self.settings, self.clock.unwrap_or(as_of.at), as_of, sample_size);
        self.count(&mut counting, usize::MAX);
        counting.into_counts()
    }

    /// Customers by segment, by shop, with the cut points of each shop.
    pub fn segments(&self, as_of: AsOf, cuts: &[CutPoints]) -> Vec<SegmentCounts> {
        let mut reader = AsOfReader::default();
        let mut counts = vec![SegmentCounts::default(); cuts.len()];
        for slot in self.store.iter() {
            if let Some(customer) = self.customer_as_of(slot, as_of, &mut reader)
                && let Some(values) = rfm_values(&customer, as_of.at)
            {
                let shop = usize::from(customer.shop.0);
                counts[shop].add(&values, &cuts[shop]);
            }
        }
        counts
    }

    fn count_customer(&self, slot: CustomerSlot, counting: &mut DailyCounting) {
        let DailyCounting { as_of, held_from, reader, counts, .. } = counting;
        let Some(customer) = self.customer_as_of(slot, *as_of, reader) else { return };
        let count = &mut counts[usize::from(customer.shop.0)];
        let zone = &self.settings.shops.get(customer.shop).zone;
        count.add(&CountedCustomer { customer: &customer, zone });
        if let Some(book) = &self.settings.rules {
            let firings = CountedFirings { at: as_of.at, before: as_of.before, held_from: *held_from };
            count.rules.add_customer(book, &customer, firings);
        }
        let hash = sample_hash(customer.key, self.settings.hash);
        if !count.sample.takes(hash) {
            return;
        }
        let kept = customer.totals.kept;
        let mut days = zone.days();
        if let Some(now) = SampleRow::of(&kept, days.of(as_of.at).0) {
            let earlier = EARLIER_DAYS.map(|back| {
                let instant = as_of.at.minus(Span::days(back));
                let row = self.sample_row(slot, instant, reader)?;
                Some(EarlierRow { row, ordered_since: ordered_since(&kept, instant) })
            });
            count.sample.add(hash, SampledCustomer { now, earlier });
        }
    }

    fn sample_row(&self, slot: CustomerSlot, instant: Time, reader: &mut AsOfReader) -> Option<SampleRow> {
        let customer = self.customer_as_of(slot, AsOf::midnight(instant), reader)?;
        let zone = &self.settings.shops.get(customer.shop).zone;
        SampleRow::of(&customer.totals.kept, zone.days().of(instant).0)
    }
}
