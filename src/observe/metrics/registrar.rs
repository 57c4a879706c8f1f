//! Makes metrics and registers them, with every child of a closed label resolved.

use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
    Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};

use super::gauge_value::GaugeValue;
use super::label::{Label, PerLabel};

/// Puts metrics into a registry. A name that is taken is an error.
pub(super) struct Registrar<'r>(pub(super) &'r Registry);

impl Registrar<'_> {
    /// A whole number that only grows. One series.
    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    /// One growing whole number a label value, all 0 from the start.
    pub(super) fn counters<L: Label>(
        &self,
        name: &str,
        help: &str,
    ) -> prometheus::Result<PerLabel<L, IntCounter>> {
        let family = self.register(IntCounterVec::new(Opts::new(name, help), &L::keys())?)?;
        Ok(children(&family))
    }

    /// Growing whole numbers whose label values are known only to the caller.
    pub(super) fn counter_family(
        &self,
        name: &str,
        help: &str,
        keys: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), keys)?)
    }

    /// A growing amount of money for each currency.
    pub(super) fn money_family(&self, name: &str, help: &str) -> prometheus::Result<CounterVec> {
        self.register(CounterVec::new(Opts::new(name, help), &["currency"])?)
    }

    /// A number that goes up and down. One series.
    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.register(Gauge::new(name, help)?)
    }

    /// A number that goes up and down for each label value, all 0 from the start.
    pub(super) fn gauges<L: Label>(&self, name: &str, help: &str) -> prometheus::Result<PerLabel<L, Gauge>> {
        let family = self.gauge_family(name, help, &L::keys())?;
        Ok(children(&family))
    }

    /// Numbers whose label values come and go.
    pub(super) fn gauge_family(&self, name: &str, help: &str, keys: &[&str]) -> prometheus::Result<GaugeVec> {
        self.register(GaugeVec::new(Opts::new(name, help), keys)?)
    }

    /// The numbers of every partition, as their type is exported.
    pub(super) fn partition_gauges<V: GaugeValue>(
        &self,
        name: &str,
        help: &str,
    ) -> prometheus::Result<GaugeVec> {
        let keys = [V::keys(), vec!["partition"]].concat();
        self.gauge_family(name, &format!("{help} ({}).", V::series()), &keys)
    }

    /// A distribution. `buckets.len() + 3` series.
    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    /// A distribution for each label value.
    pub(super) fn histograms<L: Label>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> prometheus::Result<PerLabel<L, Histogram>> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let family = self.register(HistogramVec::new(options, &L::keys())?)?;
        Ok(children(&family))
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn children<L: Label, B: MetricVecBuilder>(family: &MetricVec<B>) -> PerLabel<L, B::M> {
    PerLabel::build(|label: L| family.with_label_values(&label.values()))
}
