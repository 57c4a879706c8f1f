//! Makes signals from the difference between what was emitted and what the facts are. No other place makes any.
//!
//! Second law: after every record and every timer the emitted state equals the facts'.

use super::kind::SignalKind;
use super::ratio_signal::{Armed, RatioSignal, Threshold, Thresholds};
use super::signal::{
    Cause, FrequencyChange, Lifecycle, OpenAlert, OrderValueChange, RecordDigest, RetractedKind,
    ReturnedOrder, SegmentChange, Signal, Silence, State, TierChange,
};
use crate::domain::customer::facts::Facts;
use crate::domain::customer::ledger::{Attribution, CancelledUpTo, Ledger, ReturnTarget};
use crate::domain::customer::{Emitted, EmittedLifecycle};
use crate::domain::rules::tiers::EmittedTier;
use crate::domain::segments::names::Segment;
use crate::domain::settings::Settings;
use crate::domain::values::event::{Record, ReturnRecord};
use crate::domain::values::ids::{CustomerSlot, OrderHash, ShopIndex};
use crate::domain::values::money::ShopAmount;
use crate::domain::values::number::{Decimal, Ratio};
use crate::domain::values::time::Time;

/// When time alone may next cause a signal, from `clock` on: at a deadline, where silence leads to another segment, or at an end of the
/// year that the return rate or the tier looks at. To the rate it matters only while something was refunded in the year: without, the rate is
/// nothing before and after, and a record that brought an order has armed the signal already.
pub fn next_instant(
    emitted: &Emitted,
    facts: &Facts<'_>,
    thresholds: &Thresholds,
    clock: Time,
) -> Option<Time> {
    let deadline = facts.next(emitted.state()).map(|(_, at)| at);
    let segment = facts.segment.and_then(|basis| basis.next_change(emitted.segment, clock));
    let year_ends = [rate_end(facts, thresholds), facts.tier_end(emitted.tier)];
    deadline.into_iter().chain(segment).chain(year_ends.into_iter().flatten()).min()
}

/// When what leaves the year may next raise the return rate.
pub fn rate_end(facts: &Facts<'_>, thresholds: &Thresholds) -> Option<Time> {
    let year = facts.year();
    let may_move = year.refunded > ShopAmount::ZERO && year.placed >= thresholds.return_rate_orders_min;
    facts.year_end().filter(|_| may_move)
}

/// The record that may cause signals. Most cause none, so the digest is computed when one does.
#[derive(Clone, Copy)]
pub struct TriggeringRecord<'a> {
    pub record: &'a Record,
    pub hash: fn(&[u8]) -> u64,
}

impl TriggeringRecord<'_> {
    fn digest(self) -> RecordDigest {
        RecordDigest::of(self.record, self.hash)
    }
}

/// Compares what was emitted with the facts of one customer after one record or instant, and emits the difference.
pub struct SignalEmitter<'a> {
    pub customer: CustomerSlot,
    pub shop: ShopIndex,
    pub settings: &'a Settings,
    pub facts: &'a Facts<'a>,
    /// The partition's clock.
    pub clock: Time,
    /// The record's time, or the instant of the timer.
    pub occurred_at: Time,
    /// The emitted state before the first signal about this record, deadline or expiry.
    pub before: State,
    pub signals: &'a mut Vec<Signal>,
}

impl SignalEmitter<'_> {
    /// What a record changed, in the order of `docs/DEFINITIONS.md`.
    pub fn emit_record(&mut self, emitted: &mut Emitted, record: TriggeringRecord<'_>) {
        if self.facts.state(self.clock) == State::Prospect && emitted.state() != State::Prospect {
            self.emit(SignalKind::BecameProspect, Cause::Record(record.digest()));
            *emitted = Emitted::NOTHING;
        }
        let first = match emitted.first_order {
            true => FirstName::Silent,
            false => FirstName::Emitted, // If the customer has a segment or a tier, the first order comes with it.
        };
        self.emit_first_orders(emitted, record);
        emitted.lifecycle = self.emit_lifecycle(emitted.lifecycle, record);
        self.emit_frequency(&mut emitted.armed, record);
        self.emit_order_value(&mut emitted.armed, record);
        self.emit_return_rate(&mut emitted.armed, || Cause::Record(record.digest()));
        self.emit_segment(&mut emitted.segment, first, || Cause::Record(record.digest()));
        self.emit_tier(&mut emitted.tier, first, || Cause::Record(record.digest()));
    }

    /// What an instant changed: the clock reached a deadline or a cut point of segments, or an order left a window. Returns whether the
    /// state, the segment or the tier moved.
    pub fn emit_instant(&mut self, emitted: &mut Emitted) -> bool {
        let reached = self.emit_deadline(emitted.lifecycle);
        if let Some(lifecycle) = reached {
            emitted.lifecycle = lifecycle;
            // The signal about the expiry comes after the one about the deadline.
            self.before = lifecycle.state();
        }
        let (occurred_at, segment, tier) = (self.occurred_at, emitted.segment, emitted.tier.index());
        self.emit_segment(&mut emitted.segment, FirstName::Silent, || Cause::Boundary(occurred_at));
        self.emit_return_rate(&mut emitted.armed, || Cause::Expiry(occurred_at));
        self.emit_tier(&mut emitted.tier, FirstName::Silent, || Cause::Expiry(occurred_at));
        reached.is_some() || emitted.segment != segment || emitted.tier.index() != tier
    }

    /// The order has become cancelled for the first time, or its first cancellation has come before it. Without a version, a
    /// cancellation that takes nothing back when it comes first is never reported: bytes without versions have no room for that.
    pub fn emit_cancelled(&mut self, id: OrderHash, ledger: &mut Ledger, attribution: &Attribution) {
        let Ledger { orders, cancellations, .. } = ledger;
        let unreported = cancellations.iter_mut().find(|entry| entry.order == id && !entry.emitted);
        let Some(cancellation) = unreported else { return };
        let known = orders.iter().position(|order| order.id == id);
        let takes_back = known.is_none_or(|index| {
            !orders[index].test && cancellation.cancels(&orders[index], self.settings.return_window)
        });
        cancellation.emitted = takes_back || cancellation.up_to == CancelledUpTo::Always;
        if takes_back {
            let value = known.map(|index| attribution.orders[index].cancelled);
            let net = self.facts.all_time().net();
            self.emit(SignalKind::OrderCancelled { order: id, value, net }, Cause::Cancelled(id));
        }
    }

    /// A return was accepted for the first time.
    pub fn emit_returned(&mut self, record: &ReturnRecord, ledger: &Ledger, attribution: &Attribution) {
        let index = ledger.returns.iter().position(|entry| entry.id == record.id);
        let order = match attribution.targets[index.expect("the record was applied just before")] {
            ReturnTarget::Ignored(_) => return,
            ReturnTarget::Alone => None,
            ReturnTarget::Order(index) => Some(ReturnedOrder {
                placed_at: ledger.orders[index].placed_at,
                kept: attribution.orders[index].kept,
                after: record.returned_at.since(ledger.orders[index].placed_at),
            }),
        };
        let shop = self.settings.shops.get(self.shop);
        let refund = shop.convert(record.refund, record.currency);
        self.emit(
            SignalKind::OrderReturned { returned: record.id, refund, order },
            Cause::Returned(record.id),
        );
    }

    fn emit_first_orders(&mut self, emitted: &mut Emitted, record: TriggeringRecord<'_>) {
        let [first, second] = self.facts.kept().first_values;
        if self.facts.kept().count >= 1 && !emitted.first_order {
            self.emit(SignalKind::FirstOrder { value: first }, Cause::Record(record.digest()));
            emitted.first_order = true;
        }
        if self.facts.kept().count >= 2 && !emitted.second_order {
            self.emit(SignalKind::SecondOrder { value: second }, Cause::Record(record.digest()));
            emitted.second_order = true;
        }
    }

    /// The customer came back, the record disproves an alert, or it shows a silence that nothing has reported yet.
    fn emit_lifecycle(
        &mut self,
        emitted: EmittedLifecycle,
        record: TriggeringRecord<'_>,
    ) -> EmittedLifecycle {
        let (after, kept) = (self.facts.lifecycle(self.clock), self.facts.kept());
        if after.state() == emitted.state() {
            return emitted;
        }
        let away = kept.previous_at.map(|previous_at| kept.last_at.since(previous_at));
        let mut at_risk = emitted.at_risk();
        if let EmittedLifecycle::Lapsed { lapsed, .. } = emitted {
            if kept.last_at >= lapsed.deadline {
                self.emit(SignalKind::WonBack { away }, Cause::Record(record.digest()));
                at_risk = None;
            } else {
                self.retract(RetractedKind::Lapsed, lapsed, record);
            }
        }
        match after {
            Lifecycle::Prospect => EmittedLifecycle::Prospect,
            Lifecycle::Active { .. } => {
                match at_risk {
                    Some(at_risk) if kept.last_at >= at_risk.deadline => {
                        self.emit(SignalKind::Recovered { away }, Cause::Record(record.digest()));
                    }
                    Some(at_risk) => self.retract(RetractedKind::AtRisk, at_risk, record),
                    None => {}
                }
                EmittedLifecycle::Active
            }
            Lifecycle::AtRisk { since, .. } => {
                EmittedLifecycle::AtRisk(self.alert_by_record(SignalKind::AtRisk, since, record))
            }
            Lifecycle::Lapsed { since } => {
                let lapsed = self.alert_by_record(SignalKind::Lapsed, since, record);
                EmittedLifecycle::Lapsed { lapsed, at_risk }
            }
        }
    }

    /// The next state, if the clock has reached its deadline.
    fn emit_deadline(&mut self, emitted: EmittedLifecycle) -> Option<EmittedLifecycle> {
        let deadlines = self.facts.deadlines?;
        match emitted {
            EmittedLifecycle::Active if deadlines.at_risk <= self.occurred_at => {
                Some(EmittedLifecycle::AtRisk(self.alert_by_clock(SignalKind::AtRisk, deadlines.at_risk)))
            }
            EmittedLifecycle::AtRisk(at_risk) if deadlines.lapsed <= self.occurred_at => {
                let lapsed = self.alert_by_clock(SignalKind::Lapsed, deadlines.lapsed);
                Some(EmittedLifecycle::Lapsed { lapsed, at_risk: Some(at_risk) })
            }
            EmittedLifecycle::Prospect
            | EmittedLifecycle::Active
            | EmittedLifecycle::AtRisk(_)
            | EmittedLifecycle::Lapsed { .. } => None,
        }
    }

    fn retract(&mut self, retracted: RetractedKind, emitted: OpenAlert, record: TriggeringRecord<'_>) {
        let cause = Cause::Retraction(retracted, emitted, record.digest());
        self.emit(SignalKind::LapseRetracted { retracted, emitted }, cause);
    }

    fn alert_by_record(
        &mut self,
        kind: fn(Silence) -> SignalKind,
        deadline: Time,
        record: TriggeringRecord<'_>,
    ) -> OpenAlert {
        let digest = record.digest();
        self.emit(kind(self.silence(deadline)), Cause::DeadlineByRecord(deadline, digest));
        OpenAlert { deadline, record: Some(digest) }
    }

    pub(super) fn alert_by_clock(&mut self, kind: fn(Silence) -> SignalKind, deadline: Time) -> OpenAlert {
        self.emit(kind(self.silence(deadline)), Cause::Deadline(deadline));
        OpenAlert { deadline, record: None }
    }

    fn silence(&self, deadline: Time) -> Silence {
        let kept = self.facts.kept();
        let history = kept.history();
        Silence {
            deadline,
            last_order_at: kept.last_at,
            expected_gap: history.and_then(|history| self.settings.lapse.expected_gap(&history)),
            order_probability: history
                .and_then(|history| self.settings.lapse.order_probability(self.shop, &history, deadline)),
        }
    }

    fn emit_frequency(&mut self, armed: &mut Armed, record: TriggeringRecord<'_>) {
        let Some(Comparison { ratio, recent, earlier }) = self.frequency() else { return };
        let change = FrequencyChange { ratio, recent, earlier };
        if self.fires(armed, RatioSignal::FrequencyFell, ratio) {
            self.emit(SignalKind::FrequencyFell(change), Cause::Record(record.digest()));
        }
        if self.fires(armed, RatioSignal::FrequencyRose, ratio) {
            self.emit(SignalKind::FrequencyRose(change), Cause::Record(record.digest()));
        }
    }

    fn emit_order_value(&mut self, armed: &mut Armed, record: TriggeringRecord<'_>) {
        let Some(Comparison { ratio, recent, earlier }) = self.order_value() else { return };
        let change = OrderValueChange { ratio, recent, earlier };
        if self.fires(armed, RatioSignal::OrderValueFell, ratio) {
            self.emit(SignalKind::OrderValueFell(change), Cause::Record(record.digest()));
        }
        if self.fires(armed, RatioSignal::OrderValueRose, ratio) {
            self.emit(SignalKind::OrderValueRose(change), Cause::Record(record.digest()));
        }
    }

    /// Arms the signal or disarms it; true when it must be emitted.
    fn fires(&self, armed: &mut Armed, signal: RatioSignal, ratio: Ratio) -> bool {
        let threshold = self.settings.thresholds.of(signal);
        if threshold.rearms(ratio) {
            armed.set(signal, true);
            return false;
        }
        let fires = armed.is(signal) && threshold.fires(ratio);
        if fires {
            armed.set(signal, false);
        }
        fires
    }

    /// The gaps between purchase days; none if there are too few.
    fn frequency(&self) -> Option<Comparison> {
        let days = &self.facts.kept().days;
        let (recent, earlier, count) = days.recent_and_earlier(self.settings.thresholds.earlier_min)?;
        Comparison::new(recent, earlier, count)
    }

    /// The values of kept orders; none if there are too few.
    fn order_value(&self) -> Option<Comparison> {
        let kept = self.facts.kept();
        let (recent, earlier, count) = kept.recent_and_earlier(self.settings.thresholds.earlier_min)?;
        Comparison::new(recent, earlier, count)
    }

    fn emit_return_rate(&mut self, armed: &mut Armed, cause: impl FnOnce() -> Cause) {
        const SIGNAL: RatioSignal = RatioSignal::ReturnRateHigh;
        let Thresholds { return_rate_orders_min, .. } = self.settings.thresholds;
        let Threshold { fires, rearms, .. } = *self.settings.thresholds.of(SIGNAL);
        let year = self.facts.year();
        if year.placed < return_rate_orders_min {
            return;
        }
        // Compared as refunded against a share of gross, since gross may be zero.
        let share = |threshold: Decimal| threshold.numerator() * i128::from(year.gross);
        let refunded = |threshold: Decimal| threshold.denominator() * i128::from(year.refunded);
        if refunded(rearms) < share(rearms) {
            armed.set(SIGNAL, true);
        } else if armed.is(SIGNAL) && year.refunded > ShopAmount::ZERO && refunded(fires) >= share(fires) {
            armed.set(SIGNAL, false);
            let ratio = Ratio::new(year.refunded, year.gross);
            let (refunded, gross, placed) = (year.refunded, year.gross, year.placed);
            self.emit(SignalKind::ReturnRateHigh { ratio, refunded, gross, placed }, cause());
        }
    }

    /// Armed is what lies beyond its second threshold, and while too few orders lie behind it.
    pub(super) fn armed_by_facts(&self) -> Armed {
        let (frequency, value) = (self.frequency(), self.order_value());
        let is_beyond = |signal: RatioSignal, comparison: &Option<Comparison>| {
            let threshold = self.settings.thresholds.of(signal);
            comparison.as_ref().is_none_or(|comparison| threshold.rearms(comparison.ratio))
        };
        let mut armed = Armed::ALL;
        for signal in RatioSignal::ALL {
            let is_armed = match signal {
                RatioSignal::FrequencyFell | RatioSignal::FrequencyRose => is_beyond(signal, &frequency),
                RatioSignal::OrderValueFell | RatioSignal::OrderValueRose => is_beyond(signal, &value),
                RatioSignal::ReturnRateHigh => self.is_return_rate_armed(self.settings.thresholds.of(signal)),
            };
            armed.set(signal, is_armed);
        }
        armed
    }

    fn is_return_rate_armed(&self, &Threshold { rearms, .. }: &Threshold) -> bool {
        let year = self.facts.year();
        year.placed < self.settings.thresholds.return_rate_orders_min
            || year.refunded == ShopAmount::ZERO
            || rearms.denominator() * i128::from(year.refunded) < rearms.numerator() * i128::from(year.gross)
    }

    fn emit_segment(
        &mut self,
        emitted: &mut Option<Segment>,
        first: FirstName,
        cause: impl FnOnce() -> Cause,
    ) {
        let Some(basis) = self.facts.segment else {
            *emitted = None; // What was emitted when there were cut points is forgotten.
            return;
        };
        let (before, after) = (*emitted, basis.at(self.clock));
        if before == Some(after.name) {
            return;
        }
        *emitted = Some(after.name);
        if before.is_some() || first == FirstName::Emitted {
            let silence = self.clock.since(self.facts.kept().last_at);
            self.emit(SignalKind::SegmentChanged(SegmentChange { before, after, silence }), cause());
        }
    }

    fn emit_tier(&mut self, emitted: &mut EmittedTier, first: FirstName, cause: impl FnOnce() -> Cause) {
        let (before, after) = (*emitted, self.facts.tier(*emitted));
        if before == after {
            return;
        }
        *emitted = after;
        let Some(tiers) = &self.settings.tiers else { return };
        let is_known = before != EmittedTier::Unknown || first == FirstName::Emitted;
        let name = |tier: EmittedTier| tier.index().and_then(|index| tiers.name(index)).cloned();
        let change = TierChange { before: name(before), after: name(after), net: self.facts.year().net() };
        // Of a customer without a kept order `became_prospect` says it.
        if is_known && after != EmittedTier::Unknown && change.before != change.after {
            self.emit(SignalKind::TierChanged(change), cause());
        }
    }

    pub(super) fn emit(&mut self, kind: SignalKind, cause: Cause) {
        self.signals.push(Signal {
            customer: Some(self.customer),
            shop: self.shop,
            kind,
            occurred_at: self.occurred_at,
            before: self.before,
            after: self.facts.state(self.clock),
            cause,
            policy: self.settings.lapse.id(self.shop, self.facts.kept().history().as_ref()),
        });
    }
}

/// Whether a first name is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FirstName {
    Emitted,
    /// The customer was there before the cut points.
    Silent,
}

/// Mean of the last three against the mean of those before.
struct Comparison {
    ratio: Ratio,
    recent: Ratio,
    earlier: Ratio,
}

impl Comparison {
    fn new(recent: impl Into<i128>, earlier: impl Into<i128>, earlier_count: u32) -> Option<Self> {
        let (recent, recent_count) = (recent.into(), crate::domain::customer::purchases::RECENT as i128);
        let (earlier, earlier_count) = (earlier.into(), i128::from(earlier_count));
        Some(Self {
            ratio: Ratio::new(recent * earlier_count, earlier * recent_count)?,
            recent: Ratio::new(recent, recent_count)?,
            earlier: Ratio::new(earlier, earlier_count)?,
        })
    }
}
