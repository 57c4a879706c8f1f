//! Reads the topic of signals back, as a subscriber would, and prints some of them.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use indicatif::HumanCount;

use super::line::{BOLD, DIM, GREEN, Paint, RED, SignalRecord, YELLOW};
use super::screen::Screen;
use crate::domain::signals::signal::State;
use crate::domain::values::time::Time;
use crate::kafka::Subscriber;
use crate::observe::metrics::{Metrics, Overview};
use crate::wire::encode::time_text;

/// Lines come as fast as they can be read at a glance; the shop has some three hundred signals a second.
const LINE_EVERY: Duration = Duration::from_millis(120);
const STATUS_EVERY: Duration = Duration::from_millis(250);
/// Rates are those of the last seconds.
const RATES_OVER: Duration = Duration::from_secs(2);
/// The subscriber waits so long for a signal before it looks at the time.
const READ_MAX: Duration = Duration::from_millis(20);
/// For signals that are committed and not read yet, at the end.
const LAST_READ_MAX: Duration = Duration::from_secs(3);

/// See the module.
pub struct Narrator<'a, W> {
    pub subscriber: Subscriber,
    pub metrics: &'a Metrics,
    /// The shop's time.
    pub now: &'a (dyn Fn() -> Time + Sync),
    pub greeting: String,
    pub screen: Screen<W>,
    pub paint: Paint,
    pub currency: &'a str,
}

impl<W: Write> Narrator<'_, W> {
    /// Greets, and prints until as many signals are read as `end` announces. Returns how many it has read.
    ///
    /// # Errors
    /// The output is closed.
    pub fn print(mut self, end: &Receiver<u64>) -> io::Result<u64> {
        self.screen.line(&self.greeting)?;
        let mut choice = Choice::default();
        let mut rates = Rates::default();
        let mut read = 0;
        let mut last: Option<(u64, Instant)> = None;
        let (mut line_at, mut status_at) = (Instant::now(), Instant::now());
        loop {
            if let Some(value) = self.subscriber.next_value(READ_MAX) {
                read += 1;
                choice.consider(SignalRecord::parse(&value));
            }
            let now = Instant::now();
            if now >= line_at
                && let Some(signal) = choice.take()
            {
                self.screen.line(&signal.line(self.currency, self.paint))?;
                line_at = now + LINE_EVERY;
            }
            if now >= status_at {
                let overview = self.metrics.overview();
                let rates = rates.of(&overview, now);
                self.screen.status(&self.status(&overview, rates), now)?;
                status_at = now + STATUS_EVERY;
            }
            last = last.or_else(|| match end.try_recv() {
                Ok(all) => Some((all, now + LAST_READ_MAX)),
                Err(TryRecvError::Disconnected) => Some((read, now)),
                Err(TryRecvError::Empty) => None,
            });
            if last.is_some_and(|(all, deadline)| read >= all || now >= deadline) {
                self.screen.end()?;
                return Ok(read);
            }
        }
    }

    fn status(&self, overview: &Overview, rates: (f64, f64)) -> String {
        let paint = self.paint;
        let customers = &overview.partitions.customers;
        let count = |state: State| HumanCount(customers[state] as u64);
        let lag: f64 = overview.partitions.lag_records.iter().map(|(_, records)| records).sum();
        let date = date((self.now)());
        format!(
            "{}  {} · {} · {}  {}",
            paint.with(BOLD, &date),
            paint.with(GREEN, &format!("{} active", count(State::Active))),
            paint.with(YELLOW, &format!("{} at risk", count(State::AtRisk))),
            paint.with(RED, &format!("{} lapsed", count(State::Lapsed))),
            paint.with(DIM, &format!("{:.0} events/s · {:.0} signals/s · lag {lag:.0}", rates.0, rates.1)),
        )
    }
}

/// Its date, as in records.
pub fn date(time: Time) -> String {
    String::from_utf8_lossy(&time_text(time)[..10]).into_owned()
}

/// Which of the signals since the last line is printed next: one of the type printed least often, so that all types are seen, and all
/// rules.
#[derive(Default)]
struct Choice {
    printed: BTreeMap<String, u64>,
    waiting: Option<SignalRecord>,
}

impl Choice {
    fn consider(&mut self, signal: Option<SignalRecord>) {
        let times_told =
            |signal: &SignalRecord| self.printed.get(signal.subject()).copied().unwrap_or_default();
        let Some(signal) = signal else { return };
        let is_rarer = self.waiting.as_ref().is_none_or(|waiting| times_told(&signal) < times_told(waiting));
        if is_rarer {
            self.waiting = Some(signal);
        }
    }

    fn take(&mut self) -> Option<SignalRecord> {
        let signal = self.waiting.take()?;
        *self.printed.entry(signal.subject().to_owned()).or_default() += 1;
        Some(signal)
    }
}

/// Totals of the last seconds.
#[derive(Default)]
struct Rates {
    totals: VecDeque<(Instant, u64, u64)>,
}

impl Rates {
    /// Events and signals a second.
    fn of(&mut self, overview: &Overview, now: Instant) -> (f64, f64) {
        let events = overview.outcomes.iter().map(|(_, count)| count).sum();
        let signals = overview.signals.iter().map(|(_, count)| count).sum();
        self.totals.push_back((now, events, signals));
        while self.totals.len() > 2 && now.duration_since(self.totals[0].0) > RATES_OVER {
            self.totals.pop_front();
        }
        let (since, events_before, signals_before) = self.totals[0];
        let seconds = now.duration_since(since).as_secs_f64().max(0.1);
        ((events - events_before) as f64 / seconds, (signals - signals_before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(signal_type: &str) -> Option<SignalRecord> {
        let value = format!(
            r#"{{"type":"{signal_type}","customer_id":"ada","occurred_at":"2026-03-14T12:00:00.000Z","data":{{}}}}"#
        );
        SignalRecord::parse(value.as_bytes())
    }

    fn firing(rule: &str) -> Option<SignalRecord> {
        let value = format!(
            r#"{{"type":"rule","customer_id":"ada","occurred_at":"2026-03-14T12:00:00.000Z","data":{{"rule":"{rule}"}}}}"#
        );
        SignalRecord::parse(value.as_bytes())
    }

    #[test]
    fn each_rule_is_printed() {
        let mut choice = Choice::default();
        let mut printed = Vec::new();
        for _ in 0..3 {
            for rule in ["news", "news", "gift"] {
                choice.consider(firing(rule));
            }
            printed.extend(choice.take().map(|signal| signal.subject().to_owned()));
        }
        assert_eq!(printed, ["news", "gift", "news"]);
    }

    #[test]
    fn rare_signals_are_printed_first() {
        let mut choice = Choice::default();
        let mut printed = Vec::new();
        for _ in 0..3 {
            for signal_type in ["first_order", "first_order", "won_back", "lapsed"] {
                choice.consider(signal(signal_type));
            }
            printed.extend(choice.take().map(|signal| signal.signal_type));
        }
        assert_eq!(printed, ["first_order", "won_back", "lapsed"]);
        assert!(choice.take().is_none(), "each is printed once");
    }
}
