//! What waits in front of the inputs: records that the intake has not passed on keep the clocks, and histories open.
//!
//! ```text
//!  wall time T ─► ends E of the raw topics ─► (T, E) pending ─► the intake's group has committed up to E ─► T is cleared
//! ```
//! The inputs may be at their ends while orders wait in a raw topic, and their customers must not lapse meanwhile. So wall time moves a
//! clock no further than to a cleared T, and only then are the ends of the inputs confirmed: what the intake has committed lies
//! below them. A pending pair stands until the intake has passed it, because one with fresh ends would never be reached while records
//! come.
//!
//! What was committed may stop short of an end forever: behind it may lie nothing but control records and aborted records, and an
//! intake that has read nothing may never commit. Where it stands still, a look into the partition decides.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tracing::debug;

use super::Stop;
use super::context::Context;
use crate::domain::values::time::Time;
use crate::fault::{self, Mutation};
use crate::stream::broker::{
    Broker, BrokerError, Clocks, Lookup, Moment, Offset, Position, RawEnd, RawPartition, RawProgress,
    RawSearch,
};
use crate::stream::partition::HistoryEnds;
use crate::topic::Partition;

/// The intake is not asked for again before this.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The longest that the worker waits for an answer, ...
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// ... and for a look into a raw partition, which goes on at the next one.
const SEARCH_MAX: Duration = Duration::from_millis(250);
/// A record that waits is looked for again after this: the topic's retention may have deleted it.
const SEARCH_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// An intake that keeps up passes any end within this; until then the clocks are not reported as frozen.
const KEEPING_UP_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(super) struct IntakeGate {
    partitions: BTreeMap<RawPartition, RawState>,
    pending: Option<Pending>,
    /// Everything that lay in the raw topics when this was wall time is in the inputs.
    cleared: Option<Time>,
    asked_for_clocks_at: Option<Moment>,
    asked_for_histories_at: Option<Moment>,
    /// Why the last question was not answered.
    silence: Option<String>,
}

/// Wall time, and where the raw topics ended after it was taken.
struct Pending {
    target: Time,
    ends: Vec<RawEnd>,
    since: Moment,
}

/// What is known of one raw partition.
#[derive(Clone, Copy, Default)]
struct RawState {
    committed: Option<Position>,
    /// Nothing below is left for the intake.
    passed: Position,
    /// It has committed nothing since the last question but one.
    is_still: bool,
    /// A record that waits, and when it was found.
    waiting: Option<(Offset, Moment)>,
}

/// How much the intake has still to pass on.
pub(super) struct IntakeLag {
    /// The partition with the most, and how much that is.
    most: Option<(RawPartition, u64)>,
    /// In the others.
    others: u64,
    has_committed: bool,
}

impl IntakeGate {
    /// Those of the partitions that wall time may move now, and where to. The others are marked as held.
    pub fn clear<B: Broker>(
        &mut self,
        ctx: &mut Context<'_, B>,
        due: Vec<Partition>,
        target: Time,
        clocks: Clocks,
    ) -> Result<(Vec<Partition>, Time), Stop> {
        if ctx.rules.raw_topics.is_empty() || fault::is(Mutation::IgnoreIntake) {
            return Ok((due, target));
        }
        let now = clocks.monotonic;
        self.forget_later_than(target);
        let (mut clear, mut held) = self.part(ctx, due);
        let may_ask = self.asked_for_clocks_at.is_none_or(|asked_at| now.since(asked_at) >= ASK_EVERY);
        if !held.is_empty() && may_ask {
            self.asked_for_clocks_at = Some(now);
            self.ask(ctx.broker.lookup(), now, Some(target))?;
            held.append(&mut clear);
            held.sort();
            (clear, held) = self.part(ctx, held);
        }
        let is_behind = self.silence.is_some()
            || self.pending.as_ref().is_some_and(|pending| now.since(pending.since) >= KEEPING_UP_MAX);
        for partition in held {
            let check = &mut ctx.partitions.running_mut(partition).end_check;
            check.held_by_intake.get_or_insert(clocks);
            check.is_frozen |= is_behind;
        }
        Ok((clear, self.cleared.unwrap_or(target)))
    }

    /// Ends histories that wait for the intake, once it has passed what was in the raw topics: where the inputs end now is where they
    /// end. Gives the partitions, whose seals are to say so.
    pub fn end_histories<B: Broker>(&mut self, ctx: &mut Context<'_, B>) -> Result<Vec<Partition>, Stop> {
        if ctx.rules.raw_topics.is_empty() {
            return Ok(Vec::new());
        }
        let now = ctx.broker.now();
        if self.asked_for_histories_at.is_some_and(|asked_at| now.since(asked_at) < ASK_EVERY) {
            return Ok(Vec::new());
        }
        let waiting = ctx.partitions.running_mut_all().filter_map(|(partition, running)| {
            match running.history.as_ref().map(|history| &history.ends) {
                Some(HistoryEnds::Behind(ends)) => Some((partition, ends.clone())),
                Some(HistoryEnds::Known(_)) | None => None,
            }
        });
        let waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        self.asked_for_histories_at = Some(now);
        self.ask(ctx.broker.lookup(), now, None)?;
        let mut passed = Vec::new();
        for (partition, ends) in waiting {
            if self.silence.is_none() && self.have_passed(ctx.broker.lookup(), &ends, now)? {
                passed.push(partition);
            }
        }
        // Asked only now: what the intake has committed lies below.
        let Some(ends) = super::clock_gate::high_ends(ctx, &passed)? else { return Ok(Vec::new()) };
        for (partition, ends) in passed.iter().zip(ends) {
            if let Some(history) = &mut ctx.partitions.running_mut(*partition).history {
                history.ends = HistoryEnds::Known(ends);
            }
        }
        Ok(passed)
    }

    /// What is still to be passed on before these ends.
    pub fn lag(&self, ends: &[RawEnd]) -> IntakeLag {
        let mut lag = IntakeLag { most: None, others: 0, has_committed: false };
        for RawEnd { of, end } in ends {
            let state = self.partitions.get(of).copied().unwrap_or_default();
            lag.has_committed |= state.committed.is_some();
            let mut records = end.0.saturating_sub(state.passed.0);
            if records == 0 {
                continue;
            }
            match &mut lag.most {
                Some((most, count)) if *count < records => {
                    std::mem::swap(count, &mut records);
                    *most = of.clone();
                    lag.others += records;
                }
                Some(_) => lag.others += records,
                None => lag.most = Some((of.clone(), records)),
            }
        }
        lag
    }

    /// Why the clocks have stood since then, in words.
    pub fn why_held(&self) -> String {
        match (&self.silence, &self.pending) {
            (Some(cause), _) => format!("how far the intake has come is not known ({cause})"),
            (None, Some(pending)) => self.lag(&pending.ends).to_string(),
            (None, None) => "how far the intake has come is not known yet".to_owned(),
        }
    }

    /// Wall time has gone back: what it was then says nothing of now.
    fn forget_later_than(&mut self, target: Time) {
        self.cleared = self.cleared.filter(|cleared| *cleared <= target);
        self.pending = self.pending.take().filter(|pending| pending.target <= target);
    }

    /// Parts partitions into those whose timers are due by the cleared time, and the others.
    fn part<B: Broker>(
        &self,
        ctx: &mut Context<'_, B>,
        due: Vec<Partition>,
    ) -> (Vec<Partition>, Vec<Partition>) {
        due.into_iter().partition(|partition| {
            let running = ctx.partitions.running_mut(*partition);
            self.cleared.is_some_and(|cleared| running.next_due(cleared).is_some())
        })
    }

    /// Asks how far the intake has come, and clears what it has passed. `target` was taken before.
    fn ask<L: Lookup>(&mut self, lookup: &mut L, now: Moment, target: Option<Time>) -> Result<(), Stop> {
        match self.try_ask(lookup, now, target) {
            Ok(()) => self.silence = None,
            Err(BrokerError::Retry(cause)) => {
                debug!(cause = format!("{cause:#}"), "how far the intake has come is not known");
                self.silence = Some(format!("{cause:#}"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn try_ask<L: Lookup>(
        &mut self,
        lookup: &mut L,
        now: Moment,
        target: Option<Time>,
    ) -> Result<(), BrokerError> {
        let progress = lookup.raw_progress(ANSWER_MAX)?;
        for progress in &progress {
            self.partitions.entry(progress.of.clone()).or_default().take_in(progress, now);
        }
        if let Some(pending) = self.pending.take() {
            if self.have_passed(lookup, &pending.ends, now)? {
                self.cleared = self.cleared.max(Some(pending.target));
            } else {
                self.pending = Some(pending);
            }
        }
        let Some(target) = target.filter(|_| self.pending.is_none()) else { return Ok(()) };
        let ends: Vec<RawEnd> =
            progress.into_iter().map(|RawProgress { of, end, .. }| RawEnd { of, end }).collect();
        if self.have_passed(lookup, &ends, now)? {
            self.cleared = Some(target);
        } else {
            self.pending = Some(Pending { target, ends, since: now });
        }
        Ok(())
    }

    /// Whether nothing is left for the intake before these ends. Where it stands still, looks for records.
    fn have_passed<L: Lookup>(
        &mut self,
        lookup: &mut L,
        ends: &[RawEnd],
        now: Moment,
    ) -> Result<bool, BrokerError> {
        // Most often a partition is behind that need not be looked into.
        for RawEnd { of, end } in ends {
            let state = self.partitions.get(of).copied().unwrap_or_default();
            if state.passed < *end && (!state.is_still || state.waiting.is_some()) {
                return Ok(false);
            }
        }
        for RawEnd { of, end } in ends {
            let Some(state) = self.partitions.get_mut(of).filter(|state| state.passed < *end) else {
                continue;
            };
            match lookup.search_raw(of, state.passed, *end, SEARCH_MAX) {
                Ok(RawSearch::Record(offset)) => {
                    state.passed = state.passed.max(Position(offset.0));
                    state.waiting = (offset.next() <= *end).then_some((offset, now));
                }
                Ok(RawSearch::NoneBelow(position)) => state.passed = state.passed.max(position),
                Err(BrokerError::Retry(cause)) => {
                    debug!(partition = %of, cause = format!("{cause:#}"), "no look into a raw partition");
                }
                Err(error) => return Err(error),
            }
            if state.passed < *end {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl RawState {
    fn take_in(&mut self, progress: &RawProgress, now: Moment) {
        let RawProgress { committed, end, .. } = progress;
        self.is_still = self.committed == *committed;
        if *committed < self.committed || *committed > Some(*end) {
            // The group was reset, or this is another topic of that name.
            *self = Self::default();
        }
        self.committed = *committed;
        self.passed = self.passed.max(committed.filter(|committed| committed <= end).unwrap_or(Position(0)));
        self.waiting = self.waiting.filter(|(offset, found_at)| {
            self.passed <= Position(offset.0) && now.since(*found_at) < SEARCH_AGAIN_AFTER
        });
    }
}

impl IntakeLag {
    /// Control records count too.
    pub fn records(&self) -> u64 {
        self.most.as_ref().map_or(0, |(_, records)| *records) + self.others
    }
}

impl fmt::Display for IntakeLag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.most {
            None => formatter.write_str("the intake has passed on what was there")?,
            Some((of, records)) => write!(formatter, "the intake has {records} records to go in {of}")?,
        }
        if self.others > 0 {
            write!(formatter, " and {} in other partitions", self.others)?;
        }
        if !self.has_committed {
            formatter.write_str(" (it has committed nothing yet)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(partition: u32) -> RawPartition {
        RawPartition { topic: "raw".into(), partition: Partition(partition) }
    }

    fn progress(partition: u32, committed: Option<u64>, end: u64) -> RawProgress {
        RawProgress { of: of(partition), committed: committed.map(Position), end: Position(end) }
    }

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn the_lag_names_the_partition_with_the_most() {
        let mut gate = IntakeGate::default();
        let ends: Vec<RawEnd> = [10, 40, 20]
            .into_iter()
            .zip(0..)
            .map(|(end, number)| RawEnd { of: of(number), end: Position(end) })
            .collect();
        assert_eq!(
            gate.lag(&ends).to_string(),
            "the intake has 40 records to go in raw/1 and 30 in other partitions (it has committed nothing yet)"
        );
        for (number, committed) in [(0, 10), (1, 40), (2, 5)] {
            gate.partitions
                .entry(of(number))
                .or_default()
                .take_in(&progress(number, Some(committed), 50), at(0));
        }
        assert_eq!(gate.lag(&ends).to_string(), "the intake has 15 records to go in raw/2");
        assert_eq!(gate.lag(&ends[..1]).to_string(), "the intake has passed on what was there");
    }

    #[test]
    fn what_is_known_of_a_raw_partition_ends_with_its_group_or_topic() {
        let mut state = RawState::default();
        state.take_in(&progress(0, Some(5), 9), at(0));
        assert_eq!((state.passed, state.is_still), (Position(5), false));
        // A look has found none below 8.
        state.passed = Position(8);
        state.waiting = Some((Offset(8), at(1)));
        state.take_in(&progress(0, Some(5), 12), at(2));
        assert_eq!(
            (state.passed, state.is_still, state.waiting),
            (Position(8), true, Some((Offset(8), at(1))))
        );
        state.take_in(&progress(0, Some(5), 12), at(40));
        assert_eq!(state.waiting, None, "retention may have deleted it");
        state.waiting = Some((Offset(8), at(41)));
        state.take_in(&progress(0, Some(9), 12), at(42));
        assert_eq!((state.passed, state.waiting), (Position(9), None), "it is passed");
        for reset in [progress(0, Some(3), 12), progress(0, None, 12), progress(0, Some(9), 4)] {
            let mut state = state;
            state.take_in(&reset, at(43));
            let committed = reset.committed.filter(|committed| *committed <= reset.end).unwrap_or_default();
            assert_eq!((state.passed, state.is_still), (committed, false), "{reset:?}");
        }
    }

    #[test]
    fn wall_time_that_goes_back_clears_nothing() {
        let time = |millis| Time::from_millis(millis).expect("in range");
        let mut gate = IntakeGate { cleared: Some(time(100)), ..IntakeGate::default() };
        gate.forget_later_than(time(100));
        assert_eq!(gate.cleared, Some(time(100)));
        gate.forget_later_than(time(99));
        assert_eq!(gate.cleared, None);
    }
}
