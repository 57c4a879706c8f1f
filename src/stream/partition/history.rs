//! The history of a partition: what its inputs held when it was first assigned.
//!
//! Erasures are read first, so that no record of an erased customer is applied. The order of the others does not matter. Nothing
//! behind the ends is read until all inputs have reached theirs and every customer is settled.
//!
//! ```text
//!  Behind (raw ends) ─(the intake has passed them)─► Known (ends of the inputs) ─(read)─► settling ─► live
//! ```
//! With an intake in front the inputs' ends are not known before it has passed what was in the raw topics. Until then every record is
//! applied as history, whatever its input.

use tracing::info;

use super::apply::Pause;
use super::apply::{Tools, drain_signals, timers_max};
use super::merge::Cursor;
use super::{HistoryEnds, Running, RunningHistory};
use crate::domain::engine::Progress;
use crate::fault::{self, Mutation, Noted};
use crate::stream::broker::RecordBatch;
use crate::topic::{Input, PerInput};

impl RunningHistory {
    /// Which inputs may be read from now.
    pub(super) fn readable<T: RecordBatch>(
        &self,
        batches: &PerInput<Option<T>>,
        cursors: &PerInput<Cursor>,
    ) -> PerInput<bool> {
        let ends = match &self.ends {
            HistoryEnds::Known(ends) => ends,
            HistoryEnds::Behind(_) => return PerInput([true; Input::COUNT]),
        };
        let is_behind =
            PerInput::from_fn(|input| !cursors[input].has_reached(batches[input].as_ref(), ends[input]));
        if is_behind[Input::Erasures] {
            return PerInput::from_fn(|input| input == Input::Erasures);
        }
        let reads_on =
            fault::is(Mutation::ReadBehindHistory) && is_behind.iter().any(|(_, is_behind)| *is_behind);
        PerInput::from_fn(|input| is_behind[input] || reads_on)
    }

    /// Records of the history that are at hand and still to be read, at most.
    pub fn remaining(&self, cursors: &PerInput<Cursor>) -> u64 {
        let end = |input| match &self.ends {
            HistoryEnds::Known(ends) => ends[input],
            HistoryEnds::Behind(_) => cursors[input].end,
        };
        cursors.iter().map(|(input, cursor)| end(input).0.saturating_sub(cursor.next.0)).sum()
    }
}

impl<T: RecordBatch> Running<T> {
    /// Whether every record of the history is applied, and its customers are to be settled.
    pub(super) fn is_history_read(&self) -> bool {
        let Some(history) = &self.history else { return false };
        let readable = history.readable(&self.streams.batches, &self.streams.cursors);
        readable.iter().all(|(_, readable)| !readable)
    }

    /// Settles some customers more, in a batch that is closed with them.
    pub(super) fn settle_history(&mut self, tools: &mut Tools<'_>) -> Pause {
        let Self { engine, part, history, .. } = self;
        let progress = engine.settle_history(timers_max());
        let held_back = engine.take_held_back();
        part.summary.signals_held_back += held_back;
        drain_signals(engine, None, part, tools);
        part.is_closed = true;
        part.has_timers_left = progress == Progress::More;
        fault::note(
            tools.partition,
            match progress {
                Progress::More => Noted::TimersLeft,
                Progress::Done => Noted::HistorySettled(engine.clock()),
            },
        );
        if let Some(history) = history {
            history.held_back += held_back;
        }
        if progress == Progress::Done
            && let Some(history) = history.take()
            && history.records > 0
        {
            info!(
                partition = %tools.partition,
                records = history.records,
                customers = engine.customers_len(),
                signals_held_back = history.held_back,
                "history is settled, records are live from here; `signals.from` decides which signals are held back"
            );
        }
        Pause::Closed
    }
}
