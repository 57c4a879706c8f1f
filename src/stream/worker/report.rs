//! What the processor tells about its work: the domain's and the port's words in those of the metrics.

use crate::domain::engine::{Engine, Transitions};
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{Cause, Signal, State};
use crate::domain::values::time::Time;
use crate::observe::metrics::{
    Basis, BatchSummary, CustomerState, PartitionGauges, PerLabel, RevenueKind, SignalType, TimerOutcome,
    Transition, Window, WindowBasis, WindowRevenue,
};
use crate::stream::broker::Moment;
use crate::stream::partition::Running;
use crate::topic::PerInput;

use super::rules::Rules;

pub fn signal_type(kind: &SignalKind) -> SignalType {
    match kind {
        SignalKind::FirstOrder { .. } => SignalType::FirstOrder,
        SignalKind::SecondOrder { .. } => SignalType::SecondOrder,
        SignalKind::AtRisk(_) => SignalType::AtRisk,
        SignalKind::Lapsed(_) => SignalType::Lapsed,
        SignalKind::Recovered { .. } => SignalType::Recovered,
        SignalKind::WonBack { .. } => SignalType::WonBack,
        SignalKind::LapseRetracted { .. } => SignalType::LapseRetracted,
        SignalKind::FrequencyFell(_) => SignalType::FrequencyFell,
        SignalKind::FrequencyRose(_) => SignalType::FrequencyRose,
        SignalKind::OrderValueFell(_) => SignalType::OrderValueFell,
        SignalKind::OrderValueRose(_) => SignalType::OrderValueRose,
        SignalKind::ReturnRateHigh { .. } => SignalType::ReturnRateHigh,
        SignalKind::OrderCancelled { .. } => SignalType::OrderCancelled,
        SignalKind::OrderReturned { .. } => SignalType::OrderReturned,
        SignalKind::BecameProspect => SignalType::BecameProspect,
    }
}

/// What the timer said that caused a signal, if a timer did.
pub fn timer_outcome(signal: &Signal) -> Option<TimerOutcome> {
    match (&signal.cause, signal_type(&signal.kind)) {
        (Cause::Deadline(_), SignalType::Lapsed) => Some(TimerOutcome::Lapsed),
        (Cause::Deadline(_), _) => Some(TimerOutcome::AtRisk),
        (Cause::Expiry(_), _) => Some(TimerOutcome::ReturnRateHigh),
        (
            Cause::Record(_)
            | Cause::DeadlineByRecord(..)
            | Cause::Cancelled(_)
            | Cause::Returned(_)
            | Cause::Retraction(..),
            _,
        ) => None,
    }
}

fn customer_state(state: State) -> CustomerState {
    match state {
        State::Prospect => CustomerState::Prospect,
        State::Active => CustomerState::Active,
        State::AtRisk => CustomerState::AtRisk,
        State::Lapsed => CustomerState::Lapsed,
    }
}

/// Adds the engine's counts of moves between states, from and to.
pub fn add_transitions(summary: &mut BatchSummary, counts: &Transitions) {
    for from in State::ALL {
        for to in State::ALL {
            if let Some(transition) = Transition::new(customer_state(from), customer_state(to)) {
                summary.transitions[transition] += counts[from as usize][to as usize];
            }
        }
    }
}

/// Where a partition stands after a commit. `target` is where wall time would put its clock.
pub fn gauges<T: crate::stream::broker::RecordBatch>(
    running: &mut Running<T>,
    rules: &Rules,
    target: Option<Time>,
    now: Moment,
) -> PartitionGauges {
    running.settle_figures(now);
    let is_overdue = target.is_some_and(|target| running.engine.next_due(target).is_some());
    let mut gauges = PartitionGauges {
        clock_ms: running.committed.clock.map(Time::as_millis),
        idle: running.streams.is_at_end(),
        clock_frozen: running.end_check.is_frozen,
        merge_waiting: running.is_waiting,
        state_entries: running.engine.customers_len() as u64,
        state_bytes: running.engine.heap_bytes() as u64,
        timers_pending: running.engine.timers_len() as u64,
        timers_overdue: u64::from(is_overdue),
        ..PartitionGauges::default()
    };
    add_figures(&mut gauges, &running.engine, rules);
    gauges
}

/// The windows of the domain's figures: all time first.
const WINDOWS: [Window; 4] = [Window::All, Window::Days30, Window::Days90, Window::Days365];

fn add_figures(gauges: &mut PartitionGauges, engine: &Engine, rules: &Rules) {
    for shop in rules.settings.shops.indexes() {
        let figures = engine.settled_figures(shop);
        for state in State::ALL {
            gauges.customers[customer_state(state)] += figures.customers_of(state);
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
            revenue[WindowRevenue(window, RevenueKind::Gross)] += figures.gross;
            revenue[WindowRevenue(window, RevenueKind::Net)] += figures.net();
        }
    }
}

/// How far each input is behind: records, and seconds by broker time; 0 when caught up.
pub fn lags<T: crate::stream::broker::RecordBatch>(
    running: &Running<T>,
    wall_millis: i64,
) -> PerInput<(u64, f64)> {
    PerInput::from_fn(|input| {
        let cursor = &running.streams.cursors[input];
        let records = cursor.end.0.saturating_sub(cursor.next.0);
        let head = running.streams.next_timestamp(input);
        let since = head.or(running.applied_at[input]).filter(|_| records > 0 || head.is_some());
        let seconds = since.map_or(0.0, |millis| (wall_millis - millis).max(0) as f64 / 1_000.0);
        (records, seconds)
    })
}
