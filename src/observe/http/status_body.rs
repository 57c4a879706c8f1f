//! The JSON bodies: the figures behind the live page, and the answers about a customer.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::value::RawValue;

use super::HttpContext;
use super::explanation_body::{ExplanationBody, explanation};
use super::window_body::{BaseMetricsBody, WindowsBody, base_metrics, windows};
use crate::observe::metrics::{
    Label, PartitionOverview, PartitionTotals, PerLabel, TransactionResult, Window,
};
use crate::stream::query::{CommittedPosition, Explained};
use crate::topic::Input;

/// Whether customer ids are in the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CustomerIds {
    Shown,
    Hidden,
}

/// Totals count since the start; the page makes rates of them.
#[derive(Serialize)]
pub(super) struct StatusBody {
    application: String,
    instance: String,
    version: &'static str,
    state: &'static str,
    unready_reasons: Vec<String>,
    remarks: Vec<String>,
    brokers: BrokersBody,
    uptime_seconds: f64,
    input_records: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<&'static str, u64>,
    signals: BTreeMap<&'static str, u64>,
    rules: BTreeMap<String, BTreeMap<&'static str, u64>>,
    transactions: u64,
    timers_fired: u64,
    latency: LatencyBody,
    partitions: usize,
    lag_records: BTreeMap<&'static str, f64>,
    lag_seconds_max: f64,
    customers: BTreeMap<&'static str, f64>,
    state_entries: f64,
    state_bytes: f64,
    timers_pending: f64,
    restore_remaining: f64,
    clock: Option<ClockBody>,
    all_time: BaseMetricsBody,
    windows: WindowsBody,
    partition_details: Vec<PartitionBody>,
    recent_signals: Vec<SignalBody>,
}

#[derive(Serialize)]
struct BrokersBody {
    up: bool,
    last_answer: Option<String>,
}

#[derive(Serialize)]
struct LatencyBody {
    records: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct ClockBody {
    min: String,
    max: String,
}

#[derive(Serialize)]
struct PartitionBody {
    partition: u32,
    /// What it does, as the worst of what holds.
    state: &'static str,
    clock: Option<String>,
    lag_records: f64,
    lag_seconds: f64,
    restore_remaining: f64,
    history_remaining: f64,
    state_entries: f64,
    state_bytes: f64,
    timers_pending: f64,
    snapshot_at: Option<String>,
}

#[derive(Serialize)]
struct SignalBody {
    #[serde(rename = "type")]
    signal_type: &'static str,
    rule: Option<String>,
    action: Option<&'static str>,
    occurred_at: String,
    customer_id: Option<String>,
    guest: bool,
}

/// A profile with the commit that it is from.
#[derive(Serialize)]
pub(super) struct CustomerBody<'p> {
    #[serde(flatten)]
    position: PositionBody,
    customer: &'p RawValue,
    /// Only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<ExplanationBody>,
}

/// A customer of files.
#[derive(Serialize)]
struct FileCustomerBody<'p> {
    clock: String,
    customer: &'p RawValue,
    explanation: ExplanationBody,
}

/// A customer that the owner does not know.
#[derive(Serialize)]
pub(super) struct UnknownCustomerBody {
    error: &'static str,
    #[serde(flatten)]
    position: PositionBody,
}

/// A customer whose partition cannot answer here and now.
#[derive(Serialize)]
pub(super) struct ElsewhereBody {
    error: &'static str,
    partition: u32,
}

#[derive(Serialize)]
struct PositionBody {
    partition: u32,
    batch: u64,
    next_offsets: BTreeMap<&'static str, i64>,
    clock: Option<String>,
    staleness_seconds: f64,
}

pub(super) fn status(context: &HttpContext, customer_ids: CustomerIds) -> StatusBody {
    let overview = context.metrics.overview();
    let brokers = context.status.brokers();
    let (latency_records, latency_seconds) = overview.end_to_end_latency;
    let totals = &overview.partitions;
    let recent_signals = context.status.recent_signals().into_iter().map(|signal| SignalBody {
        signal_type: signal.signal_type.name(),
        rule: signal.rule.as_ref().map(|(rule, _)| rule.to_string()),
        action: signal.rule.as_ref().map(|(_, action)| action.name()),
        occurred_at: instant(signal.occurred_at_ms),
        guest: signal.customer_id.is_none(),
        customer_id: signal.customer_id.filter(|_| customer_ids == CustomerIds::Shown),
    });
    StatusBody {
        application: context.about.application.clone(),
        instance: context.about.instance.clone(),
        version: context.about.version,
        state: context.status.state().name(),
        unready_reasons: context.status.unready_reasons(),
        remarks: context.status.remarks(),
        brokers: BrokersBody {
            up: brokers.silence.is_none() && brokers.last_answer_ms.is_some(),
            last_answer: brokers.last_answer_ms.map(instant),
        },
        uptime_seconds: context.status.started_at().elapsed().as_secs_f64(),
        input_records: named(&overview.input_records),
        outcomes: named(&overview.outcomes),
        signals: named(&overview.signals),
        rules: overview.rules.iter().map(|(rule, counts)| (rule.to_string(), named(counts))).collect(),
        transactions: overview.transactions[TransactionResult::Committed],
        timers_fired: overview.timers_fired,
        latency: LatencyBody { records: latency_records, seconds: latency_seconds },
        partitions: overview.assigned_partitions,
        lag_records: named(&totals.lag_records),
        lag_seconds_max: totals.lag_seconds_max,
        customers: named(&totals.customers),
        state_entries: totals.state_entries,
        state_bytes: totals.state_bytes,
        timers_pending: totals.timers_pending,
        restore_remaining: totals.restore_remaining,
        clock: clock(totals),
        all_time: base_metrics(totals, Window::All),
        windows: windows(totals),
        partition_details: overview.by_partition.iter().map(partition).collect(),
        recent_signals: recent_signals.collect(),
    }
}

/// `None` if the profile is not JSON.
pub(super) fn customer<'p>(
    profile: &'p [u8],
    explained: Option<&Explained>,
    position: &CommittedPosition,
) -> Option<CustomerBody<'p>> {
    Some(CustomerBody {
        position: position_body(position),
        customer: serde_json::from_slice(profile).ok()?,
        explanation: explained.map(explanation),
    })
}

/// What `?explain` answers, of files instead of partitions. `None` if the profile is not JSON.
pub fn explained_json(clock_ms: i64, profile: &[u8], explained: &Explained) -> Option<String> {
    let body = FileCustomerBody {
        clock: instant(clock_ms),
        customer: serde_json::from_slice(profile).ok()?,
        explanation: explanation(explained),
    };
    serde_json::to_string(&body).ok()
}

pub(super) fn unknown_customer(position: &CommittedPosition) -> UnknownCustomerBody {
    UnknownCustomerBody { error: "no such customer", position: position_body(position) }
}

pub(super) fn elsewhere(error: &'static str, partition: u32) -> ElsewhereBody {
    ElsewhereBody { error, partition }
}

fn position_body(position: &CommittedPosition) -> PositionBody {
    PositionBody {
        partition: position.partition.0,
        batch: position.batch,
        next_offsets: Input::all().map(|topic| (topic.name(), position.next_offsets[topic])).collect(),
        clock: position.clock_ms.map(instant),
        staleness_seconds: position.staleness_seconds,
    }
}

fn partition(overview: &PartitionOverview) -> PartitionBody {
    let state = if overview.restore_remaining > 0.0 {
        "restoring"
    } else if overview.history_remaining > 0.0 {
        "in_history"
    } else if overview.is_clock_frozen {
        "clock_frozen"
    } else if overview.is_merge_waiting {
        "merge_waiting"
    } else if overview.is_idle {
        "caught_up"
    } else {
        "catching_up"
    };
    PartitionBody {
        partition: overview.partition.0,
        state,
        clock: overview.clock_seconds.map(instant_of_seconds),
        lag_records: overview.lag_records,
        lag_seconds: overview.lag_seconds,
        restore_remaining: overview.restore_remaining,
        history_remaining: overview.history_remaining,
        state_entries: overview.state_entries,
        state_bytes: overview.state_bytes,
        timers_pending: overview.timers_pending,
        snapshot_at: overview.snapshot_seconds.map(instant_of_seconds),
    }
}

fn clock(totals: &PartitionTotals) -> Option<ClockBody> {
    let [min, max] = [totals.clock_seconds_min, totals.clock_seconds_max];
    Some(ClockBody { min: instant_of_seconds(min?), max: instant_of_seconds(max?) })
}

fn instant_of_seconds(seconds: f64) -> String {
    instant((seconds * 1_000.0).round() as i64)
}

fn named<L: Label, T: Copy>(items: &PerLabel<L, T>) -> BTreeMap<&'static str, T> {
    items.iter().map(|(label, item)| (label.values()[0], *item)).collect()
}

/// An instant beyond the calendar cannot come out of a partition; it would read as empty.
pub(super) fn instant(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(String::new, |instant| instant.to_rfc3339_opts(SecondsFormat::Millis, true))
}
