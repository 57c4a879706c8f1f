//! The metrics of the whole instance that are no counts of a batch (those are in `batch.rs`), in groups, with their names.
//! Those of a partition are in `partition.rs`, those of the Kafka clients in `client.rs`, those of the process in `process.rs`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec};

use super::{
    Vocabulary,
    batch::{CurrencyLabel, CurrencyValues},
    label::PerLabel,
    labels::{FatalKind, HttpCode, LogLevel, RebalanceKind, Route, ServiceState, Stage, TransactionResult},
    registrar::Registrar,
};
use crate::domain::signals::rule::RuleAction;
use crate::topic::Input;

/// From a broker's append to the known commit. 2.5 is the objective's bound; the steps below it show the commit interval.
/// Bounds that rules name are not whole numbers: Prometheus 3 stores `le="5"` as `5.0`, and an exact match finds nothing.
const LATENCY_BUCKETS_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// From what happened to the known commit: a shop's exports come by the minute, the hour or the day.
const EVENT_AGE_BUCKETS_SECONDS: &[f64] =
    &[1.0, 60.0, 600.0, 3_600.0, 86_400.0, EVENT_AGE_MAX_MS as f64 / 1_000.0];
/// The last bucket: older records are not distinguished.
pub(super) const EVENT_AGE_MAX_MS: i64 = 7 * 86_400_000;
/// A stage of a batch: the interval between commits is 0.1 s, at most 1 s in a backlog.
const STAGE_BUCKETS_SECONDS: &[f64] = &[0.001, 0.01, 0.1, 0.5, 2.5];
/// A commit takes some 5 ms; 104 ms when it comes too close on the one before; 30 s is the default patience.
const TRANSACTION_BUCKETS_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
/// From a timers-only batch to the bounds of a batch.
const TRANSACTION_BUCKETS_RECORDS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];
/// A heartbeat is 0.2 s, a session 10 s.
const REBALANCE_BUCKETS_SECONDS: &[f64] = &[0.25, 1.0, 2.5, 10.0, 30.0];
/// 60.5 is the objective's bound.
const TIMER_DELAY_BUCKETS_SECONDS: &[f64] = &[0.25, 2.5, 10.0, 60.5, 600.0, 3_600.0];
/// A million changelog records a second are expected.
const RESTORE_BUCKETS_SECONDS: &[f64] = &[1.0, 10.0, 60.0, 300.0, 1_200.0];
/// A million customers are written in a second, and read as slices over some seconds.
const SNAPSHOT_BUCKETS_SECONDS: &[f64] = &[0.1, 1.0, 10.0, 60.0];
/// A query waits for the open batch, at most 2 s.
const HTTP_BUCKETS_SECONDS: &[f64] = &[0.005, 0.1, 2.5];

/// 19 series.
pub(super) struct ServiceMetrics {
    pub(super) state: PerLabel<ServiceState, Gauge>,
    pub(super) fatal_errors: PerLabel<FatalKind, IntCounter>,
    pub(super) log_messages: PerLabel<LogLevel, IntCounter>,
}

/// 2 series.
pub(super) struct BrokerMetrics {
    pub(super) up: Gauge,
    pub(super) last_answer: Gauge,
}

/// 70 series.
pub(super) struct InputMetrics {
    pub(super) merge_wait_timeouts: IntCounter,
    pub(super) retention: PerLabel<Input, Gauge>,
    pub(super) end_to_end_latency: PerLabel<Input, Histogram>,
    pub(super) event_age: PerLabel<Input, Histogram>,
}

/// 56 series.
pub(super) struct TransactionMetrics {
    pub(super) stages: PerLabel<Stage, Histogram>,
    pub(super) results: PerLabel<TransactionResult, IntCounter>,
    pub(super) duration: Histogram,
    pub(super) records: Histogram,
    pub(super) last_success: Gauge,
    pub(super) fenced: IntCounter,
}

/// 12 series.
pub(super) struct GroupMetrics {
    pub(super) assigned_partitions: Gauge,
    pub(super) rebalances: PerLabel<RebalanceKind, IntCounter>,
    pub(super) rebalance_duration: Histogram,
}

/// 10 series.
pub(super) struct TimerMetrics {
    pub(super) delay: Histogram,
    pub(super) overdue: Gauge,
}

/// 17 series.
pub(super) struct RestoreMetrics {
    pub(super) partitions: Gauge,
    pub(super) records: IntCounter,
    pub(super) duration: Histogram,
    pub(super) snapshot_duration: Histogram,
}

/// 3 series a currency.
pub(super) struct BusinessMetrics {
    order_value: CounterVec,
    refund_value: CounterVec,
    guest_revenue: CounterVec,
    currencies: Mutex<BTreeMap<CurrencyLabel, CurrencyCounters>>,
}

/// 1 series, and at most 4 a rule: 257.
pub(super) struct RuleMetrics {
    info: GaugeVec,
    signals: IntCounterVec,
    rules: Mutex<BTreeMap<Arc<str>, PerLabel<RuleAction, IntCounter>>>,
}

/// 66 series.
pub(super) struct HttpMetrics {
    requests: PerLabel<Route, BTreeMap<HttpCode, IntCounter>>,
    pub(super) duration: PerLabel<Route, Histogram>,
}

struct CurrencyCounters {
    order_value: Counter,
    refund_value: Counter,
    guest_revenue: Counter,
}

impl ServiceMetrics {
    pub(super) fn new(registrar: &Registrar<'_>, vocabulary: &Vocabulary) -> prometheus::Result<Self> {
        let build_info = registrar.gauge_family(
            "retention_build_info",
            "Always 1; the labels say what is running (1 series).",
            &["version", "revision"],
        )?;
        build_info.with_label_values(&[vocabulary.version, vocabulary.revision]).set(1.0);
        Ok(Self {
            state: registrar
                .gauges("retention_state", "1 for what the service is doing, 0 for the rest (6 series).")?,
            fatal_errors: registrar.counters(
                "retention_fatal_errors_total",
                "Errors that stopped a worker, by kind (7 series).",
            )?,
            log_messages: registrar
                .counters("retention_log_messages_total", "Log messages by level (5 series).")?,
        })
    }
}

impl BrokerMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            up: registrar.gauge(
                "retention_brokers_up",
                "1 while a Kafka broker answers the question of every second, else 0 (1 series).",
            )?,
            last_answer: registrar.gauge(
                "retention_brokers_last_answer_timestamp_seconds",
                "When a Kafka broker last answered that question; 0 before the first (1 series).",
            )?,
        })
    }
}

impl InputMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            merge_wait_timeouts: registrar.counter(
                "retention_merge_wait_timeouts_total",
                "Times that the merge gave up waiting for an input that has more to fetch (1 series).",
            )?,
            retention: registrar.gauges(
                "retention_input_retention_seconds",
                "How long the topic keeps records, as read at the start; 0 for ever or not known (3 series).",
            )?,
            end_to_end_latency: registrar.histograms(
                "retention_end_to_end_latency_seconds",
                "From the broker's append of a record to the known commit of what followed from it (39 series).",
                LATENCY_BUCKETS_SECONDS,
            )?,
            event_age: registrar.histograms(
                "retention_event_age_seconds",
                "From the event that a record describes to the known commit of what followed from it (27 series).",
                EVENT_AGE_BUCKETS_SECONDS,
            )?,
        })
    }
}

impl TransactionMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            stages: registrar.histograms(
                "retention_process_duration_seconds",
                "What a batch spent in each stage (32 series).",
                STAGE_BUCKETS_SECONDS,
            )?,
            results: registrar
                .counters("retention_transactions_total", "Transactions by their end (2 series).")?,
            duration: registrar.histogram(
                "retention_transaction_duration_seconds",
                "From the begin of a committed transaction to its known outcome (11 series).",
                TRANSACTION_BUCKETS_SECONDS,
            )?,
            records: registrar.histogram(
                "retention_transaction_records",
                "Records written in a committed transaction (9 series).",
                TRANSACTION_BUCKETS_RECORDS,
            )?,
            last_success: registrar.gauge(
                "retention_commit_last_success_timestamp_seconds",
                "When the last transaction was known to be committed; 0 before the first (1 series).",
            )?,
            fenced: registrar.counter(
                "retention_producer_fenced_total",
                "Times that the broker turned a producer away for a newer one (1 series).",
            )?,
        })
    }
}

impl GroupMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            assigned_partitions: registrar
                .gauge("retention_assigned_partitions", "Partitions that this instance owns (1 series).")?,
            rebalances: registrar.counters(
                "retention_rebalances_total",
                "Rebalances that moved a partition, by kind (3 series).",
            )?,
            rebalance_duration: registrar.histogram(
                "retention_rebalance_duration_seconds",
                "From a rebalance's call to the hand-over or take-over, restore aside (8 series).",
                REBALANCE_BUCKETS_SECONDS,
            )?,
        })
    }
}

impl TimerMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            delay: registrar.histogram(
                "retention_timer_delay_seconds",
                "How long after its deadline plus the clock's grace a timer fired, while caught up (9 series).",
                TIMER_DELAY_BUCKETS_SECONDS,
            )?,
            overdue: registrar.gauge(
                "retention_timers_overdue",
                "Timers whose deadline plus grace has passed and that have not fired, at least; 0 if there is none (1 series).",
            )?,
        })
    }
}

impl RestoreMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            partitions: registrar.gauge(
                "retention_restore_partitions",
                "Owned partitions that are being restored (1 series).",
            )?,
            records: registrar
                .counter("retention_restored_records_total", "Changelog records read back (1 series).")?,
            duration: registrar.histogram(
                "retention_restore_duration_seconds",
                "Duration of a finished restore of one partition (8 series).",
                RESTORE_BUCKETS_SECONDS,
            )?,
            snapshot_duration: registrar.histogram(
                "retention_snapshot_duration_seconds",
                "From the first slice of a local snapshot to its being in place (7 series).",
                SNAPSHOT_BUCKETS_SECONDS,
            )?,
        })
    }
}

impl BusinessMetrics {
    pub(super) fn new(registrar: &Registrar<'_>, vocabulary: &Vocabulary) -> prometheus::Result<Self> {
        let business = Self {
            order_value: registrar.money_family(
                "retention_order_value_total",
                "Totals of the accepted orders of known customers, in units of the currency (1 a currency).",
            )?,
            refund_value: registrar.money_family(
                "retention_refund_value_total",
                "Refunds of the accepted returns of known customers, in units of the currency (1 a currency).",
            )?,
            guest_revenue: registrar.money_family(
                "retention_guest_revenue_total",
                "Totals of the accepted orders of guests, in units of the currency (1 a currency).",
            )?,
            currencies: Mutex::default(),
        };
        let known =
            vocabulary.currencies.iter().map(|currency| (*currency, business.resolve(*currency))).collect();
        *business.currencies.lock().expect("no panic under this lock") = known;
        Ok(business)
    }

    pub(super) fn add(&self, values: &BTreeMap<CurrencyLabel, CurrencyValues>) {
        if values.is_empty() {
            return;
        }
        let mut currencies = self.currencies.lock().expect("no panic under this lock");
        for (currency, values) in values {
            let counters = currencies.entry(*currency).or_insert_with(|| self.resolve(*currency));
            counters.order_value.inc_by(currency.whole_units(values.orders_minor as f64));
            counters.refund_value.inc_by(currency.whole_units(values.refunds_minor as f64));
            counters.guest_revenue.inc_by(currency.whole_units(values.guest_orders_minor as f64));
        }
    }

    fn resolve(&self, currency: CurrencyLabel) -> CurrencyCounters {
        CurrencyCounters {
            order_value: self.order_value.with_label_values(&[currency.code()]),
            refund_value: self.refund_value.with_label_values(&[currency.code()]),
            guest_revenue: self.guest_revenue.with_label_values(&[currency.code()]),
        }
    }
}

impl RuleMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        let info = registrar.gauge_family(
            "retention_rules_info",
            "Always 1; the label is the version of the rules, as `check --show` prints it (1 series, with rules).",
            &["version"],
        )?;
        let signals = registrar.counter_family(
            "retention_rule_firings_total",
            "What rules did, by rule and action: fired, withheld, planned, cancelled (4 a rule).",
            &["rule", "action"],
        )?;
        Ok(Self { info, signals, rules: Mutex::default() })
    }

    pub(super) fn add(&self, signals: &BTreeMap<(Arc<str>, RuleAction), u64>) {
        let mut rules = self.rules.lock().expect("no panic under this lock");
        for ((rule, action), count) in signals {
            let counters = rules.entry(Arc::clone(rule)).or_insert_with(|| {
                PerLabel::build(|action: RuleAction| self.signals.with_label_values(&[rule, action.name()]))
            });
            counters[*action].inc_by(*count);
        }
    }

    pub(super) fn set_version(&self, version: &str) {
        self.info.with_label_values(&[version]).set(1.0);
    }

    /// Since the start, by rule.
    pub(super) fn totals(&self) -> BTreeMap<Arc<str>, PerLabel<RuleAction, u64>> {
        let rules = self.rules.lock().expect("no panic under this lock");
        let total =
            |counters: &PerLabel<RuleAction, IntCounter>| PerLabel::build(|action| counters[action].get());
        rules.iter().map(|(rule, counters)| (Arc::clone(rule), total(counters))).collect()
    }
}

impl HttpMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
        let requests = registrar.counter_family(
            "retention_http_requests_total",
            "HTTP requests answered, by route and status code (30 series).",
            &["route", "code"],
        )?;
        Ok(Self {
            requests: PerLabel::build(|route: Route| resolve_codes(&requests, route)),
            duration: registrar.histograms(
                "retention_http_request_duration_seconds",
                "From the head of a request to the body of its answer (36 series).",
                HTTP_BUCKETS_SECONDS,
            )?,
        })
    }

    /// A code that the route does not list would be a bug, and counts as one.
    pub(super) fn requests(&self, route: Route, code: HttpCode) -> &IntCounter {
        let of_route = &self.requests[route];
        of_route.get(&code).unwrap_or_else(|| &of_route[&HttpCode::Internal])
    }
}

fn resolve_codes(family: &IntCounterVec, route: Route) -> BTreeMap<HttpCode, IntCounter> {
    let common = [HttpCode::Ok, HttpCode::MethodNotAllowed, HttpCode::Internal];
    let own: &[HttpCode] = match route {
        Route::Metrics => &[HttpCode::Unavailable],
        Route::Livez | Route::Readyz => &[HttpCode::Unavailable],
        Route::Customers => &[
            HttpCode::BadRequest,
            HttpCode::Unauthorized,
            HttpCode::Forbidden,
            HttpCode::NotFound,
            HttpCode::Misdirected,
            HttpCode::Unavailable,
        ],
        Route::Status => &[HttpCode::Unavailable],
        Route::Page => &[HttpCode::NotFound, HttpCode::Unavailable],
    };
    let codes = common.iter().chain(own);
    codes.map(|code| (*code, family.with_label_values(&[route.name(), code.name()]))).collect()
}
