//! What a replay writes while it runs: signals as they come, shop metrics at midnights, cohorts at the end.

use std::collections::BTreeMap;

use super::replay_run::Observer;
use super::results::Output;
use crate::domain::daily_count::DailyCount;
use crate::domain::daily_count::cohorts::CohortRow;
use crate::domain::daily_count::month::Month;
use crate::domain::engine::Engine;
use crate::domain::engine::as_of::AsOf;
use crate::domain::segments::counts::SegmentCounts;
use crate::domain::segments::cuts::{CUSTOMERS_MIN, CutPoints};
use crate::domain::settings::Settings;
use crate::domain::signals::signal::Signal;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::exit::Failure;
use crate::wire::encode::{
    CohortLine, RecordContext, Retention, ShopMetrics, ShopOutcomes, SignalEncoder, encode_cohort,
    encode_shop_metrics,
};

/// The files, and the counts that they are written from.
pub(super) struct ResultFiles<'c> {
    settings: &'c Settings,
    signal_encoder: SignalEncoder,
    signals: Output,
    shop_metrics: Output,
    cohorts: Output,
    rows: CohortRows,
    retention: Vec<(Currency, Retention)>,
    buffer: Vec<u8>,
}

/// Rows of cohorts as last counted, by shop, month and cohort, with the instant of the count. A month that is further back than a count
/// reaches keeps what the last one that reached it has found.
pub(crate) type CohortRows = BTreeMap<(ShopIndex, Month, Month), (CohortRow, Time)>;

impl<'c> ResultFiles<'c> {
    pub(super) fn new(
        settings: &'c Settings,
        signals: Output,
        shop_metrics: Output,
        cohorts: Output,
    ) -> Self {
        Self {
            settings,
            signal_encoder: SignalEncoder::new(&settings.shops),
            signals,
            shop_metrics,
            cohorts,
            rows: CohortRows::new(),
            retention: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// By currency, as counted at the end.
    pub(super) fn retention(&self) -> &[(Currency, Retention)] {
        &self.retention
    }

    pub(super) fn into_outputs(self) -> [Output; 3] {
        [self.signals, self.shop_metrics, self.cohorts]
    }

    fn write_shop_metrics(
        &mut self,
        engine: &mut Engine,
        at: Time,
        counts: Option<&[DailyCount]>,
    ) -> Result<(), Failure> {
        for shop in self.settings.shops.indexes() {
            let count = counts.map(|counts| &counts[usize::from(shop.0)]);
            let outcomes = match count {
                _ if self.settings.rules.is_none() => ShopOutcomes::LeftOut,
                None => ShopOutcomes::Unknown,
                Some(count) => ShopOutcomes::Known(&count.rules),
            };
            let retention = count.map(|count| Retention::new(count, SegmentCounts::default()));
            let metrics = ShopMetrics {
                store_id: self.settings.shops.store_id(shop),
                at,
                currency: self.settings.shops.get(shop).currency,
                figures: engine.figures(shop),
                retention: retention.as_ref(),
                outcomes,
            };
            self.buffer.clear();
            encode_shop_metrics(&mut self.buffer, &metrics);
            self.shop_metrics.write(&self.buffer)?;
        }
        Ok(())
    }

    fn write_cohorts(&mut self, counts: &[DailyCount]) -> Result<(), Failure> {
        for ((shop, month, cohort), (row, at)) in &self.rows {
            let count = &counts[usize::from(shop.0)];
            let line = CohortLine {
                store_id: self.settings.shops.store_id(*shop),
                currency: self.settings.shops.get(*shop).currency,
                month: *month,
                cohort: *cohort,
                size: count.cohorts.sizes.get(cohort).copied().unwrap_or(0),
                row: *row,
                at: *at,
            };
            self.buffer.clear();
            encode_cohort(&mut self.buffer, &line);
            self.cohorts.write(&self.buffer)?;
        }
        Ok(())
    }
}

impl Observer for ResultFiles<'_> {
    fn signal(
        &mut self,
        key: &[u8],
        signal: &Signal,
        record: Option<&RecordContext<'_>>,
    ) -> Result<(), Failure> {
        self.buffer.clear();
        self.signal_encoder.encode(key, signal, record, &mut self.buffer);
        self.buffer.push(b'\n');
        self.signals.write(&self.buffer)
    }

    fn midnight(&mut self, engine: &mut Engine, at: Time) -> Result<(), Failure> {
        // A count of each day would take longer than the replay.
        if !Month::begins_at(at) {
            return self.write_shop_metrics(engine, at, None);
        }
        let counts = engine.counted(AsOf::including(at), 0);
        note_cohorts(&mut self.rows, &counts);
        self.write_shop_metrics(engine, at, Some(&counts))
    }

    fn end(&mut self, engine: &mut Engine, at: Time) -> Result<(), Failure> {
        let as_of = AsOf::including(at);
        let counts = engine.counted(as_of, 0);
        note_cohorts(&mut self.rows, &counts);
        self.write_shop_metrics(engine, at, Some(&counts))?;
        self.write_cohorts(&counts)?;
        self.retention = retention(self.settings, engine, as_of, &counts);
        Ok(())
    }
}

/// Replaces the rows of all months that the counts reach.
pub(crate) fn note_cohorts(rows: &mut CohortRows, counts: &[DailyCount]) {
    for (index, count) in counts.iter().enumerate() {
        let shop = ShopIndex(u16::try_from(index).expect("configuration bounds the number of stores"));
        for ((month, cohort), row) in &count.cohorts.rows {
            rows.insert((shop, *month, *cohort), (*row, count.at));
        }
    }
}

/// Counts and segments added up by currency. Each store has its own cut points.
pub(crate) fn retention(
    settings: &Settings,
    engine: &Engine,
    as_of: AsOf,
    counts: &[DailyCount],
) -> Vec<(Currency, Retention)> {
    let cuts: Vec<CutPoints> = counts.iter().map(|count| CutPoints::of(&count.rfm, CUSTOMERS_MIN)).collect();
    let segments = engine.segments(as_of, &cuts);
    let mut sums: BTreeMap<Currency, (DailyCount, SegmentCounts)> = BTreeMap::new();
    for (shop, (count, segments)) in settings.shops.indexes().zip(counts.iter().zip(&segments)) {
        sums.entry(settings.shops.get(shop).currency)
            .and_modify(|(sum, sum_of_segments)| {
                sum.merge(count);
                sum_of_segments.merge(segments);
            })
            .or_insert_with(|| (count.clone(), *segments));
    }
    let written = |(currency, (count, segments)): (Currency, (DailyCount, SegmentCounts))| {
        (currency, Retention::new(&count, segments))
    };
    sums.into_iter().map(written).collect()
}
