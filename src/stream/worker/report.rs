//! What a worker reports about its partitions: counts and gauges from the domain and the port.

use std::time::Duration;

use super::context::Context;
use super::intake_gate::IntakeGate;
use super::transaction::Transaction;
use crate::domain::engine::{Engine, Transitions};
use crate::domain::segments::names::Segment;
use crate::domain::signals::signal::State;
use crate::domain::values::time::Time;
use crate::observe::metrics::{
    Basis, BatchSummary, PartitionGauges, PerLabel, RevenueKind, Transition, Window, WindowBasis,
    WindowRevenue,
};
use crate::observe::status::HistoryProgress;
use crate::stream::broker::{Broker, Clocks, Moment, RecordBatch};
use crate::stream::partition::{HistoryEnds, Running};
use crate::stream::rules::Rules;
use crate::topic::PerInput;

/// Gauges that move without a commit are set so often.
const GAUGES_AGE_MAX: Duration = Duration::from_secs(1);

/// From then on readiness says that the intake keeps the clocks from moving.
const HELD_MIN: Duration = Duration::from_secs(300);

/// When the gauges were set last.
pub struct GaugeRefresh {
    refreshed_at: Moment,
}

impl GaugeRefresh {
    pub fn new(now: Moment) -> Self {
        Self { refreshed_at: now }
    }

    /// Lag, and what else moves while nothing is committed.
    pub(super) fn refresh_now_and_then<B: Broker>(
        &mut self,
        ctx: &mut Context<'_, B>,
        transaction: &Transaction,
        intake: &IntakeGate,
    ) {
        let clocks = ctx.broker.clocks();
        if clocks.monotonic.since(self.refreshed_at) < GAUGES_AGE_MAX {
            return;
        }
        self.refreshed_at = clocks.monotonic;
        let target = ctx.rules.clock_target(clocks.wall_ms);
        let mut held_since: Option<Clocks> = None;
        for (partition, running) in ctx.partitions.running_mut_all() {
            let exported = ctx.hub.metrics.partition(partition);
            for (input, (records, seconds)) in lags(running, clocks.wall_ms).iter() {
                exported.set_lag(input, *records, *seconds);
            }
            let history = history(running, Some(intake));
            exported.set_history_remaining(history.as_ref().map_or(0, HistoryProgress::remaining));
            ctx.hub.status.in_history(partition, history);
            let since = held_by_intake(running, target);
            exported.set_intake_clock_frozen(since.map(|since| clocks.monotonic.since(since.monotonic)));
            held_since = held_since.into_iter().chain(since).min_by_key(|since| since.monotonic);
            // Totals of an open batch are not shown.
            if !transaction.touches(partition) {
                exported.set(&gauges(running, &ctx.rules, target, clocks.monotonic));
            }
        }
        let long_held = held_since.filter(|since| clocks.monotonic.since(since.monotonic) >= HELD_MIN);
        ctx.hub.status.held_by_intake(long_held.map(|since| (intake.why_held(), since.wall_ms)));
    }
}

/// How far the history of a partition has come; none once it is live.
pub fn history<T: RecordBatch>(running: &Running<T>, intake: Option<&IntakeGate>) -> Option<HistoryProgress> {
    let history = running.history.as_ref()?;
    let remaining = history.remaining(&running.streams.cursors);
    Some(match (&history.ends, intake) {
        (HistoryEnds::Known(_), _) => HistoryProgress::Reading { remaining },
        (HistoryEnds::Behind(_), None) => {
            HistoryProgress::Behind { remaining, intake: "the intake".to_owned() }
        }
        (HistoryEnds::Behind(ends), Some(intake)) => {
            let lag = intake.lag(ends);
            HistoryProgress::Behind { remaining: remaining + lag.records(), intake: lag.to_string() }
        }
    })
}

/// Since when the intake has kept something that is due from happening. What is not due any more is not held.
fn held_by_intake<T>(running: &mut Running<T>, target: Option<Time>) -> Option<Clocks> {
    let is_due = target.is_some_and(|target| running.next_due(target).is_some());
    let check = &mut running.end_check;
    check.held_by_intake = check.held_by_intake.filter(|_| is_due);
    check.held_by_intake
}

/// Adds the engine's counts of moves between states, from and to.
pub fn add_transitions(summary: &mut BatchSummary, counts: &Transitions) {
    for from in State::ALL {
        for to in State::ALL {
            if let Some(transition) = Transition::new(from, to) {
                summary.transitions[transition] += counts[from as usize][to as usize];
            }
        }
    }
}

/// The gauges of a partition after a commit. `target` is where wall time would put its clock.
pub fn gauges<T: RecordBatch>(
    running: &mut Running<T>,
    rules: &Rules,
    target: Option<Time>,
    now: Moment,
) -> PartitionGauges {
    running.settle_figures(now);
    let is_overdue = target.is_some_and(|target| running.next_due(target).is_some());
    let mut gauges = PartitionGauges {
        clock_ms: running.committed.clock.map(Time::as_millis),
        idle: running.streams.is_at_end(),
        clock_frozen: running.end_check.is_frozen,
        merge_waiting: running.is_waiting,
        state_entries: running.engine.customers_len() as u64,
        state_bytes: running.engine.heap_bytes() as u64,
        timers_pending: running.engine.timers_len() as u64,
        timers_overdue: u64::from(is_overdue),
        rule_firings_planned: running.engine.firings_planned() as u64,
        ..PartitionGauges::default()
    };
    add_figures(&mut gauges, &running.engine, rules);
    gauges.customers_by_segment = rules.settings.segments.as_ref().map(|_| {
        let mut customers = PerLabel::default();
        for segment in Segment::ALL {
            customers[segment] = running.engine.customers_in(segment);
        }
        customers
    });
    gauges
}

/// The windows of the domain's figures: all time first.
const WINDOWS: [Window; 4] = [Window::All, Window::Days30, Window::Days90, Window::Days365];

fn add_figures(gauges: &mut PartitionGauges, engine: &Engine, rules: &Rules) {
    for shop in rules.settings.shops.indexes() {
        let figures = engine.settled_figures(shop);
        for state in State::ALL {
            gauges.customers[state] += figures.customers_of(state);
        }
        let currency = rules.currencies[usize::from(shop.0)];
        let revenue: &mut PerLabel<WindowRevenue, i64> =
            gauges.window_revenue_minor.entry(currency).or_default();
        for (window, figures) in WINDOWS.into_iter().zip(&figures.windows) {
            let (placed, kept) = (WindowBasis(window, Basis::Placed), WindowBasis(window, Basis::Kept));
            gauges.window_customers[placed] += figures.customers_placed;
            gauges.window_customers[kept] += figures.customers_kept;
            gauges.window_repeat_customers[placed] += figures.repeat_placed;
            gauges.window_repeat_customers[kept] += figures.repeat_kept;
            gauges.window_orders[placed] += figures.placed;
            gauges.window_orders[kept] += figures.kept;
            revenue[WindowRevenue(window, RevenueKind::Gross)] += figures.gross.minor();
            revenue[WindowRevenue(window, RevenueKind::Net)] += figures.net().minor();
        }
    }
}

/// How far each input is behind: records, and seconds by broker time; 0 when caught up.
pub fn lags<T: RecordBatch>(running: &Running<T>, wall_ms: i64) -> PerInput<(u64, f64)> {
    PerInput::from_fn(|input| {
        let cursor = &running.streams.cursors[input];
        let records = cursor.end.0.saturating_sub(cursor.next.0);
        let head = running.streams.next_timestamp(input);
        let since = head.or(running.applied_at[input]).filter(|_| records > 0 || head.is_some());
        let seconds = since.map_or(0.0, |millis| (wall_ms - millis).max(0) as f64 / 1_000.0);
        (records, seconds)
    })
}
