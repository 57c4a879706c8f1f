//! The engine at work: records in, signals and midnights out as they come, profiles at the end.

use std::borrow::Cow;
use std::sync::Arc;

use super::dead_letters::DeadLetters;
use super::input_remarks::TimeRemarks;
use super::own_cuts::OwnCuts;
use super::remarks::Remarks;
use super::results::Output;
use crate::config::Config;
use crate::domain::engine::shop_totals::{GuestTotals, ShopTotals};
use crate::domain::engine::{Applied, Change, Engine, Outcome, Progress, Refusal as EngineRefusal, Standing};
use crate::domain::settings::Settings;
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::signal::Signal;
use crate::domain::values::event::{GuestRecord, Record};
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::money::Currency;
use crate::domain::values::time::{Span, Time};
use crate::exit::Failure;
use crate::formats::native::{Decoder, Event, Subject};
use crate::history::files::UnusableLine;
use crate::history::source::{Line, Source};
use crate::wire::encode::{EventCounts, ProfileEncoder, RecordContext, TruncatedCounts};
use crate::wire::reason::{Reason, Refusal};
use crate::wire::remark::Remark;

/// What becomes of a replay's signals, and of its midnights.
pub(crate) trait Observer {
    fn signal(
        &mut self,
        key: &[u8],
        signal: &Signal,
        record: Option<&RecordContext<'_>>,
    ) -> Result<(), Failure>;

    /// The clock leaves a UTC midnight behind: all that happened up to it and at it is applied.
    fn midnight(&mut self, engine: &mut Engine, at: Time) -> Result<(), Failure>;

    /// All is applied, and the clock stands at the end.
    fn end(&mut self, engine: &mut Engine, at: Time) -> Result<(), Failure>;
}

/// The shop of one replay.
pub(crate) struct ReplayRun<'c, O> {
    settings: &'c Settings,
    engine: Engine,
    decoder: &'c Decoder,
    observer: O,
    /// None without segments, and where the registry has cut points.
    own_cuts: Option<OwnCuts>,
    /// By slot: the clock at the customer's last change.
    profiles_at: Vec<Time>,
    pub(crate) counts: Counts,
    pub(crate) remarks: Remarks,
    pub(super) times: TimeRemarks,
    key: Vec<u8>,
    buffer: Vec<u8>,
}

/// Applied records and emitted signals.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) events: EventCounts,
    pub(crate) erasures: u64,
    /// Its customers are counted by [`ReplayRun::write_profiles`].
    pub(crate) truncated: TruncatedCounts,
    /// By [`SignalType::NAMES`].
    pub(crate) signals: [u64; SignalType::NAMES.len()],
}

impl<'c, O: Observer> ReplayRun<'c, O> {
    pub(crate) fn new(config: &'c Config, decoder: &'c Decoder, observer: O) -> Self {
        Self {
            settings: &config.settings,
            engine: Engine::new(Arc::new(config.settings.clone())),
            decoder,
            observer,
            own_cuts: OwnCuts::new(config),
            profiles_at: Vec::new(),
            counts: Counts::default(),
            remarks: Remarks::default(),
            times: TimeRemarks::new(config),
            key: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// The latest accepted event, or where [`Self::advance`] went.
    pub(crate) fn clock(&self) -> Option<Time> {
        self.engine.clock()
    }

    /// Applies the next record in time, after firing the timers that are due before it. `original` gives the bytes of a refused one.
    pub(crate) fn apply<'s>(
        &mut self,
        source: &'s Source,
        line: &Line,
        dead_letters: &mut DeadLetters,
        original: impl FnOnce() -> Cow<'s, [u8]>,
    ) -> Result<(), Failure> {
        let mut key = std::mem::take(&mut self.key);
        let event = source.decode(line, self.decoder, &mut key);
        let outcome = self.apply_event(&event)?;
        let refusal = self.count(&event, outcome, source, line);
        self.key = key;
        match refusal {
            Some(refusal) => dead_letters.write(&UnusableLine {
                refusal: &refusal,
                file: &source.file,
                line: line.number,
                original: &original(),
            }),
            None => Ok(()),
        }
    }

    /// Moves the clock on, never back, and fires the timers on the way.
    pub(crate) fn advance(&mut self, to: Time) -> Result<(), Failure> {
        self.cross_midnights(to)?;
        self.move_clock(to)
    }

    /// Nothing more is applied.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        match self.engine.clock() {
            Some(clock) => self.observer.end(&mut self.engine, clock),
            None => Ok(()),
        }
    }

    /// Writes each customer's profile as last published, by key.
    pub(crate) fn write_profiles(&mut self, customers: &mut Output) -> Result<(), Failure> {
        let encoder = ProfileEncoder::new(&self.settings.shops);
        let mut slots: Vec<CustomerSlot> = self.engine.customers().collect();
        slots.sort_unstable_by(|one, other| self.engine.key(*one).cmp(self.engine.key(*other)));
        for slot in slots {
            let profile = self.engine.profile(slot, self.profiles_at[slot.0 as usize]);
            self.counts.truncated.customers += u64::from(profile.truncated);
            self.buffer.clear();
            encoder.encode(self.engine.key(slot), &profile, &mut self.buffer);
            self.buffer.push(b'\n');
            customers.write(&self.buffer)?;
        }
        Ok(())
    }

    /// The keys of all customers.
    pub(super) fn customer_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.engine.customers().map(|slot| self.engine.key(slot))
    }

    /// Figures added up by currency.
    pub(crate) fn figures(&mut self) -> Vec<(Currency, ShopTotals, GuestTotals)> {
        let mut sums: Vec<(Currency, ShopTotals, GuestTotals)> = Vec::new();
        for shop in self.settings.shops.indexes() {
            let currency = self.settings.shops.get(shop).currency;
            let index = sums.binary_search_by_key(&currency, |sum| sum.0).unwrap_or_else(|index| {
                sums.insert(index, (currency, ShopTotals::default(), GuestTotals::default()));
                index
            });
            sums[index].1.merge(self.engine.figures(shop));
            sums[index].2.merge(self.engine.guests(shop));
        }
        sums
    }

    /// How many cut points were computed on the way; none if they are not computed.
    pub(crate) fn computed_cuts(&self) -> Option<usize> {
        self.own_cuts.as_ref().map(OwnCuts::count)
    }

    /// What it was made with.
    pub(crate) fn observer(&self) -> &O {
        &self.observer
    }

    /// What it was made with, at the end.
    pub(crate) fn into_observer(self) -> O {
        self.observer
    }

    fn apply_event(&mut self, event: &Event<'_>) -> Result<Outcome, Failure> {
        let time = event.time();
        match &event.subject {
            Subject::Customer(customer) => {
                if self.next_midnight().is_some_and(|midnight| midnight < time) {
                    // A refused record does not move the clock, so it crosses no midnight either.
                    if let Some(refusal) = self.engine.refusal(customer.key, &customer.record) {
                        return Ok(Outcome::Refused(refusal));
                    }
                    self.cross_midnights(time)?;
                }
                let outcome =
                    self.engine.handle_record(customer.key, event.shop, &customer.record, usize::MAX);
                self.take_effects(RecordContext::of(event).as_ref())?;
                Ok(outcome)
            }
            Subject::Erasure { key, record } => {
                self.cross_midnights(time)?;
                let outcome = self.engine.handle_erasure(*key, record, usize::MAX);
                self.take_effects(None)?;
                Ok(outcome)
            }
            Subject::Guest(guest) => {
                self.cross_midnights(time)?;
                let outcome = self.engine.handle_guest(event.shop, &guest.record, usize::MAX);
                self.take_effects(RecordContext::of(event).as_ref())?;
                Ok(outcome)
            }
        }
    }

    /// Counts what became of a record; gives why it was refused, if it was.
    fn count(
        &mut self,
        event: &Event<'_>,
        outcome: Outcome,
        source: &Source,
        line: &Line,
    ) -> Option<Refusal> {
        let applied = match outcome {
            Outcome::Refused(refusal) => {
                if refusal == EngineRefusal::Folded {
                    self.remarks.add(Remark::Folded, source, line);
                }
                return Some(refused(refusal));
            }
            Outcome::TimersPending => unreachable!("any number of timers may fire"),
            Outcome::Duplicate => {
                match &event.subject {
                    Subject::Customer(_) | Subject::Guest(_) => self.counts.events.duplicates += 1,
                    Subject::Erasure { .. } => self.counts.erasures += 1,
                }
                return None;
            }
            Outcome::Applied(applied) => applied,
        };
        self.times.add(event.time());
        let events = &mut self.counts.events;
        let mut is_test = false;
        match &event.subject {
            Subject::Customer(customer) => match &customer.record {
                Record::Order(order) => {
                    events.orders += 1;
                    is_test = order.test;
                }
                Record::Cancellation(_) => events.cancellations += 1,
                Record::Return(_) => events.returns += 1,
            },
            Subject::Erasure { .. } => self.counts.erasures += 1,
            Subject::Guest(guest) => match &guest.record {
                GuestRecord::Order { .. } => events.orders += 1,
                GuestRecord::Return { .. } => events.returns += 1,
            },
        }
        let of_outcome = match applied {
            Applied::Conflicting { standing } => {
                if standing == Standing::Arrived {
                    self.remarks.add(Remark::ConflictReplaced, source, line);
                }
                Some(Remark::Conflicting)
            }
            Applied::Ineffective => Some(Remark::IneffectiveCancellation),
            Applied::Order { .. } | Applied::Return { .. } | Applied::Other => None,
        };
        let of_test = is_test.then_some(Remark::TestOrder);
        // A return whose customer was found by the order is a customer's event now, so the source is asked.
        let of_event = event.remarks().filter(|remark| *remark != Remark::ReturnWithoutCustomer);
        for remark in of_event.chain(of_outcome).chain(of_test) {
            self.remarks.add(remark, source, line);
        }
        if let Some(is_found) = source.customer_found(line) {
            self.remarks.add_return_without_customer(source, line, is_found);
        }
        None
    }

    /// Writes a line for each midnight that the clock leaves behind on its way: by then all of its instant has happened.
    fn cross_midnights(&mut self, to: Time) -> Result<(), Failure> {
        let first = self.next_midnight();
        let following = |midnight: &Time| Some(midnight.next_midnight());
        for midnight in std::iter::successors(first, following).take_while(|midnight| *midnight < to) {
            self.move_clock(midnight)?;
            self.observer.midnight(&mut self.engine, midnight)?;
            if let Some(own_cuts) = &mut self.own_cuts {
                own_cuts.midnight(&mut self.engine, midnight);
            }
        }
        Ok(())
    }

    /// The next midnight that the clock will leave behind; it may stand there.
    fn next_midnight(&self) -> Option<Time> {
        let clock = self.engine.clock()?;
        let is_midnight = clock.as_millis() % Span::DAY.as_millis() == 0;
        Some(if is_midnight { clock } else { clock.next_midnight() })
    }

    fn move_clock(&mut self, to: Time) -> Result<(), Failure> {
        let progress = self.engine.advance_clock(to, usize::MAX);
        assert_eq!(progress, Progress::Done, "any number of timers may fire");
        self.take_effects(None)
    }

    fn take_effects(&mut self, record: Option<&RecordContext<'_>>) -> Result<(), Failure> {
        self.counts.truncated.orders += self.engine.take_folded_early();
        for (key, signal) in self.engine.drain_signals() {
            self.counts.signals[signal.kind.signal_type().index()] += 1;
            self.observer.signal(key, &signal, record)?;
        }
        for change in self.engine.changes() {
            if let Change::Customer { slot, profile_at: Some(at) } = change {
                let slot = slot.0 as usize;
                if slot >= self.profiles_at.len() {
                    self.profiles_at.resize(slot + 1, *at);
                }
                self.profiles_at[slot] = *at;
            }
        }
        self.engine.changes_committed();
        Ok(())
    }
}

fn refused(refusal: EngineRefusal) -> Refusal {
    match refusal {
        EngineRefusal::TooOld => {
            Refusal::new(Reason::TooOld, "it is further behind the latest record than the lateness")
        }
        EngineRefusal::Folded => {
            Refusal::new(Reason::TooOld, "it is from the part of the customer's history that has folded")
        }
        EngineRefusal::Erased => Refusal::new(
            Reason::Erased,
            "the customer was erased, and it is from before the request or names an order from before it",
        ),
    }
}
