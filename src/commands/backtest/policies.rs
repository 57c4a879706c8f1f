//! Policies in a backtest: whom each flags at a cut, and what its signals were worth while the history went on.

use std::collections::HashMap;

use crate::analysis::cut::{CustomerAtCut, Cut};
use crate::analysis::measures::Flags;
use crate::commands::shop_history::Observer;
use crate::domain::engine::Engine;
use crate::domain::lapse::LapsePolicies;
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::{RetractedKind, Signal};
use crate::domain::values::time::{Span, Time};
use crate::wire::encode::RecordContext;
use crate::wire::hash;

/// Half a year, which days to act are shown over.
pub(super) const WEEKS: usize = 26;

/// Whom a policy flags at a cut: at risk or lapsed, and lapsed.
pub(super) fn flags(policies: &LapsePolicies, cut: &Cut) -> [Flags; 2] {
    let mut flags = [Flags::default(); 2];
    for customer in &cut.customers {
        for (flags, flagged) in flags.iter_mut().zip(is_flagged(policies, customer, cut.at)) {
            flags.add(flagged, customer.after.placed);
        }
    }
    flags
}

/// Whether a policy flags a customer at a cut: at risk or lapsed, and lapsed.
pub(super) fn is_flagged(policies: &LapsePolicies, customer: &CustomerAtCut, at: Time) -> [bool; 2] {
    let deadlines = policies.deadlines(customer.shop, &customer.history);
    deadlines.map_or([false; 2], |deadlines| [at >= deadlines.at_risk, at >= deadlines.lapsed])
}

/// What the signals of a policy were worth over the whole history.
pub(super) struct Signals {
    horizon: Span,
    end: Time,
    /// By customer key.
    open: HashMap<u64, Open>,
    /// Days from `at_risk` to the order of those who came back.
    pub(super) days_to_act: Vec<i64>,
    /// Orders of customers who were not at risk.
    pub(super) in_time: u64,
    /// Lapses with a whole horizon behind them.
    pub(super) lapses: u64,
    /// Those of them that were followed by an order within the horizon.
    pub(super) false_lapses: u64,
    /// Days from the last order to the lapse, of those who did not come back within the horizon.
    pub(super) days_to_lapse: Vec<i64>,
}

#[derive(Clone, Copy, Default)]
struct Open {
    at_risk: Option<Time>,
    /// The lapse, and the last order before it.
    lapsed: Option<(Time, Time)>,
}

impl Signals {
    pub(super) fn new(horizon: Span, end: Time) -> Self {
        Self {
            horizon,
            end,
            open: HashMap::new(),
            days_to_act: Vec::new(),
            in_time: 0,
            lapses: 0,
            false_lapses: 0,
            days_to_lapse: Vec::new(),
        }
    }

    /// Counts the lapses that nothing followed.
    pub(super) fn finish(&mut self) {
        let open: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        open.into_iter().filter_map(|open| open.lapsed).for_each(|lapsed| self.count(lapsed, None));
        self.days_to_act.sort_unstable();
        self.days_to_lapse.sort_unstable();
    }

    fn count(&mut self, (lapsed_at, last_order_at): (Time, Time), ordered_at: Option<Time>) {
        if lapsed_at.plus(self.horizon) > self.end {
            return;
        }
        self.lapses += 1;
        if ordered_at.is_some_and(|ordered_at| ordered_at <= lapsed_at.plus(self.horizon)) {
            self.false_lapses += 1;
        } else {
            self.days_to_lapse.push(in_days(lapsed_at.since(last_order_at)));
        }
    }
}

fn in_days(span: Span) -> i64 {
    span.as_millis() / Span::DAY.as_millis()
}

impl Observer for Signals {
    fn stop(&mut self, _: &mut Engine, _: Time) {}

    fn emitted(&mut self, key: &[u8], signal: &Signal, _record: Option<&RecordContext<'_>>) {
        let key = hash::hash(key);
        // An alert, or how one ends; other signals say nothing about silence.
        if let SignalKind::AtRisk(silence) = &signal.kind {
            self.open.insert(key, Open { at_risk: Some(silence.deadline), lapsed: None });
        } else if let SignalKind::Lapsed(silence) = &signal.kind {
            self.open.entry(key).or_default().lapsed = Some((silence.deadline, silence.last_order_at));
        } else if let SignalKind::Recovered { .. } | SignalKind::WonBack { .. } = signal.kind {
            let Some(open) = self.open.remove(&key) else { return };
            self.days_to_act.extend(open.at_risk.map(|at| in_days(signal.occurred_at.since(at))));
            if let Some(lapsed) = open.lapsed {
                self.count(lapsed, Some(signal.occurred_at));
            }
        } else if let SignalKind::LapseRetracted { retracted: RetractedKind::Lapsed, .. } = signal.kind {
            self.open.entry(key).or_default().lapsed = None;
        } else if let SignalKind::LapseRetracted { .. } | SignalKind::BecameProspect = signal.kind {
            self.open.remove(&key);
        }
    }

    fn ordered_in_time(&mut self) {
        self.in_time += 1;
    }
}

/// How many of these days lie in each week from 0 on; the last one, [`WEEKS`], takes all later ones.
pub(super) fn by_week(days: &[i64]) -> Vec<u64> {
    let mut weeks = vec![0; WEEKS + 1];
    for days in days {
        weeks[usize::try_from(days / 7).unwrap_or(0).min(WEEKS)] += 1;
    }
    weeks
}

/// The quartiles of sorted days; none without any.
pub(super) fn quartiles(sorted: &[i64]) -> Option<[i64; 3]> {
    let last = sorted.len().checked_sub(1)?;
    Some([1, 2, 3].map(|quarter| sorted[last * quarter / 4]))
}
