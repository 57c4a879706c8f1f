//! What was committed, in order: what each batch has applied, and whether it goes on where the one before it ended.

use std::collections::BTreeMap;

use retention_signals::topic::{Input, Partition, PerInput};
use retention_signals::wire::changelog::{Seal, SealedEnds, SealedRawEnd};

use super::log::Log;

/// One step of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    Applied(Input, u64),
    TimersFired(i64),
    ClockMoved {
        to: i64,
        /// Everything that was there at this event must have been applied.
        confirmed_at: u64,
        /// Wall time was read at this event.
        taken_at: u64,
    },
    /// Timers that are due at the clock wait for the next batch, or customers of a history that are to be settled.
    TimersLeft,
    /// Every customer of the history is settled, at this clock.
    HistorySettled(Option<i64>),
}

/// What a transaction would commit.
pub struct Prepared {
    pub host: usize,
    pub parts: Vec<PreparedPart>,
}

/// One partition's part of it.
pub struct PreparedPart {
    pub partition: Partition,
    pub lineage: u64,
    pub seal: Seal,
    pub offsets: Option<PerInput<Option<u64>>>,
    pub items: Vec<Item>,
}

/// One partition's past.
#[derive(Clone, Default)]
pub struct Past {
    pub batch: u64,
    pub next: PerInput<u64>,
    pub clock: Option<i64>,
    pub items: Vec<Item>,
    /// Where the history ends, as the first seal has it that knows; the seal of one that is settled at once says it by where it goes on.
    pub history_ends: Option<PerInput<u64>>,
    /// What the intake had to pass first.
    pub raw_ends: Option<Vec<SealedRawEnd>>,
}

/// See the module.
#[derive(Clone)]
pub struct History {
    pasts: BTreeMap<u32, Past>,
    pub commits: u32,
    /// An operator has moved offsets: records are applied again, or left out.
    pub may_jump: bool,
}

impl Past {
    /// Whether more timers were due at its clock than have fired: the others are expected too, but the next batch may come much
    /// later, if the host's clock has stepped back meanwhile.
    pub fn has_timers_left(&self) -> bool {
        self.items.last() == Some(&Item::TimersLeft)
    }
}

impl History {
    pub fn new(partitions: u32) -> Self {
        Self {
            pasts: (0..partitions).map(|partition| (partition, Past::default())).collect(),
            commits: 0,
            may_jump: false,
        }
    }

    pub fn past(&self, partition: u32) -> &Past {
        &self.pasts[&partition]
    }

    pub fn next_of(&self, partition: Partition, input: Input) -> u64 {
        self.pasts[&partition.0].next[input]
    }

    /// A part is committed.
    ///
    /// # Errors
    /// It does not go on where the last one ended.
    pub fn commit<'a>(
        &mut self,
        part: PreparedPart,
        is_strict: bool,
        log: impl Fn(Input) -> &'a Log,
    ) -> Result<(), String> {
        self.commits += 1;
        let PreparedPart { partition, seal, offsets, items, .. } = part;
        let past = self.pasts.get_mut(&partition.0).expect("a partition of the shop");
        let at = format!("partition {partition}, batch {} after {}", seal.batch, past.batch);
        if is_strict && seal.batch != past.batch + 1 {
            return Err(format!("{at}: not the next batch"));
        }
        for input in Input::ALL {
            let (from, to) = (past.next[input], seal.inputs[input].next);
            if to < from && !self.may_jump {
                return Err(format!("{at}: {input:?} goes back from {from} to {to}"));
            }
            let applied = items.iter().filter_map(|item| match item {
                Item::Applied(of, offset) if *of == input => Some(*offset),
                Item::Applied(..)
                | Item::TimersFired(_)
                | Item::ClockMoved { .. }
                | Item::TimersLeft
                | Item::HistorySettled(_) => None,
            });
            let entries = log(input).entries().iter();
            let there = entries.filter(|entry| entry.is_visible() && (from..to).contains(&entry.offset));
            if !self.may_jump && !applied.clone().eq(there.clone().map(|entry| entry.offset)) {
                let (applied, there): (Vec<u64>, Vec<u64>) =
                    (applied.collect(), there.map(|entry| entry.offset).collect());
                return Err(format!(
                    "{at}: {input:?} from {from} to {to} holds {there:?}, applied {applied:?}"
                ));
            }
            if is_strict && offsets.and_then(|offsets| offsets[input]) != Some(to) {
                return Err(format!(
                    "{at}: {input:?} is sealed at {to}, the group's offsets are {offsets:?}"
                ));
            }
            for item in &items {
                if let Item::ClockMoved { confirmed_at, to: clock, .. } = item
                    && let Some(entry) = log(input).entries().iter().find(|entry| {
                        entry.may_be_read() && entry.offset >= to && entry.event <= *confirmed_at
                    })
                {
                    return Err(format!(
                        "{at}: the clock moved to {clock}, but {input:?} {} was there before and is not applied",
                        entry.offset
                    ));
                }
            }
        }
        let next = PerInput::from_fn(|input| seal.inputs[input].next);
        match seal.history.map_or(SealedEnds::Known(next), |history| history.ends) {
            SealedEnds::Known(ends) => past.history_ends = Some(past.history_ends.unwrap_or(ends)),
            SealedEnds::Behind(ends) => {
                let is_another = past.raw_ends.as_ref().is_some_and(|known| *known != ends);
                if is_another || past.history_ends.is_some() {
                    return Err(format!("{at}: the history waits for {ends:?}, not {:?}", past.raw_ends));
                }
                past.raw_ends = Some(ends);
            }
        }
        past.batch = seal.batch;
        past.next = PerInput::from_fn(|input| seal.inputs[input].next);
        past.clock = seal.clock.map(|clock| clock.as_millis());
        past.items.extend(items);
        Ok(())
    }
}
