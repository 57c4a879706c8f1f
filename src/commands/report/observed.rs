//! What a report watches while the history is replayed, and what it keeps of the end.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::commands::replay::replay_run::Observer;
use crate::commands::replay::result_files::{CohortRows, note_cohorts, retention};
use crate::domain::daily_count::cohorts::CohortRow;
use crate::domain::daily_count::month::Month;
use crate::domain::daily_count::{DailyCount, OrderTotals64, rfm_values};
use crate::domain::engine::Engine;
use crate::domain::engine::as_of::{AsOf, AsOfReader};
use crate::domain::engine::shop_totals::ShopTotals;
use crate::domain::segments::cuts::{CUSTOMERS_MIN, CutPoints, RfmValues};
use crate::domain::segments::histogram::Histogram;
use crate::domain::segments::names::Segment;
use crate::domain::settings::Settings;
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{Signal, State};
use crate::domain::values::ids::{CustomerSlot, ShopIndex};
use crate::domain::values::money::Currency;
use crate::domain::values::time::{Day, Span, Time};
use crate::exit::Failure;
use crate::wire::encode::{RecordContext, Retention};

/// How many customers to look after a report names.
pub(super) const WATCHED_MAX: usize = 25;

/// Everything that was seen.
pub(super) struct Observed {
    pub(super) at: Time,
    /// By currency, as in the summary.
    pub(super) parts: Vec<Part>,
}

/// The stores of one currency, added up.
pub(super) struct Part {
    pub(super) currency: Currency,
    pub(super) totals: ShopTotals,
    pub(super) count: DailyCount,
    pub(super) retention: Retention,
    /// Of each store; its name where there are several.
    pub(super) stores: Vec<StorePart>,
    /// The totals at the end of each calendar month in UTC, and at the end of the report.
    pub(super) months: Vec<(String, ShopTotals)>,
    /// By month and cohort.
    pub(super) rows: BTreeMap<(Month, Month), CohortRow>,
    pub(super) orders: BTreeMap<Month, OrderTotals64>,
    /// Whole days of silence at which customers lapsed.
    pub(super) lapses: Histogram,
    /// The customers at risk of most value.
    pub(super) watched: Vec<WatchedCustomer>,
    pub(super) at_risk: u64,
}

/// One store of a part.
pub(super) struct StorePart {
    pub(super) name: Option<String>,
    pub(super) totals: ShopTotals,
    pub(super) cuts: CutPoints,
}

/// A customer at risk.
pub(super) struct WatchedCustomer {
    pub(super) key: String,
    pub(super) values: RfmValues,
    pub(super) segment: Segment,
    pub(super) last_order_at: Time,
    pub(super) lapses_at: Option<Time>,
}

/// Watches a replay for a report.
pub(super) struct ReportObserver<'c> {
    settings: &'c Settings,
    /// At the end of each month in UTC, by shop.
    months: Vec<(Month, Vec<ShopTotals>)>,
    rows: CohortRows,
    orders: BTreeMap<(ShopIndex, Month), OrderTotals64>,
    /// By shop.
    lapses: Vec<Histogram>,
    retention: Vec<(Currency, Retention)>,
    observed: Option<Observed>,
}

impl<'c> ReportObserver<'c> {
    pub(super) fn new(settings: &'c Settings) -> Self {
        Self {
            settings,
            months: Vec::new(),
            rows: CohortRows::new(),
            orders: BTreeMap::new(),
            lapses: vec![Histogram::default(); settings.shops.len()],
            retention: Vec::new(),
            observed: None,
        }
    }

    /// By currency, as counted at the end.
    pub(super) fn retention(&self) -> &[(Currency, Retention)] {
        &self.retention
    }

    /// None without any accepted record.
    pub(super) fn into_observed(self) -> Option<Observed> {
        self.observed
    }

    fn note(&mut self, counts: &[DailyCount]) {
        note_cohorts(&mut self.rows, counts);
        for (shop, count) in self.settings.shops.indexes().zip(counts) {
            for (month, totals) in &count.months {
                self.orders.insert((shop, *month), *totals);
            }
        }
    }

    fn totals(&self, engine: &mut Engine) -> Vec<ShopTotals> {
        self.settings.shops.indexes().map(|shop| *engine.figures(shop)).collect()
    }

    fn part(
        &self,
        engine: &Engine,
        at: Time,
        of: &(Currency, Retention),
        now: &[ShopTotals],
        counts: &[DailyCount],
    ) -> Part {
        let (currency, retention) = of;
        let shops: Vec<ShopIndex> = self
            .settings
            .shops
            .indexes()
            .filter(|shop| self.settings.shops.get(*shop).currency == *currency)
            .collect();
        let sum = |by_shop: &[ShopTotals]| {
            let mut sum = ShopTotals::default();
            shops.iter().for_each(|shop| sum.merge(&by_shop[usize::from(shop.0)]));
            sum
        };
        let is_new = |month: &Month| self.months.last().is_none_or(|(last, _)| last != month);
        let mut months: Vec<(String, ShopTotals)> =
            self.months.iter().map(|(month, totals)| (month.to_string(), sum(totals))).collect();
        let current = utc_month(at);
        if is_new(&current) {
            months.push((current.to_string(), sum(now)));
        }
        let mut count: Option<DailyCount> = None;
        let mut lapses = Histogram::default();
        let mut stores = Vec::new();
        for shop in &shops {
            let index = usize::from(shop.0);
            match &mut count {
                Some(count) => count.merge(&counts[index]),
                None => count = Some(counts[index].clone()),
            }
            lapses.merge(&self.lapses[index]);
            stores.push(StorePart {
                name: self.settings.shops.store_id(*shop).map(str::to_owned),
                totals: now[index],
                cuts: CutPoints::of(&counts[index].rfm, CUSTOMERS_MIN),
            });
        }
        let mut rows: BTreeMap<(Month, Month), CohortRow> = BTreeMap::new();
        for ((_, month, cohort), (row, _)) in self.rows.iter().filter(|((shop, ..), _)| shops.contains(shop))
        {
            rows.entry((*month, *cohort)).or_default().add(row);
        }
        let mut orders: BTreeMap<Month, OrderTotals64> = BTreeMap::new();
        for ((_, month), totals) in self.orders.iter().filter(|((shop, _), _)| shops.contains(shop)) {
            orders.entry(*month).or_default().merge(totals);
        }
        let (watched, at_risk) = watched(engine, AsOf::including(at), &shops, counts);
        Part {
            currency: *currency,
            totals: sum(now),
            count: count.expect("a currency is that of a shop"),
            retention: retention.clone(),
            stores,
            months,
            rows,
            orders,
            lapses,
            watched,
            at_risk,
        }
    }
}

impl Observer for ReportObserver<'_> {
    fn signal(&mut self, _: &[u8], signal: &Signal, _: Option<&RecordContext<'_>>) -> Result<(), Failure> {
        if let SignalKind::Lapsed(silence) = &signal.kind {
            let days = silence.deadline.since(silence.last_order_at).as_millis() / Span::DAY.as_millis();
            let days = u32::try_from(days).expect("a deadline follows its order");
            self.lapses[usize::from(signal.shop.0)].add_exact(days);
        }
        Ok(())
    }

    fn midnight(&mut self, engine: &mut Engine, at: Time) -> Result<(), Failure> {
        if Month::begins_at(at) {
            self.note(&engine.counted(AsOf::including(at), 0));
            let totals = self.totals(engine);
            self.months.push((utc_month(at.just_before()), totals));
        }
        Ok(())
    }

    fn end(&mut self, engine: &mut Engine, at: Time) -> Result<(), Failure> {
        let as_of = AsOf::including(at);
        let counts = engine.counted(as_of, 0);
        self.note(&counts);
        let now = self.totals(engine);
        self.retention = retention(self.settings, engine, as_of, &counts);
        let parts = self.retention.iter().map(|of| self.part(engine, at, of, &now, &counts)).collect();
        self.observed = Some(Observed { at, parts });
        Ok(())
    }
}

/// The customers at risk with the greatest kept net value, and how many are at risk at all.
fn watched(
    engine: &Engine,
    as_of: AsOf,
    shops: &[ShopIndex],
    counts: &[DailyCount],
) -> (Vec<WatchedCustomer>, u64) {
    let mut reader = AsOfReader::default();
    let mut at_risk: Vec<(i64, CustomerSlot)> = Vec::new();
    for slot in engine.customers() {
        let Some(customer) = engine.customer_as_of(slot, as_of, &mut reader) else { continue };
        if customer.state == State::AtRisk && shops.contains(&customer.shop) {
            at_risk.push((customer.totals.kept.net.minor(), slot));
        }
    }
    let total = at_risk.len() as u64;
    at_risk.sort_unstable_by(|(one, slot), (other, other_slot)| {
        other.cmp(one).then_with(|| engine.key(*slot).cmp(engine.key(*other_slot)))
    });
    at_risk.truncate(WATCHED_MAX);
    let watched = at_risk.into_iter().filter_map(|(_, slot)| {
        let customer = engine.customer_as_of(slot, as_of, &mut reader)?;
        let values = rfm_values(&customer, as_of.at)?;
        let cuts = CutPoints::of(&counts[usize::from(customer.shop.0)].rfm, CUSTOMERS_MIN);
        Some(WatchedCustomer {
            key: String::from_utf8_lossy(customer.key).into_owned(),
            values,
            segment: cuts.segment(&values),
            last_order_at: customer.totals.kept.last_at,
            lapses_at: customer.deadlines.map(|deadlines| deadlines.lapsed),
        })
    });
    (watched.collect(), total)
}

/// The calendar month of an instant in UTC.
pub(super) fn utc_month(at: Time) -> Month {
    Month::of(Day(i32::try_from(at.as_millis() / Span::DAY.as_millis()).expect("years up to 9999")))
}

/// `2011-12-09`, in UTC.
pub(super) fn utc_date(at: Time) -> impl Display {
    let text = crate::wire::encode::time_text(at);
    String::from_utf8_lossy(&text[..10]).into_owned()
}
