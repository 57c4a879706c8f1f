//! What a worker counts in a batch. The table lists every counter of committed batches: a row is all that one needs here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::counter_value::{CounterValue, counter_table};
use super::groups::EVENT_AGE_MAX_MS;
use super::label::PerLabel;
use super::labels::{OrderKind, Outcome, Remark, Stage, TimerOutcome, TopicReason, Transition};
use super::registrar::Registrar;
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::rule::RuleAction;
use crate::domain::values::money::Currency;
use crate::topic::{Input, Output};

/// A currency as a label, with the factor from its minor units to whole ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CurrencyLabel {
    code: [u8; 3],
    digits: u8,
}

/// Money of one currency in a batch, in minor units. Nothing here is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CurrencyValues {
    /// Totals of the accepted orders of known customers.
    pub orders_minor: u64,
    /// Refunds of the accepted returns of known customers.
    pub refunds_minor: u64,
    /// Totals of the accepted orders of guests.
    pub guest_orders_minor: u64,
}

/// Instants in milliseconds since 1970, of which many in a row are the same: records come by the hundreds in a millisecond.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instants {
    runs: Vec<(i64, u32)>,
}

impl Instants {
    /// Adds one more.
    pub fn push(&mut self, instant_ms: i64) {
        match self.runs.last_mut() {
            Some((last_ms, count)) if *last_ms == instant_ms && *count < u32::MAX => *count += 1,
            Some(_) | None => self.runs.push((instant_ms, 1)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.runs.iter().flat_map(|(instant_ms, count)| std::iter::repeat_n(*instant_ms, *count as usize))
    }

    fn clear(&mut self) {
        self.runs.clear();
    }
}

impl Extend<i64> for Instants {
    fn extend<T: IntoIterator<Item = i64>>(&mut self, instants_ms: T) {
        instants_ms.into_iter().for_each(|instant_ms| self.push(instant_ms));
    }
}

/// Instants in milliseconds since 1970, of which those beyond the last bucket are only counted: a backlog's
/// batch has a million of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ages {
    recent_ms: Vec<i64>,
    long_ago: u32,
    /// The sum of those.
    long_ago_ms: i128,
}

impl Ages {
    /// Adds one more. What is committed is committed after `now_ms`.
    pub fn push(&mut self, instant_ms: i64, now_ms: i64) {
        if now_ms.saturating_sub(instant_ms) > EVENT_AGE_MAX_MS {
            self.long_ago += 1;
            self.long_ago_ms += i128::from(instant_ms);
        } else {
            self.recent_ms.push(instant_ms);
        }
    }

    /// All of them; in the place of each that was long ago, their mean, down to the millisecond.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        let mean_ms = self.long_ago_ms.checked_div(self.long_ago.into()).unwrap_or_default();
        let mean_ms = i64::try_from(mean_ms).expect("a mean lies among what it is of");
        self.recent_ms.iter().copied().chain(std::iter::repeat_n(mean_ms, self.long_ago as usize))
    }

    fn clear(&mut self) {
        self.recent_ms.clear();
        (self.long_ago, self.long_ago_ms) = (0, 0);
    }
}

counter_table! {
    /// The counts of one batch, or of one partition's part of it.
    ///
    /// Filled while records are applied, added by [`Metrics::on_batch`](super::Metrics::on_batch) after the commit, and
    /// dropped or cleared when the batch is: so nothing counts twice after an abort, a retry or a restore.
    BatchSummary =>
    /// The counters of committed batches.
    BatchCounters {
        input_records: PerLabel<Input, u64> = "retention_input_records_total",
            "Records read and committed, dead letters included";
        input_bytes: PerLabel<Input, u64> = "retention_input_bytes_total",
            "Bytes of the keys and values of records read and committed";
        outcomes: PerLabel<Outcome, u64> = "retention_records_total",
            "Records read and committed, by what became of them";
        dead_letters: PerLabel<TopicReason, u64> = "retention_dead_letter_records_total",
            "Dead letters by input topic and reason";
        late_records: u64 = "retention_late_records_total",
            "Accepted records with a time before their partition's clock";
        remarks: PerLabel<Remark, u64> = "retention_record_remarks_total",
            "Records that may deserve a look, by remark";
        signals: PerLabel<SignalType, u64> = "retention_signals_total",
            "Signals committed, by type";
        signals_held_back: u64 = "retention_signals_held_back_total",
            "Signals about instants before `signals.from` that were not published";
        output_records: PerLabel<Output, u64> = "retention_output_records_total",
            "Records written and committed, by topic";
        timers_fired: PerLabel<TimerOutcome, u64> = "retention_timers_fired_total",
            "Timers fired, by the signal they gave";
        transitions: PerLabel<Transition, u64> = "retention_customer_transitions_total",
            "Customers that moved between two states";
        orders: PerLabel<OrderKind, u64> = "retention_orders_total",
            "Accepted orders of known customers";
        returns: u64 = "retention_returns_total",
            "Accepted returns of known customers";
        guest_orders: u64 = "retention_guest_orders_total",
            "Accepted orders of guests";
        rule_firings_capped: u64 = "retention_rule_firings_capped_total",
            "Firings of rules that a cap held back";
        rule_triggers_dropped: u64 = "retention_rule_triggers_dropped_total",
            "Triggers of rules that found 16 firings of the customer planned, or 8 for goods";
    }
    beside {
        /// When the records were appended, by the broker, in milliseconds since 1970. Records without a broker time are left
        /// out, and so are dead letters: their latency means nothing.
        appended_at_ms: PerLabel<Input, Instants>;
        /// When what the accepted records describe happened, in milliseconds since 1970.
        happened_at_ms: PerLabel<Input, Ages>;
        /// For each timer that fired at a confirmed end of the inputs: how long after the earliest moment that allows it
        /// (its deadline plus the clock's grace).
        timer_delays: Vec<Duration>;
        /// Money by currency.
        values: BTreeMap<CurrencyLabel, CurrencyValues>;
        /// Signals of rules by name and action.
        rule_signals: BTreeMap<(Arc<str>, RuleAction), u64>;
    }
}

/// One committed transaction.
#[derive(Debug, Clone, Default)]
pub struct TransactionSummary {
    /// From its begin to the known outcome.
    pub duration: Duration,
    /// Records written in it, over all topics.
    pub records: u64,
    /// What the batch spent in each stage, summed over its parts.
    pub stages: PerLabel<Stage, Duration>,
    /// When the outcome was known, in milliseconds since 1970.
    pub committed_at_ms: i64,
}

impl BatchSummary {
    /// Forgets everything, and keeps the memory for the next batch.
    pub fn clear(&mut self) {
        let mut appended_at_ms = std::mem::take(&mut self.appended_at_ms);
        let mut happened_at_ms = std::mem::take(&mut self.happened_at_ms);
        let mut timer_delays = std::mem::take(&mut self.timer_delays);
        for topic in Input::ALL {
            appended_at_ms[topic].clear();
            happened_at_ms[topic].clear();
        }
        timer_delays.clear();
        *self = Self { appended_at_ms, happened_at_ms, timer_delays, ..Self::default() };
    }
}

impl CurrencyLabel {
    /// An ISO 4217 code and the number of digits after its decimal point. `None` if the code is not three capital
    /// letters, or if there are more than 4 digits: then it is no currency.
    pub fn new(code: &str, digits: u8) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        (code.iter().all(u8::is_ascii_uppercase) && digits <= 4).then_some(Self { code, digits })
    }

    /// An amount in units of the currency, with exactly its digits.
    pub fn amount(&self, units: f64) -> String {
        format!("{units:.digits$}", digits = usize::from(self.digits))
    }

    /// A known currency.
    pub fn of(currency: Currency) -> Self {
        Self::new(&currency.to_string(), currency.digits())
            .expect("a known currency has three letters and few digits")
    }

    /// The code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).expect("three ASCII letters, checked by new")
    }

    /// Minor units as whole units. Rounded: metrics are for watching, the topics have the exact amounts.
    #[expect(clippy::disallowed_methods, reason = "nothing is decided by it")]
    pub(super) fn whole_units(self, minor: f64) -> f64 {
        minor / 10_f64.powi(i32::from(self.digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_label_is_three_capital_letters() {
        let check = |code, digits| CurrencyLabel::new(code, digits).map(|label| label.code().to_owned());
        assert_eq!(check("EUR", 2), Some("EUR".to_owned()));
        assert_eq!(check("eur", 2), None);
        assert_eq!(check("EURO", 2), None);
        assert_eq!(check("EUR", 5), None);
    }

    #[test]
    fn whole_units_follow_the_digits_of_the_currency() {
        let whole = |code, digits, minor| {
            CurrencyLabel::new(code, digits).map(|label: CurrencyLabel| label.whole_units(minor))
        };
        assert_eq!(whole("JPY", 0, 500.0), Some(500.0));
        assert_eq!(whole("EUR", 2, 1_250.0), Some(12.5));
        assert_eq!(whole("KWD", 3, 1_250.0), Some(1.25));
    }

    #[test]
    fn a_cleared_summary_is_as_new_but_keeps_its_memory() {
        let mut summary = BatchSummary::default();
        summary.outcomes[Outcome::Applied] = 3;
        summary.appended_at_ms[Input::Orders].push(1);
        summary.happened_at_ms[Input::Orders].recent_ms = Vec::with_capacity(100);
        summary.happened_at_ms[Input::Orders].push(1, 2);
        summary.happened_at_ms[Input::Orders].push(1, i64::MAX);
        summary.clear();
        assert_eq!(summary.outcomes[Outcome::Applied], 0);
        assert_eq!(summary.appended_at_ms[Input::Orders], Instants::default());
        assert_eq!(summary.happened_at_ms[Input::Orders], Ages::default());
        assert!(summary.happened_at_ms[Input::Orders].recent_ms.capacity() >= 100);
    }

    #[test]
    fn what_was_long_ago_takes_no_memory() {
        let mut ages = Ages::default();
        let bound_ms = EVENT_AGE_MAX_MS;
        for (instant_ms, now_ms) in [(7, 7), (0, bound_ms), (3, bound_ms + 4), (6, bound_ms + 7), (9, 8)] {
            ages.push(instant_ms, now_ms);
        }
        assert_eq!(ages.recent_ms, [7, 0, 9]);
        assert_eq!(ages.iter().collect::<Vec<_>>(), [7, 0, 9, 4, 4]);
    }

    #[test]
    fn instants_are_all_there_in_little_memory() {
        let mut instants = Instants::default();
        instants.extend([5, 5, 5, 4, 5, 5]);
        assert_eq!(instants.iter().collect::<Vec<_>>(), [5, 5, 5, 4, 5, 5]);
        assert_eq!(instants.runs, [(5, 3), (4, 1), (5, 2)]);
    }
}
