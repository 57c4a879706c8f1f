//! Records in, effects collected: the inner loop of the service.
//!
//! Heads borrow from the batches at hand, so nothing is copied on the way; a head that is not applied before the loop is left
//! is decoded once more.

use std::sync::Arc;
use std::time::Duration;

use tracing::trace;

use crate::config;
use crate::domain::engine::{Applied, Engine, Outcome, Progress, Refusal as EngineRefusal, Standing};
use crate::domain::rules::counts::RuleCounts;
use crate::domain::values::event::{GuestRecord, Record};
use crate::domain::values::time::{Span, Time};
use crate::fault::{self, Noted};
use crate::formats::native::{Event, Subject};
use crate::observe::metrics::{OrderKind, Outcome as RecordOutcome, Remark, TimerOutcome};
use crate::observe::telemetry::Redacted;
use crate::stream::broker::{Moment, RecordBatch, RecordView};
use crate::stream::labels;
use crate::stream::rules::Rules;
use crate::topic::{Input, Partition, PerInput, Topic};
use crate::wire::changelog;
use crate::wire::encode::{DeadLetter, RecordContext, Source};
use crate::wire::hash;
use crate::wire::reason::{Reason, Refusal};

use super::Running;
use super::dead_letters::{Counting, DeadLetterWindow, RefusedRecord};
use super::merge::{Choice, Cursor, MergeKey, Offer, choose};
use super::partition_batch::PartitionBatch;

/// More timers at once are spread over several batches: a transaction must end well within its timeout.
pub const TIMERS_MAX: usize = 10_000;
/// Of so many records one is timed: reading the clock for each would cost as much as some of the work.
const TIMED_OF: u32 = 32;

/// What the loop needs beside the partition.
pub struct Tools<'a> {
    pub rules: &'a Rules,
    pub partition: Partition,
    /// How many partitions each input has.
    pub partitions: u32,
    /// The shop's time, taken once for the run.
    pub shop_now: Time,
    /// The machine's, in milliseconds since 1970, taken with it.
    pub wall_ms: i64,
    /// The most that a dead letter may measure.
    pub record_bytes_max: usize,
    pub moment: &'a dyn Fn() -> Moment,
    pub decoding: &'a mut Decoding,
}

/// Time spent on decoding: measured for some of the records, estimated for all.
#[derive(Default)]
pub struct Decoding {
    records: u32,
    timed_records: u32,
    timed: Duration,
}

impl Decoding {
    pub fn estimate(&self) -> Duration {
        (self.timed * self.records).checked_div(self.timed_records).unwrap_or_default()
    }
}

/// Why the loop was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// An input has to be fetched.
    Fetch,
    /// The next record waits for this input, which has more to fetch.
    Wait(Input),
    /// Everything at hand is applied.
    Empty,
    /// As many records as were asked for are applied.
    Full,
    /// The part is closed: the batch has to be committed first.
    Closed,
    /// The next record would cross the limit on dead letters: see [`Running::limit`].
    Limit,
}

/// An input's next record.
struct Head<'a> {
    view: RecordView<'a>,
    key: MergeKey,
    content: Result<Event<'a>, Refusal>,
}

impl<T: RecordBatch> Running<T> {
    /// Applies records in merge order, at most `records_max`. Once all of a history are applied, settles its customers.
    pub fn apply(&mut self, tools: &mut Tools<'_>, records_max: usize) -> Pause {
        if self.history.is_none() {
            return self.apply_records(tools, records_max);
        }
        let records_before = self.part.records;
        let pause = self.apply_records(tools, records_max);
        if let Some(history) = &mut self.history {
            history.records += (self.part.records - records_before) as u64;
        }
        if pause == Pause::Empty && self.is_history_read() { self.settle_history(tools) } else { pause }
    }

    fn apply_records(&mut self, tools: &mut Tools<'_>, records_max: usize) -> Pause {
        let stop_at = self.stop_at(tools.shop_now);
        let Self { engine, streams, window, limit, part, applied_at, history, .. } = self;
        let batches = &streams.batches;
        let cursors = &mut streams.cursors;
        let mut heads = PerInput::from_fn(|_| None);
        for _ in 0..records_max {
            if part.is_closed {
                return Pause::Closed;
            }
            if engine.clock() >= Some(stop_at) {
                return Pause::Full;
            }
            let readable = match history {
                None => PerInput([true; Input::COUNT]),
                Some(history) => history.readable(batches, cursors),
            };
            for input in Input::ALL {
                if heads[input].is_none() && readable[input] {
                    let (batch, cursor) = (batches[input].as_ref(), &mut cursors[input]);
                    heads[input] = next_head(input, batch, cursor, part, tools);
                    if let Some(batch) = batch {
                        engine.look_ahead(cursor.index(), batch.len(), |index| batch.get(index).key);
                    }
                }
            }
            let offers = PerInput::from_fn(|input| match (&heads[input], &batches[input]) {
                _ if !readable[input] => Offer::Nothing,
                (Some(head), _) => Offer::Head(head.key),
                (None, Some(_)) => Offer::Unknown,
                (None, None) => cursors[input].offer_without_head(),
            });
            let input = match choose(&offers) {
                Choice::Take(input) => input,
                Choice::Fetch(_) => return Pause::Fetch,
                Choice::Wait(input) => return Pause::Wait(input),
                Choice::Empty => return Pause::Empty,
            };
            let head = heads[input].take().expect("only a head is taken");
            let mut applying = Applying { engine, part, tools, input, view: head.view };
            let outcome = match &head.content {
                Ok(event) => applying.event(event),
                Err(refusal) => {
                    let record = RefusedRecord { input, offset: head.view.offset, reason: refusal.reason };
                    let Some(outcome) = window.admit(record, counting(&head.view, applying.tools)) else {
                        *limit = Some(window.limit_reached(record, refusal));
                        return Pause::Limit;
                    };
                    applying.dead_letter(refusal);
                    Some(outcome)
                }
            };
            let Some(outcome) = outcome else {
                // Its timers were too many for one batch; the record comes again.
                if let Some(clock) = engine.clock() {
                    fault::note(tools.partition, Noted::TimersFired(clock));
                }
                part.is_closed = true;
                part.has_timers_left = true;
                return Pause::Closed;
            };
            cursors[input].advance(head.view.offset.next(), head.key);
            fault::note(tools.partition, Noted::Applied(input, head.view.offset));
            applied_at[input] = head.view.timestamp_ms;
            part.records += 1;
            if window.push(outcome) {
                report_too_old(window, tools);
            }
        }
        Pause::Full
    }

    /// Moves the clock of a partition whose ends are confirmed. That is the last thing in its batch.
    pub fn advance_clock(&mut self, tools: &mut Tools<'_>, to: Time) {
        let Self { engine, part, day_count, .. } = self;
        if let (None, Some(day_count)) = (engine.clock(), day_count) {
            // The clock begins with the first record, which may be an old one.
            day_count.count_no_customers(to, tools.shop_now);
            return;
        }
        let first_signal = part.signals.len();
        let progress = engine.advance_clock(to, timers_max());
        drain_signals(engine, None, part, tools);
        fault::note(tools.partition, Noted::ClockMoved(engine.clock().unwrap_or(to)));
        part.is_closed = true;
        part.has_timers_left = progress == Progress::More;
        if part.has_timers_left {
            fault::note(tools.partition, Noted::TimersLeft);
        }
        if !tools.rules.shop_time.is_wall() {
            return; // A delay in the shop's time says nothing about the machine.
        }
        let delays = part.signals.iter().skip(first_signal).map(|signal| to.since(signal.occurred_at));
        let delays: Vec<_> =
            delays.map(|delay| Duration::from_millis(delay.as_millis().max(0).unsigned_abs())).collect();
        part.summary.timer_delays.extend(delays);
    }
}

/// Most of a window is too old: it is reported once.
fn report_too_old(window: &DeadLetterWindow, tools: &Tools<'_>) {
    let (too_old, records) = window.too_old();
    tracing::warn!(
        partition = tools.partition.0,
        too_old,
        records,
        lateness = duration_text(tools.rules.settings.lateness),
        "over half of the last records were refused as too old, more than `records.lateness` before the partition's clock; is \
         history being loaded? docs/HISTORY.md says what to do"
    );
}

/// Decodes an input's next record, if one is at hand.
fn next_head<'a, T: RecordBatch>(
    input: Input,
    batch: Option<&'a T>,
    cursor: &mut Cursor,
    part: &mut PartitionBatch,
    tools: &mut Tools<'_>,
) -> Option<Head<'a>> {
    let (index, skipped) = cursor.seek(batch);
    if skipped > 0 {
        part.summary.input_records[input] += skipped as u64;
        part.summary.outcomes[RecordOutcome::Skipped] += skipped as u64;
    }
    let view = batch?.get(index?);
    let timed_from = tools.decoding.records.is_multiple_of(TIMED_OF).then(|| (tools.moment)());
    tools.decoding.records += 1;
    let decoded = tools.rules.decoder.decode(input, view.key, view.value);
    if let Some(from) = timed_from {
        tools.decoding.timed += (tools.moment)().since(from);
        tools.decoding.timed_records += 1;
    }
    let key = match &decoded {
        Ok(event) if !is_in_future(event, &view, tools) => cursor.key.max(Some(event.time())),
        Ok(_) | Err(_) => cursor.key,
    };
    let content = decoded.and_then(|event| check_place(&event, &view, tools).map(|()| event));
    Some(Head { view, key, content })
}

/// What depends on where and when the record was read: refused before it can move a clock.
fn check_place(event: &Event<'_>, view: &RecordView<'_>, tools: &Tools<'_>) -> Result<(), Refusal> {
    if let Some(key) = event.customer_key() {
        let partition = hash::partition(key.bytes, tools.partitions);
        if partition != tools.partition.0 {
            let detail = format!("the key belongs to partition {partition} (murmur2)");
            return Err(Refusal::new(Reason::WrongPartition, detail));
        }
    }
    if is_in_future(event, view, tools) {
        let skew = duration_text(tools.rules.clock.skew);
        let detail = format!("more than `clock.skew` ({skew}) after the broker's time, or this machine's");
        return Err(Refusal::new(Reason::InFuture, detail));
    }
    Ok(())
}

fn is_in_future(event: &Event<'_>, view: &RecordView<'_>, tools: &Tools<'_>) -> bool {
    let skew = tools.rules.clock.skew;
    if event.time() > tools.shop_now.plus(skew) {
        return true;
    }
    let broker_time = view.timestamp_ms.filter(|_| tools.rules.shop_time.is_wall());
    broker_time.is_some_and(|millis| event.time().as_millis() > millis.saturating_add(skew.as_millis()))
}

/// Whether the limit on dead letters asks about a record, if it is refused.
fn counting(view: &RecordView<'_>, tools: &Tools<'_>) -> Counting {
    let accepted_before = tools.rules.dead_letters_accepted_before_ms;
    let is_accepted = accepted_before.zip(view.timestamp_ms).is_some_and(|(before, at)| at < before);
    if is_accepted { Counting::Accepted } else { Counting::Counts }
}

/// One record and what it may change.
struct Applying<'a, 't> {
    engine: &'a mut Engine,
    part: &'a mut PartitionBatch,
    tools: &'a mut Tools<'t>,
    input: Input,
    view: RecordView<'a>,
}

impl Applying<'_, '_> {
    /// None if timers have to be committed first.
    fn event(&mut self, event: &Event<'_>) -> Option<changelog::Outcome> {
        let is_live = self.engine.is_live();
        let clock = self.engine.clock();
        let outcome = match &event.subject {
            Subject::Customer(customer) => {
                self.engine.handle_record(customer.key, event.shop, &customer.record, timers_max())
            }
            Subject::Erasure { key, record } => self.engine.handle_erasure(*key, record, timers_max()),
            Subject::Guest(guest) => self.engine.handle_guest(event.shop, &guest.record, timers_max()),
        };
        if !is_live {
            self.report_folded_in_history(event);
        }
        let record = RecordContext::of(event);
        drain_signals(self.engine, record.as_ref(), self.part, self.tools);
        match outcome {
            Outcome::TimersPending => None,
            Outcome::Refused(refusal) => {
                let is_folded = refusal == EngineRefusal::Folded;
                self.part.summary.remarks[Remark::Folded] += u64::from(is_folded);
                let refusal = refused(refusal, self.tools.rules.settings.lateness);
                self.dead_letter(&refusal);
                Some(changelog::Outcome::of_refusal(refusal.reason))
            }
            Outcome::Duplicate => {
                self.count(RecordOutcome::Duplicate);
                Some(changelog::Outcome::Passed)
            }
            Outcome::Applied(applied) => {
                self.count(RecordOutcome::Applied);
                let summary = &mut self.part.summary;
                summary.late_records += u64::from(is_live && clock > Some(event.time()));
                let topic = self.input;
                summary.appended_at_ms[topic].extend(self.view.timestamp_ms);
                summary.happened_at_ms[topic].push(event.time().as_millis(), self.tools.wall_ms);
                self.count_remarks(event, applied);
                // What history brings is no news of today.
                if is_live {
                    self.count_business(event, applied);
                }
                Some(changelog::Outcome::Passed)
            }
        }
    }

    fn dead_letter(&mut self, refusal: &Refusal) {
        self.count(RecordOutcome::DeadLettered);
        let topic = self.input;
        self.part.on_refused(topic, self.view.offset, refusal);
        let source = Source {
            topic: self.tools.rules.topic_name(Topic::Input(self.input)),
            partition: self.tools.partition.0,
            offset: self.view.offset.0,
            timestamp_ms: self.view.timestamp_ms,
        };
        let RecordView { key, value, .. } = self.view;
        let letter = DeadLetter::new(refusal, &source, key, value, self.tools.record_bytes_max);
        self.part.add_dead_letter(letter);
    }

    fn count(&mut self, outcome: RecordOutcome) {
        let summary = &mut self.part.summary;
        let topic = self.input;
        let bytes = self.view.key.map_or(0, <[u8]>::len) + self.view.value.map_or(0, <[u8]>::len);
        summary.input_records[topic] += 1;
        summary.input_bytes[topic] += bytes as u64;
        summary.outcomes[outcome] += 1;
        let (offset, partition) = (self.view.offset.0, self.tools.partition.0);
        trace!(topic = topic.name(), partition, offset, outcome = outcome.name(), "record");
    }

    /// A customer whom the changelog could not hold has lost detail for good.
    fn report_folded_in_history(&mut self, event: &Event<'_>) {
        let folded_early = self.engine.take_folded_early();
        self.part.summary.remarks[Remark::FoldedEarly] += folded_early;
        if let Some(key) = event.customer_key().filter(|_| folded_early > 0) {
            tracing::warn!(
                partition = %self.tools.partition,
                customer = %Redacted(key.bytes),
                orders = folded_early,
                "a customer's history is larger than a changelog record: its oldest orders are folded, and later records of that \
                 time are refused"
            );
        }
    }

    fn count_remarks(&mut self, event: &Event<'_>, applied: Applied) {
        let remarks = &mut self.part.summary.remarks;
        for remark in event.remarks() {
            remarks[remark] += 1;
        }
        let is_test = match &event.subject {
            Subject::Customer(customer) => matches!(&customer.record, Record::Order(order) if order.test),
            Subject::Guest(_) | Subject::Erasure { .. } => false,
        };
        remarks[Remark::TestOrder] += u64::from(is_test);
        match applied {
            Applied::Conflicting { standing } => {
                remarks[Remark::Conflicting] += 1;
                remarks[Remark::ConflictReplaced] += u64::from(standing == Standing::Arrived);
            }
            Applied::Ineffective => remarks[Remark::IneffectiveCancellation] += 1,
            Applied::Order { .. } | Applied::Return { .. } | Applied::Other => {}
        }
    }

    fn count_business(&mut self, event: &Event<'_>, applied: Applied) {
        let summary = &mut self.part.summary;
        let currency = self.tools.rules.currencies[usize::from(event.shop.0)];
        let shop = self.tools.rules.settings.shops.get(event.shop);
        let guest_record = match &event.subject {
            Subject::Guest(guest) => Some(&guest.record),
            Subject::Customer(_) | Subject::Erasure { .. } => None,
        };
        if let Some(GuestRecord::Order { total, currency: sent, test: false, .. }) = guest_record {
            summary.guest_orders += 1;
            let values = summary.values.entry(currency).or_default();
            values.guest_orders_minor += shop.convert(*total, *sent).minor().unsigned_abs();
        }
        match applied {
            Applied::Order { value, first } => {
                summary.orders[if first { OrderKind::First } else { OrderKind::Repeat }] += 1;
                summary.values.entry(currency).or_default().orders_minor += value.minor().unsigned_abs();
            }
            Applied::Return { refund } => {
                summary.returns += 1;
                summary.values.entry(currency).or_default().refunds_minor += refund.minor().unsigned_abs();
            }
            Applied::Other | Applied::Conflicting { .. } | Applied::Ineffective => {}
        }
    }
}

pub(super) fn timers_max() -> usize {
    fault::bound(TIMERS_MAX)
}

/// Encodes the signals that the engine has emitted, while the record that caused them is at hand.
pub(super) fn drain_signals(
    engine: &mut Engine,
    record: Option<&RecordContext<'_>>,
    part: &mut PartitionBatch,
    tools: &mut Tools<'_>,
) {
    part.summary.timers_fired[TimerOutcome::None] += engine.take_silent_timers();
    part.summary.remarks[Remark::FoldedEarly] += engine.take_folded_early();
    part.summary.signals_held_back += engine.take_held_back();
    let counts = engine.take_rule_counts();
    part.summary.rule_firings_capped += counts.capped();
    let RuleCounts { unfired: _, no_room, timers } = counts;
    part.summary.rule_triggers_dropped += no_room;
    part.summary.timers_fired[TimerOutcome::Rule] += timers;
    for (key, signal) in engine.drain_signals() {
        let kind = signal.kind.signal_type();
        part.summary.signals[kind] += 1;
        if let Some(timer) = labels::timer_outcome(&signal) {
            part.summary.timers_fired[timer] += 1;
        }
        if let Some(rule) = signal.kind.rule() {
            *part.summary.rule_signals.entry((Arc::clone(&rule.rule), rule.action)).or_default() += 1;
        }
        let guest_key = || record.expect("a guest's signal is about the record at hand").guest_key();
        let record_key = if signal.customer.is_some() { key } else { guest_key() };
        let encode = |bytes: &mut Vec<u8>| tools.rules.signals.encode(key, &signal, record, bytes);
        part.signals.push(record_key, &signal, encode);
    }
}

fn refused(refusal: EngineRefusal, lateness: Span) -> Refusal {
    match refusal {
        EngineRefusal::TooOld => {
            let lateness = duration_text(lateness);
            let detail = format!("more than `records.lateness` ({lateness}) before the partition's clock");
            Refusal::new(Reason::TooOld, detail)
        }
        EngineRefusal::Folded => {
            Refusal::new(Reason::TooOld, "from the part of the customer's history that has folded")
        }
        EngineRefusal::Erased => Refusal::new(Reason::Erased, "the customer has asked to be forgotten"),
    }
}

fn duration_text(span: Span) -> String {
    config::format_duration(span.as_millis().unsigned_abs())
}
